//! Probes: what `check --online` learns by asking Flexslot.
//!
//! No probe changes anything: nothing is refreshed, stored or revoked, and of what a tenant has only its PAT and its
//! access token are shown, each to the endpoint that says what it is worth.

mod clients;
mod grants;
mod pats;
#[cfg(test)]
mod tests;
mod upstream;

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    StartFailure, Surroundings,
    finding::{Finding, Found},
    outbound::Outbound,
    storage::Storage,
    stored_clients,
};
use crate::{
    config::Config,
    flexslot::{AuthorizationServer, StoredClients, TokenEndpoint, clients::ClientManagement},
    model::{Clock, Origin, Secret, TenantId},
    proxy::upstream::Upstream,
    store::{TenantRecord, TokenStore, backend::Names},
};

/// Asks about everything that a configuration and its store have.
pub struct Probes {
    config: Config,
    upstream: Upstream,
    management: Arc<dyn ClientManagement>,
    server: Arc<dyn Server>,
    /// `None` where it has still to be made.
    store: Option<TokenStore>,
    clock: Arc<dyn Clock>,
    /// Presented in the place of a token by who wants to see only whether a client is known. Random, so that it is
    /// nobody's.
    no_token: Secret,
}

/// The whole of the OAuth server.
trait Server: TokenEndpoint + AuthorizationServer {}

impl<T: TokenEndpoint + AuthorizationServer> Server for T {}

/// A tenant with all that is known of it.
struct Subject {
    tenant: TenantId,
    /// That of the file, or else of the store.
    pat: Option<Pat>,
    record: Option<TenantRecord>,
}

struct Pat {
    secret: Secret,
    from: PatFrom,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PatFrom {
    File,
    Store { origin: Origin },
}

/// Tenants that are asked about where nobody has named any: for a few it takes a moment, and for a million a day.
const MOST_TENANTS: usize = 100;

// === impl Probes ===

impl Probes {
    /// Looks with what `config` says at what `storage` has, where it is made.
    pub async fn new(config: &Config, storage: Option<&Storage>, around: &Surroundings) -> Result<Self, StartFailure> {
        let outbound = Outbound::new(config)?;
        let stored = match storage {
            Some(storage) => stored_clients::loaded(&storage.store, &config.upstream.origin).await,
            None => Arc::new(StoredClients::none()),
        };
        Ok(Self {
            upstream: outbound.upstream(),
            management: outbound.client_management(config, around)?,
            server: outbound.authorization_server(config, &stored, around)?,
            store: storage.map(|storage| storage.store.clone()),
            clock: Arc::clone(&around.clock),
            no_token: Secret::new(format!("flexslot-proxy-check-{:032x}", u128::from_le_bytes(around.random.bytes()))),
            config: config.clone(),
        })
    }

    /// Asks about Flexslot itself, the tenants in `named` (or, where it names none, the first hundred) and the OAuth
    /// clients, and has `report` take each finding as it comes. Nobody is asked about credentials where Flexslot is out
    /// of reach.
    pub async fn run<E>(&self, named: &[TenantId], mut report: impl FnMut(Found) -> Result<(), E>) -> Result<(), E> {
        let (upstream, clock) = self.reach().await;
        let is_reached = !matches!(upstream, Finding::Bad(_));
        report(upstream.of("upstream"))?;
        clock.into_iter().try_for_each(|clock| report(clock.of("clock")))?;
        if !is_reached {
            return Ok(());
        }
        let (subjects, rest) = match self.subjects(named).await {
            Ok(found) => found,
            Err(failure) => return report(Finding::Bad(failure).of("tenants")),
        };
        let mut partners = clients::Partners::default();
        for subject in &subjects {
            if let Some(finding) = self.pat(subject, &mut partners).await {
                report(finding.of("pat"))?;
            }
        }
        for finding in self.clients(&mut partners).await {
            report(finding.of("client"))?;
        }
        for subject in &subjects {
            if let Some(finding) = self.grant(subject).await {
                report(finding.of("grant"))?;
            }
        }
        rest.into_iter().try_for_each(|rest| report(rest.of("tenants")))
    }

    /// Whom to ask about, in the order of their names, and what to say of those who are left out.
    async fn subjects(&self, named: &[TenantId]) -> Result<(Vec<Subject>, Option<Finding>), StartFailure> {
        let of_file = self.config.tenants.iter().map(|tenant| (&tenant.name, tenant.pat.as_ref()));
        let mut pats: BTreeMap<&TenantId, Option<&Secret>> =
            of_file.map(|(name, pat)| (name, pat.map(|configured| &configured.secret))).collect();
        if named.is_empty() {
            let (mut tenants, more) = self.stored_tenants().await?;
            tenants.extend(pats.keys().map(|&tenant| tenant.clone()));
            tenants.sort();
            tenants.dedup();
            let rest = more.then(|| {
                let what = format!("nobody was asked about more than the first {MOST_TENANTS} tenants of the store");
                Finding::Doubtful(StartFailure::new(what).hint("check --online --tenant TENANT asks about that one"))
            });
            return Ok((self.known(&tenants, &mut pats).await?, rest));
        }
        Ok((self.known(named, &mut pats).await?, None))
    }

    /// The first of the store, and whether there are more.
    async fn stored_tenants(&self) -> Result<(Vec<TenantId>, bool), StartFailure> {
        let Some(store) = &self.store else { return Ok((Vec::new(), false)) };
        let page = store.list(Names::after(None), MOST_TENANTS, None).await;
        let page = page.map_err(|error| StartFailure::store(&error))?;
        let rest = match &page.next {
            Some(next) => {
                store.list(Names::after(Some(next)), 1, None).await.map_err(|error| StartFailure::store(&error))?
            }
            None => return Ok((page.tenants.into_iter().map(|summary| summary.tenant).collect(), false)),
        };
        Ok((page.tenants.into_iter().map(|summary| summary.tenant).collect(), !rest.tenants.is_empty()))
    }

    async fn known(
        &self,
        tenants: &[TenantId],
        pats: &mut BTreeMap<&TenantId, Option<&Secret>>,
    ) -> Result<Vec<Subject>, StartFailure> {
        let mut known = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let record = match &self.store {
                Some(store) => Some(store.load(tenant).await.map_err(|error| StartFailure::store(&error))?),
                None => None,
            };
            let is_of_file = pats.contains_key(tenant);
            if !is_of_file && record.as_ref().is_none_or(TenantRecord::is_absent) {
                let failure = StartFailure::new(format!("nobody knows a tenant {tenant}"));
                return Err(failure.hint("flexslot-proxy status shows who is there"));
            }
            let of_file = pats.remove(tenant).flatten().cloned();
            let of_file = of_file.map(|secret| Pat { secret, from: PatFrom::File });
            let of_store = record.as_ref().and_then(|record| record.pat.clone());
            let of_store = of_store.map(|kept| Pat { secret: kept.pat, from: PatFrom::Store { origin: kept.origin } });
            known.push(Subject { tenant: tenant.clone(), pat: of_file.or(of_store), record });
        }
        Ok(known)
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}
