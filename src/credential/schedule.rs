//! When tokens are refreshed, as far as that follows from times and chance alone: functions that ask nobody and wait
//! for nothing.
//!
//! The room acts by them, and the simulation of a day (`benches/day.rs`) counts what comes of them with a million
//! tenants.

use std::time::Duration;

use tokio::time::Instant;

use super::policy::RefreshPolicy;
use crate::{
    model::{GrantId, Random, Timestamp, TokenSet, Version, token::DEFAULT_LIFE},
    store::GrantSummary,
};

/// The part of the window over which a process draws for itself, so that those who share a tenant do not all come at
/// once.
const OWN_PART: u32 = 100;

/// How many renewals a process begins ahead of need and out of turn, per second.
const OUT_OF_TURN: u32 = 5;

/// How many may come in a second, in turn or out of it, before it counts as a crowd, in which nobody goes out of turn.
const CROWD: u32 = 20;

/// How long Flexslot keeps a refresh token that is not used.
pub const REFRESH_TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// When a pair is renewed ahead of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// From here on a request has it renewed, if few others are due.
    pub opens: Timestamp,
    /// From here on a request has it renewed in any case. Tenants that were connected together have their turns evenly
    /// over the window.
    pub turn: Timestamp,
}

/// A number from zero up to (not including) one that belongs to one version of one grant: every process draws the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

/// Counts the renewals that are begun out of turn: a few per second, so that only a crowd has to wait for its turns.
#[derive(Debug, Default)]
pub struct OutOfTurn {
    since: Option<Instant>,
    begun: u32,
    came: u32,
    /// The same in the second before.
    came_before: u32,
}

// === impl Plan ===

impl Plan {
    /// The plan of one process for `tokens`. `share` is common to all processes; `random` is drawn from once per
    /// version, for this one alone.
    pub fn new(tokens: &TokenSet, share: Share, policy: &RefreshPolicy, random: &Random) -> Self {
        let window = tokens.refresh_window(policy.before_expiry);
        let own = window / OWN_PART;
        let latest = tokens.expires_at.plus(random.below(own));
        let earlier = policy.spread.saturating_sub(share.of(policy.spread));
        let start = latest.minus(window).minus(policy.spread);
        Self { opens: latest.minus(window).minus(earlier), turn: start.plus(share.of(policy.spread + window - own)) }
    }
}

// === impl Share ===

impl Share {
    /// The share of `version` of the grant `id`. Ids are random, and the mixing (splitmix64) makes neighbouring
    /// versions as good as.
    pub fn new(id: GrantId, version: Version) -> Self {
        let (low, _) = id.as_bytes().split_at(8);
        let seed = low.iter().fold(0_u64, |seed, byte| seed << 8 | u64::from(*byte));
        let mut mixed = seed.wrapping_add(version.number().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(f64::from((mixed ^ (mixed >> 31)) as u32 >> 1) / f64::from(1_u32 << 31))
    }

    /// This share of `whole`.
    pub fn of(self, whole: Duration) -> Duration {
        whole.mul_f64(self.0)
    }
}

// === impl OutOfTurn ===

impl OutOfTurn {
    /// Whether one more may begin out of turn at `now`; if so it is counted.
    pub fn admits(&mut self, now: Instant) -> bool {
        self.note_one(now);
        let admitted = self.begun < OUT_OF_TURN && self.came_before <= CROWD;
        self.begun += u32::from(admitted);
        admitted
    }

    /// Notes one that comes at `now`, be it in its turn: many of those make a crowd too, in which the few whose turn comes
    /// last are not to go out of it.
    pub fn note_one(&mut self, now: Instant) {
        match self.since.map(|since| now.duration_since(since).as_secs()) {
            Some(0) => {}
            Some(1) => *self = Self { since: Some(now), came_before: self.came, ..Self::default() },
            _ => *self = Self { since: Some(now), ..Self::default() },
        }
        self.came = self.came.saturating_add(1);
    }
}

/// Whether a pair whose token answer came `age` ago (`None`: nobody knows when) is too new to be renewed for most
/// causes.
pub fn is_too_new(age: Option<Duration>, min_interval: Duration) -> bool {
    age.is_some_and(|age| age < min_interval)
}

/// The wait after the `failures`-th failure in a row: doubling from a second to a minute, the second half of it at
/// random, and never less than the server `asked` for.
pub fn backoff(failures: u32, asked: Option<Duration>, random: &Random) -> Duration {
    let full = Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60));
    (full / 2 + random.below(full / 2)).max(asked.unwrap_or_default())
}

/// When an idle grant is to be refreshed so that its refresh token does not die: `keep_alive` after the last token
/// answer, and up to a tenth later by its share. `None` where nobody has used the grant since about that answer: then
/// it was `keep_alive` itself that last refreshed it.
///
/// That a grant was connected or imported counts as a use of it. Its use during the token's life before the answer
/// counts too, because that use may be what the answer was asked for.
pub fn keep_alive_due(grant: &GrantSummary, last_used: Option<Timestamp>, keep_alive: Duration) -> Option<Timestamp> {
    let answered_at = grant.answered_at.unwrap_or_else(|| grant.expires_at.minus(DEFAULT_LIFE));
    let life = grant.expires_at.left(answered_at).min(keep_alive / 2);
    let is_used = grant.version == Version::FIRST || last_used.is_some_and(|used| used >= answered_at.minus(life));
    // What is left until the end bounds the jitter too, so that there is time enough to try again.
    let jitter = (keep_alive / 10).min(REFRESH_TOKEN_LIFE.saturating_sub(keep_alive) / 2);
    is_used.then(|| answered_at.plus(keep_alive).plus(Share::new(grant.id, grant.version).of(jitter)))
}

#[cfg(test)]
mod tests;
