//! The life of a grant's record, as a renewal may live it:
//!
//! ```text
//! connected v ──intent──▶ uncertain v ──200──▶ connected v+1
//!      ▲                   │  ▲    │
//!      └──not taken────────┘  │    ├──invalid_grant──────────────▶ disconnected
//!                last resort ─┘    └──last resort, no outcome────▶ disconnected
//! ```

use std::time::Duration;

use super::{
    monitor::{Outcome, Seen},
    names::name_of,
    stage::Process,
};
use crate::model::{
    Grant, GrantState, TenantId, Timestamp,
    token::{Attempt, DisconnectReason, Disconnected, Intent},
};

/// `refresh.uncertain_after`'s default.
const UNCERTAIN_AFTER: Duration = Duration::from_secs(120);

/// How far a process's idea of the store's time may be ahead: it counts the store's slowness in.
const AHEAD: Duration = Duration::from_secs(25);

// === impl Seen ===

impl Seen {
    /// What became of the token request of `intent`; `None` if it was never made.
    pub(super) fn outcome(&self, intent: &Intent) -> Option<Outcome> {
        let stored = self.intents.iter().find(|stored| stored.intent == *intent)?;
        Some(self.questions[stored.question?].outcome)
    }

    /// Whether enough time has passed since `intent`, or its owner is gone.
    fn may_be_passed_over(&self, intent: &Intent, now: Timestamp) -> bool {
        now.since(intent.at).is_none_or(|age| age >= UNCERTAIN_AFTER) || self.gone.contains(&intent.owner)
    }

    /// Whether the record may go from `before` to `after`.
    pub(super) fn transition(
        &self,
        process: Process,
        tenant: &TenantId,
        before: &GrantState,
        after: &GrantState,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        use GrantState::{Connected, Disconnected as Gone, NeverConnected, Uncertain};
        let live = |state: &GrantState| state.grant().map(|grant| (grant.id, grant.version));
        if live(after).is_some_and(|(id, _)| self.over.contains(&id)) {
            return Err("a grant that was over comes back");
        }
        if after.grant().is_some_and(|grant| self.lost.contains(&name_of(&grant.tokens.refresh).0)) {
            return Ok(());
        }
        match (before, after) {
            (Connected(old), Uncertain(new, intent)) if same(old, new) => match intent.attempt {
                Attempt::First => Ok(()),
                Attempt::LastResort => Err("a last resort before a first try"),
            },
            (Uncertain(old, earlier), Uncertain(new, intent)) if same(old, new) => {
                self.next_intent(process, tenant, old, earlier, intent, now)
            }
            (Uncertain(old, intent), Connected(new)) if same(old, new) => match self.outcome(intent) {
                None | Some(Outcome::NotTaken) => Ok(()),
                Some(_) => Err("an intent is taken back whose token may be spent"),
            },
            (Uncertain(old, _) | Connected(old), Connected(new)) if old.id == new.id => {
                let rotated = self.questions.iter().any(|asked| {
                    asked.token == old.tokens.refresh.expose()
                        && new.tokens.refresh.expose() == format!("{}.{}", name_of(&old.tokens.refresh).0, asked.number)
                });
                if rotated { Ok(()) } else { Err("a pair that nobody gave out for the one before") }
            }
            // Written back to a store that came back with it.
            (Uncertain(old, _) | Connected(old), Gone(end)) if old.id == end.id && self.was_disconnected(end.id) => {
                Ok(())
            }
            (Uncertain(old, intent), Gone(end)) if old.id == end.id => self.may_end(old, intent, end, now),
            (Connected(old), Gone(end)) if old.id == end.id => {
                let revoked = self.revoked(old);
                if revoked { Ok(()) } else { Err("it ends without a reason") }
            }
            (NeverConnected | Gone(_), NeverConnected | Gone(_)) => Ok(()),
            // From the spool, to a store that came back without its grant.
            (NeverConnected, Connected(new)) if self.was_answered_last(new) => Ok(()),
            _ => Err("no renewal does that"),
        }
    }

    fn next_intent(
        &self,
        process: Process,
        tenant: &TenantId,
        grant: &Grant,
        earlier: &Intent,
        intent: &Intent,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        let never_taken = matches!(self.outcome(earlier), None | Some(Outcome::NotTaken));
        // A withdrawal, or the same attempt once more by who knows that it was never made.
        let stored = self.intents.iter().any(|stored| stored.intent == *intent);
        if never_taken && (stored || (earlier.owner == intent.owner && earlier.attempt == intent.attempt)) {
            return Ok(());
        }
        if (earlier.attempt, intent.attempt) != (Attempt::First, Attempt::LastResort) {
            return Err("one attempt too many");
        }
        if !self.may_be_passed_over(earlier, now) {
            return Err("a last resort while the first try may be under way");
        }
        let refused = self.refused.contains(&(grant.id, grant.version));
        if grant.tokens.expires_at > now.plus(AHEAD) && !refused {
            return Err("a last resort while the access token serves");
        }
        let file = format!("{}-{}.pair", grant.id, grant.version.number() + 1);
        let elected = self.elected.get(&(process, tenant.clone()));
        if elected.is_some_and(|spooled| spooled.contains(&file)) {
            return Err("a last resort while the next pair lies in the spool");
        }
        Ok(())
    }

    fn may_end(&self, grant: &Grant, intent: &Intent, end: &Disconnected, now: Timestamp) -> Result<(), &'static str> {
        if self.revoked(grant) {
            return Ok(());
        }
        match (end.reason, intent.attempt) {
            (DisconnectReason::RefreshOutcomeLost, Attempt::LastResort) if self.may_be_passed_over(intent, now) => {
                Ok(())
            }
            _ => Err("it ends without a reason"),
        }
    }

    /// Whether Flexslot has refused this very pair.
    fn revoked(&self, grant: &Grant) -> bool {
        let token = grant.tokens.refresh.expose();
        self.questions.iter().any(|asked| asked.token == token && asked.outcome == Outcome::Revoked)
    }
}

fn same(old: &Grant, new: &Grant) -> bool {
    (old.id, old.version) == (new.id, new.version)
}
