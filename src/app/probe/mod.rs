//! Probes: what `check --online` learns by asking Flexslot.
//!
//! No probe changes anything: nothing is refreshed, stored or revoked. Of what a tenant has only its PAT and its access
//! token are shown: the access token to introspection, the PAT to the endpoints that describe it and its owner's clients.

mod clients;
mod grants;
mod pats;
mod subjects;
#[cfg(test)]
mod tests;
mod upstream;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

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
    model::{Clock, Secret, TenantId},
    proxy::upstream::Upstream,
    store::TokenStore,
};
use subjects::Subjects;

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
    unanswered: AtomicUsize,
}

/// The whole of the OAuth server.
trait Server: TokenEndpoint + AuthorizationServer {}

impl<T: TokenEndpoint + AuthorizationServer> Server for T {}

/// So many questions may go without an answer: each takes as long as a request may, and there may be hundreds.
const PATIENCE: usize = 3;

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
            upstream: outbound.upstreams().of(0).clone(),
            management: outbound.client_management(config, around)?,
            server: outbound.authorization_server(config, &stored, around)?,
            store: storage.map(|storage| storage.store.clone()),
            clock: Arc::clone(&around.clock),
            no_token: Secret::new(format!("flexslot-proxy-check-{:032x}", u128::from_le_bytes(around.random.bytes()))),
            config: config.clone(),
            unanswered: AtomicUsize::new(0),
        })
    }

    /// Asks about Flexslot itself, the tenants in `named` (or, where it names none, the first hundred) and the OAuth
    /// clients, and has `report` take each finding as it comes. Nobody is asked about credentials where Flexslot is out
    /// of reach, and about no more of them once it has left three questions without an answer.
    pub async fn run<E>(&self, named: &[TenantId], mut report: impl FnMut(Found) -> Result<(), E>) -> Result<(), E> {
        let (upstream, clock) = self.reach().await;
        let is_reached = !matches!(upstream, Finding::Bad(_));
        report(upstream.of("upstream"))?;
        clock.into_iter().try_for_each(|clock| report(clock.of("clock")))?;
        if !is_reached {
            return Ok(());
        }
        let Subjects { subjects, findings } = self.subjects(named).await;
        let mut partners = clients::Partners::default();
        for subject in &subjects {
            if let Some(finding) = self.patient(self.pat(subject, &mut partners)).await {
                report(finding.of("pat"))?;
            }
        }
        for finding in self.patient(async { Some(self.clients(&mut partners).await) }).await.unwrap_or_default() {
            report(finding.of("client"))?;
        }
        for subject in &subjects {
            if let Some(finding) = self.patient(self.grant(subject)).await {
                report(finding.of("grant"))?;
            }
        }
        let given_up = self.is_out_of_patience().then(|| {
            Finding::Bad(StartFailure::new(format!(
                "Flexslot has left {PATIENCE} questions without an answer; about the rest nobody was asked"
            )))
        });
        findings.into_iter().chain(given_up).try_for_each(|finding| report(finding.of("tenants")))
    }

    /// What `asking` finds, unless Flexslot has been silent too often.
    async fn patient<T>(&self, asking: impl Future<Output = Option<T>>) -> Option<T> {
        if self.is_out_of_patience() { None } else { asking.await }
    }

    fn is_out_of_patience(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) >= PATIENCE
    }

    /// Flexslot was asked, and has not answered.
    fn unanswered(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}
