//! What the token endpoint knows of each grant, and what it was asked: the judge of whether a refresh came once.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use crate::failure::{Failure, Result};

/// One grant for each tenant, by its number. Tokens are told apart by tenant and version: `flx_at_0000042_3`.
#[derive(Debug)]
pub(crate) struct Record {
    grants: Vec<Grant>,
    /// How long the tokens of the next answers live, in milliseconds.
    life: AtomicU64,
    /// How long a token answer is held back, in milliseconds.
    hold: AtomicU64,
    /// Token requests that are nobody's: an unknown token, no refresh.
    strange: AtomicU32,
}

#[derive(Debug, Default)]
struct Grant {
    version: AtomicU32,
    /// When its access token ends, in milliseconds since 1970.
    ends: AtomicU64,
    /// Refreshes that were answered with a new pair.
    refreshed: AtomicU32,
    /// Refresh tokens that came after they were spent.
    replayed: AtomicU32,
    /// Requests that were refused: another token than the newest one, or one that had ended.
    refused: AtomicU32,
}

/// What the token endpoint was asked for some tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Tenants that were refreshed at all.
    pub(crate) tenants: u32,
    pub(crate) refreshes: u32,
    pub(crate) replays: u32,
    pub(crate) refused: u32,
}

// === impl Record ===

impl Record {
    pub(crate) fn of(tenants: u32) -> Self {
        let grants = (0..tenants).map(|_| Grant::default()).collect();
        Self { grants, life: AtomicU64::new(3_600_000), hold: AtomicU64::default(), strange: AtomicU32::default() }
    }

    /// The tokens of the next answers live that long.
    pub(crate) fn set_life(&self, life: Duration) {
        self.life.store(millis(life), SeqCst);
    }

    pub(crate) fn set_hold(&self, hold: Duration) {
        self.hold.store(millis(hold), SeqCst);
    }

    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold.load(SeqCst))
    }

    /// A new pair for this tenant that ends at `ends`, given out beside the token endpoint; as a line of an import.
    pub(crate) fn line(&self, number: u32, ends: SystemTime) -> String {
        let grant = &self.grants[number as usize];
        // Whole seconds, as in the line.
        let ends = ends.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let version = grant.version.fetch_add(1, SeqCst) + 1;
        grant.ends.store(ends * 1000, SeqCst);
        json!({
            "tenant": tenant(number), "access_token": access(number, version), "refresh_token": refresh(number, version),
            "expires_at": ends, "scope": "decks:read decks:write cards:read",
        })
        .to_string()
    }

    /// Whether the resource takes this access token.
    pub(crate) fn admits(&self, token: &str) -> bool {
        let Some((grant, version)) = token.strip_prefix("flx_at_").and_then(|rest| self.named(rest)) else {
            return false;
        };
        let is_good = grant.version.load(SeqCst) == version && now() < grant.ends.load(SeqCst);
        if !is_good {
            grant.refused.fetch_add(1, SeqCst);
        }
        is_good
    }

    /// The next pair, if this is the newest refresh token of a grant.
    pub(crate) fn refresh(&self, token: &str) -> Option<String> {
        let Some((grant, version)) = token.strip_prefix("flx_rt_").and_then(|rest| self.named(rest)) else {
            self.strange.fetch_add(1, SeqCst);
            return None;
        };
        if grant.version.compare_exchange(version, version + 1, SeqCst, SeqCst).is_err() {
            grant.replayed.fetch_add(1, SeqCst);
            return None;
        }
        let (life, number) = (self.life.load(SeqCst), &token["flx_rt_".len()..][..7]);
        grant.ends.store(now() + life, SeqCst);
        grant.refreshed.fetch_add(1, SeqCst);
        let version = version + 1;
        let pair = json!({
            "access_token": format!("flx_at_{number}_{version}"), "refresh_token": format!("flx_rt_{number}_{version}"),
            "token_type": "Bearer", "expires_in": life / 1000, "scope": "decks:read decks:write cards:read",
        });
        Some(pair.to_string())
    }

    fn named(&self, rest: &str) -> Option<(&Grant, u32)> {
        let (number, version) = rest.split_once('_')?;
        Some((self.grants.get(number.parse::<usize>().ok()?)?, version.parse().ok()?))
    }

    /// How long until a tenant's token ends.
    pub(crate) fn left(&self, number: u32) -> Duration {
        Duration::from_millis(self.grants[number as usize].ends.load(SeqCst).saturating_sub(now()))
    }

    pub(crate) fn asked(&self, tenants: Range<u32>) -> Asked {
        let mut asked = Asked { tenants: 0, refreshes: 0, replays: 0, refused: 0 };
        for grant in &self.grants[tenants.start as usize..tenants.end as usize] {
            let refreshes = grant.refreshed.load(SeqCst);
            asked.tenants += u32::from(refreshes > 0);
            asked.refreshes += refreshes;
            asked.replays += grant.replayed.load(SeqCst);
            asked.refused += grant.refused.load(SeqCst);
        }
        asked
    }

    /// Counts anew for these.
    pub(crate) fn forget(&self, tenants: Range<u32>) {
        for grant in &self.grants[tenants.start as usize..tenants.end as usize] {
            [&grant.refreshed, &grant.replayed, &grant.refused].iter().for_each(|count| count.store(0, SeqCst));
        }
    }

    /// Fails unless each of these was refreshed once, and nothing came that should not have.
    pub(crate) fn demand_one_each(&self, tenants: Range<u32>) -> Result<()> {
        let count = tenants.end - tenants.start;
        let (asked, strange) = (self.asked(tenants), self.strange.load(SeqCst));
        // What is refused was on its way while its token was renewed, or ended; the retry has cured it, or its answer were not 200.
        let refused = asked.refused;
        match asked == (Asked { tenants: count, refreshes: count, replays: 0, refused }) && strange == 0 {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "{count} tokens were to be refreshed once each, and the token endpoint saw: {asked:?}; {strange} strange requests"
            ))),
        }
    }
}

// === names ===

pub(crate) fn tenant(number: u32) -> String {
    format!("tenant-{number:07}")
}

fn access(number: u32, version: u32) -> String {
    format!("flx_at_{number:07}_{version}")
}

fn refresh(number: u32, version: u32) -> String {
    format!("flx_rt_{number:07}_{version}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
