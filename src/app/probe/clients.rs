//! Whether Flexslot takes the OAuth clients, and whether they are registered as the configuration counts on.

use std::collections::{BTreeMap, HashMap};

use super::Probes;
use crate::{
    app::{StartFailure, finding::Finding},
    config::NamedClient,
    flexslot::{TokenError, clients::CLIENTS_PAGE},
    model::{ClientDescription, ClientStatus, ClientType, RedirectUri, ScopeSet, Secret, TenantId, token::DpopMode},
    store::ClientRecord,
};

/// PATs whose owners may be partners. Only a partner's shows how a client is registered.
#[derive(Debug, Default)]
pub(super) struct Partners {
    pats: BTreeMap<TenantId, Secret>,
}

/// A client, and what is counted on.
pub(super) struct Expected {
    pub(super) client_id: String,
    /// As messages name it.
    pub(super) called: String,
    pub(super) secret: Secrecy,
    /// Where browsers are to come back to; `None` where another client will do.
    pub(super) redirect_uri: Option<RedirectUri>,
    /// What a user is asked for in its name; `None` where as much of it as the client may is enough.
    pub(super) scopes: Option<ScopeSet>,
    pub(super) dpop: DpopMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    Has,
    HasNone,
}

/// PATs that are tried in search of a client's partner.
const MOST_PARTNERS: usize = 10;

// === impl Partners ===

impl Partners {
    /// Flexslot takes the tenant's PAT.
    pub(super) fn may_be(&mut self, tenant: &TenantId, pat: &Secret) {
        self.pats.insert(tenant.clone(), pat.clone());
    }

    /// Those of `managers` first.
    fn in_turn<'a>(&'a self, managers: &'a [&TenantId]) -> impl Iterator<Item = &'a Secret> {
        let first = managers.iter().filter_map(|manager| self.pats.get(*manager));
        let others = self.pats.iter().filter(|(tenant, _)| !managers.contains(tenant)).map(|(_, pat)| pat);
        first.chain(others).take(MOST_PARTNERS)
    }
}

// === impl Probes ===

impl Probes {
    /// What Flexslot says of each client that this process may speak for.
    pub(super) async fn clients(&self, partners: &mut Partners) -> Vec<Finding> {
        let kept = match &self.store {
            None => Vec::new(),
            Some(store) => match store.clients().await {
                Ok(kept) => kept.clients,
                Err(error) => return vec![Finding::Bad(StartFailure::store(&error))],
            },
        };
        let origin = &self.config.upstream.origin;
        let kept: Vec<_> = kept.into_iter().filter(|kept| kept.origin == *origin && kept.is_presentable()).collect();
        let expected = self.expected(&kept);
        let registered = self.registered(&expected, &kept, partners).await;
        let mut findings = Vec::with_capacity(expected.len());
        for expected in expected {
            findings.extend(self.client(&expected, registered.get(&expected.client_id)).await);
        }
        findings
    }

    /// Those of the file, then those that only the store has.
    fn expected(&self, kept: &[ClientRecord]) -> Vec<Expected> {
        let oauth = &self.config.oauth;
        let usual_uri = oauth.callback.known();
        let in_store = |id: &str| kept.iter().any(|kept| kept.client.client_id == id && kept.secret.is_some());
        let secrecy = |has| if has { Secrecy::Has } else { Secrecy::HasNone };
        let own = oauth.client.iter().map(|client| Expected {
            client_id: client.id.clone(),
            called: client.id.clone(),
            secret: secrecy(client.secret.is_some() || in_store(&client.id)),
            redirect_uri: usual_uri.clone(),
            scopes: Some(oauth.scopes.clone()),
            dpop: oauth.dpop,
        });
        let named = oauth.clients.iter().map(|NamedClient { name, client, redirect_uri, scopes, dpop }| Expected {
            client_id: client.id.clone(),
            called: format!("{name:?} ({})", client.id),
            secret: secrecy(client.secret.is_some() || in_store(&client.id)),
            redirect_uri: redirect_uri.clone().or_else(|| usual_uri.clone()),
            scopes: Some(scopes.as_ref().unwrap_or(&oauth.scopes).clone()),
            dpop: *dpop,
        });
        let of_file: Vec<_> = own.chain(named).collect();
        let stored =
            kept.iter().filter(|kept| !of_file.iter().any(|expected| expected.client_id == kept.client.client_id));
        let stored: Vec<_> = stored
            .map(|kept| Expected {
                client_id: kept.client.client_id.clone(),
                called: format!("{:?} ({}, of the store)", kept.client.name, kept.client.client_id),
                secret: secrecy(kept.secret.is_some()),
                redirect_uri: None,
                scopes: None,
                dpop: oauth.dpop,
            })
            .collect();
        of_file.into_iter().chain(stored).collect()
    }

