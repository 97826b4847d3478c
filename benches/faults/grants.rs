//! The credentials of the stand-in: PATs that stay, and grants whose pairs rotate. A refresh token that comes a second time ends its
//! grant, as at Flexslot.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde_json::json;

use crate::dice::Dice;

#[derive(Default)]
pub(crate) struct Grants(Mutex<Held>);

#[derive(Default)]
struct Held {
    pats: HashSet<String>,
    grants: Vec<Grant>,
    /// Where the grant of a token is; also of those that are spent.
    by_access: HashMap<String, usize>,
    by_refresh: HashMap<String, usize>,
    /// Requests whose order to refuse a token was carried out: the retry brings it again.
    refused: HashSet<u64>,
    trouble: Option<Trouble>,
    /// How late the next pair is.
    delay: Option<Duration>,
    counts: Counts,
}

struct Grant {
    tenant: String,
    life: Duration,
    version: u32,
    access: String,
    refresh: String,
    issued: Instant,
    standing: Standing,
    /// When the token was last replaced or refused, or a refresh of it failed on order.
    disturbed: Instant,
    /// The version whose refresh has failed on order. It fails but once.
    troubled: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    /// The access token was refused on order.
    Refused,
    Ended,
}

/// How the token endpoint fails by itself.
struct Trouble {
    dice: Dice,
    /// How many of a hundred requests.
    percent: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) refreshes: u64,
    /// Refresh tokens that were presented after they were spent.
    pub(crate) replays: u64,
    /// Token requests that failed on order.
    pub(crate) troubles: u64,
    /// Access tokens that were refused on order.
    pub(crate) refusals: u64,
}

/// What a token request gets. A failure on order leaves the pair as it is.
pub(crate) enum Judgement {
    Pair {
        pair: String,
        /// How much later it is told.
        late: Duration,
    },
    Error(u16, &'static str, String),
    Cut,
}

// === impl Grants ===

impl Grants {
    /// A PAT, as a line of an import.
    pub(crate) fn pat(&self, tenant: &str) -> String {
        let pat = format!("flx_pat_{tenant}");
        self.0.lock().pats.insert(pat.clone());
        json!({"tenant": tenant, "pat": pat}).to_string()
    }

    /// A grant whose access tokens live for `life`, as a line of an import.
    pub(crate) fn grant(&self, tenant: &str, life: Duration) -> String {
        self.grant_that_ends(tenant, life, life)
    }

    /// The same with an access token that counts as expired from the beginning.
    pub(crate) fn expired(&self, tenant: &str, life: Duration) -> String {
        self.grant_that_ends(tenant, life, Duration::ZERO)
    }

    fn grant_that_ends(&self, tenant: &str, life: Duration, left: Duration) -> String {
        let mut held = self.0.lock();
        let now = Instant::now();
        held.grants.push(Grant {
            tenant: tenant.to_owned(),
            life,
            version: 0,
            access: String::new(),
            refresh: String::new(),
            issued: now,
            standing: Standing::Good,
            disturbed: now,
            troubled: 0,
        });
        let index = held.grants.len() - 1;
        held.rotate(index);
        let grant = &held.grants[index];
        let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + left;
        json!({
            "tenant": tenant, "access_token": grant.access, "refresh_token": grant.refresh, "expires_at": ends.as_secs(),
            "scope": "decks:read decks:write cards:read",
        })
        .to_string()
    }

    /// From now on so many of a hundred token requests fail, each pair's at most once.
    pub(crate) fn trouble(&self, percent: u64, dice: Dice) {
        self.0.lock().trouble = Some(Trouble { dice, percent });
    }

