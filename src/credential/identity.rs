//! Whose grants are: asked of Flexslot now and then, and never for a request.
//!
//! A username may change, and is shown as it is now; the user behind a grant cannot. Of the tenants that are used, each
//! is asked for once a day, by one sidecar and a few at a time, with a token that serves as it is. Tenants that nobody
//! uses cost nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{state::State, works::Works};
use crate::{
    flexslot::{Introspection, TokenError},
    model::{Grant, GrantId, Identity, Provenance, TenantId, Timestamp},
    store::{Cas, FoundIdentity, IdentityRecord, StoreError},
};

/// How often it is looked who is due, on average, and how many are asked for then.
const EVERY: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 10;

/// How long what Flexslot has said holds.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long after a question without an answer it is asked again.
const AGAIN: Duration = Duration::from_secs(3600);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// When a slot's grant is asked for next.
#[derive(Debug, Clone, Copy)]
pub(super) struct NextLook {
    grant: GrantId,
    at: Timestamp,
    /// Who has not been asked for since is not used.
    since: Instant,
}

/// What an answer means for what is known.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Nothing that was not known.
    Nothing,
    /// Its user, for the first time or with another name.
    User(Identity),
    /// Another user than the grant is of.
    OtherUser(String),
}

/// Asks for those that are used, for as long as the process lives.
pub(super) async fn watch_over(works: Arc<Works>) {
    loop {
        sleep(EVERY / 2 + works.random.below(EVERY)).await;
        if let Err(error) = works.look_whose().await {
            tracing::debug!(%error, "whose grants are is not looked at now");
        }
    }
}

// === impl Works ===

impl Works {
    async fn look_whose(&self) -> Result<(), StoreError> {
        let now = self.now();
        let due = self.idle_slots(|slot| slot.with(|state| is_due(state, now)).then_some(()));
        let tenants: Vec<_> = due.into_iter().map(|((), tenant)| tenant).take(AT_ONCE).collect();
        if tenants.is_empty() {
            return Ok(());
        }
        let found = self.store.identities(&tenants).await?;
        for (tenant, found) in tenants.iter().zip(found) {
            let live = self.held(tenant).and_then(|slot| slot.with(|state| state.live().cloned()));
            let Some(live) = live else { continue };
            let next = match found {
                Ok(found) => self.look_whose_is(tenant, &live.grant, &found).await?,
                // Whoever shows it says so.
                Err(_) => now.plus(DAY),
            };
            if let Some(slot) = self.held(tenant) {
                let next = NextLook { grant: live.grant.id, at: next, since: Instant::now() };
                slot.with(|state| state.next_look = Some(next));
            }
        }
        Ok(())
    }