    /// The objects of all clients that a PAT at hand shows.
    async fn registered(
        &self,
        expected: &[Expected],
        kept: &[ClientRecord],
        partners: &Partners,
    ) -> HashMap<String, ClientDescription> {
        let managers: Vec<_> = kept.iter().map(|kept| &kept.tenant).collect();
        let mut registered = HashMap::new();
        for pat in partners.in_turn(&managers) {
            if expected.iter().all(|expected| registered.contains_key(&expected.client_id)) {
                break;
            }
            // Most PATs are no partner's, and whether one works has been told already.
            let listed = self.management.list(pat).await.unwrap_or_default();
            registered.extend(listed.into_iter().map(|client| (client.client_id.clone(), client)));
        }
        registered
    }

    /// One finding for each fault; whether Flexslot knows the client, where there is none.
    async fn client(&self, expected: &Expected, registered: Option<&ClientDescription>) -> Vec<Finding> {
        let faults = registered.map(|registered| faults(expected, registered)).unwrap_or_default();
        if faults.is_empty() {
            return vec![self.known(expected, registered).await];
        }
        let called = &expected.called;
        let named = |fault: StartFailure| StartFailure { what: format!("{called}: {}", fault.what), ..fault };
        faults.into_iter().map(|fault| Finding::Bad(named(fault))).collect()
    }

    /// Whether Flexslot lets the client in.
    async fn known(&self, expected: &Expected, registered: Option<&ClientDescription>) -> Finding {
        let called = &expected.called;
        // A refresh token that is nobody's: a server that looks for it has let the client in (RFC 6749 section 5.2).
        match self.server.refresh(&expected.client_id, &self.no_token, None).await {
            Err(TokenError::Revoked) => Finding::Good(match registered {
                Some(registered) => good(called, expected, registered),
                None => format!(
                    "{called}: Flexslot knows it; only its partner's PAT would show whether redirect URI, scopes and \
                     DPoP are as here"
                ),
            }),
            Ok(_) => Finding::Bad(StartFailure::new(format!(
                "{called}: {} has answered a token that was made up with tokens; check oauth.token_url",
                self.config.oauth.token_url
            ))),
            Err(error @ TokenError::RefusedForNow { .. }) => {
                Finding::Bad(StartFailure::new(format!("{called}: {error}")).hint("try again in a minute"))
            }
            Err(error) => Finding::Bad(StartFailure::new(format!("{called}: {error}"))),
        }
    }
}

fn good(called: &str, expected: &Expected, registered: &ClientDescription) -> String {
    let place = match &expected.redirect_uri {
        Some(uri) => format!(", with {} among its redirect URIs", uri.as_str()),
        None => String::new(),
    };
    let bound = if registered.dpop_bound_access_tokens { "; its tokens are bound to keys (DPoP)" } else { "" };
    format!("{called}: Flexslot knows it as it is here{place}, for {}{bound}", registered.scopes.join(" "))
}

/// Everything that is otherwise at Flexslot than here, with what mends it.
pub(super) fn faults(expected: &Expected, registered: &ClientDescription) -> Vec<StartFailure> {
    let mut faults = Vec::new();
    let anew = "a client cannot be changed at Flexslot; make another with flexslot-proxy client create";
    match registered.status {
        ClientStatus::Active => {}
        ClientStatus::Suspended => {
            faults.push(StartFailure::new("Flexslot has suspended it").hint(format!("ask why: {CLIENTS_PAGE}")));
        }
        ClientStatus::Revoked => faults.push(StartFailure::new("it is revoked").hint(anew)),
    }
    if let Some(uri) = &expected.redirect_uri
        && !registered.redirect_uris.iter().any(|known| known == uri.as_str())
    {
        let what = format!(
            "{} is none of its redirect URIs, which are {}",
            uri.as_str(),
            registered.redirect_uris.join(" and ")
        );
        faults.push(
            StartFailure::new(what).hint(format!("set oauth.redirect_uri to one of them, byte for byte; {anew}")),
        );
    }
    let may_not: Vec<_> = expected.scopes.iter().flat_map(|scopes| scopes.names()).collect();
    let may_not: Vec<_> = may_not.into_iter().filter(|name| !registered.scopes.iter().any(|may| may == name)).collect();
    if !may_not.is_empty() {
        let what = format!("it may not ask for {}, but for {}", may_not.join(" "), registered.scopes.join(" "));
        faults.push(StartFailure::new(what).hint(format!("take them out of oauth.scopes; {anew}")));
    }
    if registered.dpop_bound_access_tokens && expected.dpop == DpopMode::Off {
        let what = "its tokens are bound to keys, and dpop = \"off\" keeps this sidecar from proving that it has them";
        faults.push(StartFailure::new(what).hint("take dpop out, so that it is \"auto\""));
    }
    match (registered.client_type, expected.secret) {
        (Some(ClientType::Confidential), Secrecy::HasNone) => {
            let what = "it is confidential, and its secret is neither in the configuration nor in the store";
            let hint = format!(
                "set client_secret, or have a new one made: flexslot-proxy client rotate-secret {}",
                expected.client_id
            );
            faults.push(StartFailure::new(what).hint(hint));
        }
        (Some(ClientType::Public), Secrecy::Has) => {
            faults.push(StartFailure::new("it is public, and has no secret").hint("take client_secret out"));
        }
        _ => {}
    }
    faults
}