    /// The next pair is rotated at once, and told so much later.
    pub(crate) fn slow_next(&self, by: Duration) {
        self.0.lock().delay = Some(by);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    /// How long ago a tenant's token was last replaced or refused, or its refresh failed.
    pub(crate) fn undisturbed_for(&self, tenant: &str) -> Duration {
        let held = self.0.lock();
        let grant = held.grants.iter().find(|grant| grant.tenant == tenant);
        grant.map_or(Duration::MAX, |grant| grant.disturbed.elapsed())
    }

    pub(crate) fn admits(&self, token: &str) -> bool {
        let held = self.0.lock();
        held.pats.contains(token)
            || held.by_access.get(token).map(|index| &held.grants[*index]).is_some_and(|grant| {
                grant.access == token && grant.standing == Standing::Good && grant.issued.elapsed() < grant.life
            })
    }

    /// Refuses this token from now on, once for each request. One that was just issued is left alone: the sidecar passes
    /// a 401 on that comes within `min_interval` of the last answer.
    pub(crate) fn refuse(&self, token: &str, request: Option<u64>) {
        let mut held = self.0.lock();
        if request.is_some_and(|number| !held.refused.insert(number)) {
            return;
        }
        let Some(index) = held.by_access.get(token).copied() else { return };
        let grant = &mut held.grants[index];
        let is_settled = grant.issued.elapsed() > Duration::from_secs(3);
        if is_settled && grant.access == token && grant.standing == Standing::Good {
            (grant.standing, grant.disturbed) = (Standing::Refused, Instant::now());
            held.counts.refusals += 1;
        }
    }

    /// What is told of a token (RFC 7662).
    pub(crate) fn introspect(&self, form: &[u8]) -> String {
        let token = form_field(form, "token");
        let held = self.0.lock();
        match held.by_access.get(&token).map(|index| &held.grants[*index]) {
            Some(grant) => json!({"active": true, "sub": grant.tenant, "username": grant.tenant}).to_string(),
            None => json!({"active": false}).to_string(),
        }
    }

    pub(crate) fn refresh(&self, form: &[u8]) -> Judgement {
        let refresh = form_field(form, "refresh_token");
        let mut held = self.0.lock();
        let invalid = || Judgement::Error(400, "", json!({"error": "invalid_grant"}).to_string());
        let Some(index) = held.by_refresh.get(&refresh).copied() else { return invalid() };
        if held.grants[index].refresh != refresh {
            held.counts.replays += 1;
            held.grants[index].standing = Standing::Ended;
        }
        if held.grants[index].standing == Standing::Ended {
            return invalid();
        }
        let failure = held.failure(index);
        if let Some(failure) = failure {
            return failure;
        }
        held.rotate(index);
        held.counts.refreshes += 1;
        let grant = &held.grants[index];
        let pair = json!({
            "access_token": grant.access, "refresh_token": grant.refresh, "token_type": "Bearer",
            "expires_in": grant.life.as_secs(), "scope": "decks:read decks:write cards:read",
        });
        let is_slow = held.trouble.as_mut().is_some_and(|trouble| trouble.dice.percent(10));
        let by_chance = is_slow.then_some(Duration::from_secs(1));
        Judgement::Pair { pair: pair.to_string(), late: held.delay.take().or(by_chance).unwrap_or_default() }
    }
}

// === impl Held ===

impl Held {
    /// The next pair of a grant.
    fn rotate(&mut self, index: usize) {
        let grant = &mut self.grants[index];
        grant.version += 1;
        (grant.issued, grant.standing) = (Instant::now(), Standing::Good);
        grant.disturbed = grant.issued;
        let name = format!("{}_{index}_{}", grant.tenant, grant.version);
        (grant.access, grant.refresh) = (format!("flx_at_{name}"), format!("flx_rt_{name}"));
        let (access, refresh) = (grant.access.clone(), grant.refresh.clone());
        self.by_access.insert(access, index);
        self.by_refresh.insert(refresh, index);
    }

    /// How this token request fails, if it is to.
    fn failure(&mut self, index: usize) -> Option<Judgement> {
        let grant = &mut self.grants[index];
        let trouble = self.trouble.as_mut()?;
        if grant.troubled == grant.version || !trouble.dice.percent(trouble.percent) {
            return None;
        }
        (grant.troubled, grant.disturbed) = (grant.version, Instant::now());
        self.counts.troubles += 1;
        let busy = || json!({"error": "temporarily_unavailable"}).to_string();
        Some(match trouble.dice.below(4) {
            0 => Judgement::Error(503, "Retry-After: 1\r\n", busy()),
            1 => Judgement::Error(429, "Retry-After: 1\r\n", busy()),
            2 => Judgement::Error(500, "", "{}".to_owned()),
            _ => Judgement::Cut,
        })
    }
}

fn form_field(form: &[u8], name: &str) -> String {
    let mut fields = form_urlencoded::parse(form);
    fields.find(|(found, _)| found == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}