    /// Asks whose the grant is, if that is due. Answers when it is due next.
    async fn look_whose_is(
        &self,
        tenant: &TenantId,
        grant: &Grant,
        found: &FoundIdentity,
    ) -> Result<Timestamp, StoreError> {
        let now = self.now();
        let known = found.record.clone().filter(|record| record.grant == grant.id);
        // An age below zero counts as old.
        let left = known.as_ref().and_then(|known| now.since(known.checked_at).map(|age| DAY.saturating_sub(age)));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Ok(now.plus(left));
        }
        if known.is_none() && grant.provenance == Provenance::Consent {
            return self.look_anew_whose_is(tenant, grant, found).await;
        }
        let known = known.unwrap_or_else(|| IdentityRecord::unasked(grant.id));
        // Written first, so that of several who find it due one asks.
        let asking = IdentityRecord { checked_at: now, ..known.clone() };
        if self.store.put_identity(tenant, found, &asking).await? == Cas::Moved {
            return Ok(now.plus(AGAIN));
        }
        let (told, next) = match self.ask_whose(grant).await {
            Ok(Introspection::Active { identity: Some(identity), .. }) => (self.judge(tenant, &known, identity), DAY),
            Ok(Introspection::Active { identity: None, .. } | Introspection::Inactive) => (asking, DAY),
            Err(error) => {
                tracing::debug!(%tenant, %error, "whose the grant is could not be asked");
                let checked_at = now.minus(DAY.saturating_sub(AGAIN));
                (IdentityRecord { checked_at, ..known.clone() }, AGAIN)
            }
        };
        if told != (IdentityRecord { checked_at: now, ..known }) {
            let rows = self.store.identities(std::slice::from_ref(tenant)).await?;
            // Whoever has connected or disconnected the tenant meanwhile knows better.
            if let Some(Ok(over)) = rows.into_iter().next()
                && let Some(record) = over.record.as_ref().filter(|record| record.grant == grant.id)
            {
                let told = IdentityRecord { lacks: record.lacks.clone(), ..told };
                let _ = self.store.put_identity(tenant, &over, &told).await?;
            }
        }
        Ok(now.plus(next))
    }

    /// The same of a grant that its user has consented to, and of which somebody has taken away whose it is. A record that
    /// says no more than that it is asked for would make whoever consents next pass for its first user; so there is none
    /// before its user is known, also where several ask for it.
    async fn look_anew_whose_is(
        &self,
        tenant: &TenantId,
        grant: &Grant,
        found: &FoundIdentity,
    ) -> Result<Timestamp, StoreError> {
        let next = match self.ask_whose(grant).await {
            Ok(Introspection::Active { identity: Some(identity), .. }) => {
                let told = self.judge(tenant, &IdentityRecord::unasked(grant.id), identity);
                let _ = self.store.put_identity(tenant, found, &told).await?;
                DAY
            }
            Ok(Introspection::Active { identity: None, .. } | Introspection::Inactive) => DAY,
            Err(error) => {
                tracing::debug!(%tenant, %error, "whose the grant is could not be asked");
                AGAIN
            }
        };
        Ok(self.now().plus(next))
    }

    async fn ask_whose(&self, grant: &Grant) -> Result<Introspection, TokenError> {
        let settings = self.settings();
        if let Some(objection) = settings.objection_to(grant) {
            return Err(TokenError::Misconfigured(objection.to_string()));
        }
        let asked = settings.server.introspect(&grant.client_id, &grant.tokens.access);
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(TokenError::Unknown("no answer in time".into())))
    }

    /// What is known after `identity` was told.
    fn judge(&self, tenant: &TenantId, known: &IdentityRecord, identity: Identity) -> IdentityRecord {
        let checked_at = self.now();
        match finding(known, identity) {
            Finding::Nothing => IdentityRecord { checked_at, other_sub: None, ..known.clone() },
            Finding::User(user) => {
                tracing::info!(%tenant, "whose the connection is was told anew");
                IdentityRecord { identity: Some(user), other_sub: None, checked_at, ..known.clone() }
            }
            Finding::OtherUser(sub) => {
                tracing::error!(%tenant, grant = %known.grant, "Flexslot names another user for a connection than it did before");
                IdentityRecord { other_sub: Some(sub), checked_at, ..known.clone() }
            }
        }
    }
}

/// Whether the tenant was used since it was looked at last, its time has come, and its token serves as it is.
fn is_due(state: &State, now: Timestamp) -> bool {
    let Some(live) = state.live() else { return false };
    let look = state.next_look.filter(|look| look.grant == live.grant.id);
    let is_used = state.asked.is_some_and(|asked| look.is_none_or(|look| asked > look.since));
    let is_time = look.is_none_or(|look| look.at <= now);
    is_used && is_time && live.authorization.is_some() && now < live.plan.opens
}

fn finding(known: &IdentityRecord, told: Identity) -> Finding {
    match &known.identity {
        Some(user) if user.sub != told.sub => Finding::OtherUser(told.sub),
        // A name that is not told is not taken away.
        Some(user) if told.username.is_none() || user.username == told.username => Finding::Nothing,
        _ => Finding::User(told),
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, finding};
    use crate::{
        model::{GrantId, Identity},
        store::IdentityRecord,
    };

    fn user(sub: &str, name: Option<&str>) -> Identity {
        Identity { sub: sub.into(), username: name.map(str::to_owned) }
    }

    #[test]
    fn a_name_may_change_and_a_user_may_not() {
        let of = |identity| IdentityRecord { identity, ..IdentityRecord::unasked(GrantId::from_stored([1; 16])) };
        let known = of(Some(user("u1", Some("george"))));
        assert_eq!(finding(&known, user("u1", Some("george"))), Finding::Nothing);
        assert_eq!(finding(&known, user("u1", None)), Finding::Nothing);
        assert_eq!(finding(&known, user("u1", Some("georgia"))), Finding::User(user("u1", Some("georgia"))));
        assert_eq!(finding(&known, user("u2", Some("george"))), Finding::OtherUser("u2".into()));
        assert_eq!(finding(&of(None), user("u2", None)), Finding::User(user("u2", None)));
    }
}
