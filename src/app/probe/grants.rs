//! What a tenant's connection is worth, and whether it may do what it is wanted for.

use super::{Probes, subjects::Subject};
use crate::{
    app::{StartFailure, finding::Finding},
    flexslot::{Introspection, TokenError},
    model::{
        Grant, GrantState, Scope, ScopeSet, TenantId, TokenType,
        scope::in_words,
        token::{DisconnectReason, Disconnected},
    },
    store::IdentityRecord,
};

// === impl Probes ===

impl Probes {
    /// How the tenant's connection is, where it has or had one.
    pub(super) async fn grant(&self, subject: &Subject) -> Option<Finding> {
        let tenant = &subject.tenant;
        Some(match &subject.record.as_ref()?.grant {
            GrantState::NeverConnected => return None,
            GrantState::Disconnected(disconnected) => ended(tenant, disconnected),
            GrantState::Uncertain(_, intent) => Finding::doubtful(format!(
                "{tenant}: a refresh that began at {} has no outcome yet; the next request settles it",
                intent.at
            )),
            GrantState::Connected(grant) => match self.unusable(tenant, grant) {
                Some(unusable) => Finding::Bad(unusable),
                None => self.asked(tenant, grant).await,
            },
        })
    }

    /// Why the grant is never sent, whatever Flexslot thinks of it.
    fn unusable(&self, tenant: &TenantId, grant: &Grant) -> Option<StartFailure> {
        let (origin, client) = (&self.config.upstream.origin, &grant.client_id);
        if grant.origin != *origin {
            let what = format!("{tenant}: it belongs to {}, and is not sent to {origin}", grant.origin);
            return Some(StartFailure::new(what).hint("check upstream.url"));
        }
        if !self.server.knows(client) {
            let what = format!("{tenant}: its OAuth client {client} is neither in the configuration nor in the store");
            return Some(StartFailure::new(what).hint("name the client in [[oauth.clients]], or connect again"));
        }
        if grant.tokens.token_type == TokenType::Dpop && !self.server.may_prove(client) {
            let what =
                format!("{tenant}: its tokens are bound to a key, and oauth.dpop = \"off\" keeps them from being used");
            return Some(StartFailure::new(what).hint("take oauth.dpop out, so that it is \"auto\""));
        }
        None
    }

    async fn asked(&self, tenant: &TenantId, grant: &Grant) -> Finding {
        let reconnect = format!("connect it again: flexslot-proxy connect {tenant}");
        if grant.tokens.expires_at <= self.clock.now() {
            return Finding::Good(format!(
                "{tenant}: its access token has expired, and the next request refreshes it; Flexslot was not asked"
            ));
        }
        match self.server.introspect(&grant.client_id, &grant.tokens.access).await {
            Err(error) => {
                if matches!(error, TokenError::NotSent(_) | TokenError::Unknown(_)) {
                    self.unanswered();
                }
                Finding::Bad(StartFailure::new(format!("{tenant}: {error}")))
            }
            Ok(Introspection::Inactive) => {
                let what = format!(
                    "{tenant}: Flexslot knows nothing of its access token, which should hold until {}",
                    grant.tokens.expires_at
                );
                Finding::Bad(StartFailure::new(what).hint(format!("if the next request does not mend it, {reconnect}")))
            }
            Ok(Introspection::Active { identity, scope }) => {
                let known = self.identity(tenant).await;
                let sub = |known: &IdentityRecord| known.identity.as_ref().map(|identity| identity.sub.clone());
                // Without one where the record does not open, which says nothing of whose it was.
                let was = known.as_ref().and_then(sub).filter(|sub| !sub.is_empty());
                if let (Some(was), Some(is)) = (was, &identity)
                    && was != is.sub
                {
                    let what = format!("{tenant}: it belongs to another Flexslot user than when it was connected");
                    return Finding::Bad(StartFailure::new(what).hint(reconnect));
                }
                let whose = identity.and_then(|identity| identity.username);
                let whose = whose.map_or_else(String::new, |name| format!(" of @{name}"));
                let granted = scope.map_or_else(|| grant.tokens.scopes.clone(), |scope| ScopeSet::new(&scope));
                let lacks = known.map_or_else(ScopeSet::unknown, |known| known.lacks);
                compared(tenant, &whose, &granted, &self.wanted(&grant.client_id), &lacks)
            }
        }
    }

    async fn identity(&self, tenant: &TenantId) -> Option<IdentityRecord> {
        self.store.as_ref()?.identity(tenant).await.ok().flatten()
    }

    /// What a user is asked for in the client's name.
    fn wanted(&self, client_id: &str) -> ScopeSet {
        let named = self.config.oauth.clients.iter().find(|named| named.client.id == client_id);
        let own = named.and_then(|named| named.scopes.clone());
        own.unwrap_or_else(|| self.config.oauth.scopes.clone())
    }
}

fn ended(tenant: &TenantId, Disconnected { reason, at, .. }: &Disconnected) -> Finding {
    let what = match reason {
        DisconnectReason::Disconnected => format!("{tenant}: disconnected here at {at}"),
        DisconnectReason::InvalidGrant => format!("{tenant}: Flexslot ended the connection; seen at {at}"),
        DisconnectReason::RefreshOutcomeLost => {
            format!("{tenant}: lost with a refresh that nobody knows the outcome of; seen at {at}")
        }
        DisconnectReason::ClientRevoked => format!("{tenant}: ended at {at}, when its OAuth client was revoked"),
    };
    Finding::Doubtful(StartFailure::new(what).hint(format!("flexslot-proxy connect {tenant}")))
}

/// What was granted beside what is asked for and what Flexslot has refused requests for want of.
pub(super) fn compared(
    tenant: &TenantId,
    whose: &str,
    granted: &ScopeSet,
    wanted: &ScopeSet,
    lacks: &ScopeSet,
) -> Finding {
    let missing = |scopes: &ScopeSet| -> Vec<String> {
        let known = scopes.names().filter_map(|name| Some((name, Scope::from_name(name)?)));
        known.filter(|(_, scope)| !granted.covers(*scope)).map(|(name, _)| name.to_owned()).collect()
    };
    let (needed, unasked) = (missing(lacks), missing(wanted));
    let good =
        format!("{tenant}: a connection{whose} that holds, for {}", granted.as_str().unwrap_or("unknown scopes"));
    let mut more = needed.clone();
    more.extend(unasked.iter().filter(|scope| !needed.contains(scope)).cloned());
    if more.is_empty() {
        return Finding::Good(good);
    }
    let mut what = good;
    if !needed.is_empty() {
        let words: Vec<_> = needed.iter().map(|name| in_words(name).unwrap_or(name).to_lowercase()).collect();
        what.push_str(&format!("; Flexslot has refused calls that need permission to {}", words.join(", ")));
    }
    if !unasked.is_empty() {
        what.push_str(&format!("; the configuration asks for {}, too", unasked.join(" ")));
    }
    // Only what is of the catalogue: the line is to be pasted into a shell, and what was granted is Flexslot's text.
    let known = granted.names().filter(|name| Scope::from_name(name).is_some()).map(str::to_owned);
    let all: Vec<_> = known.chain(more).map(|scope| format!("--scope {scope}")).collect();
    Finding::Doubtful(StartFailure::new(what).hint(format!("flexslot-proxy connect {tenant} {}", all.join(" "))))
}
