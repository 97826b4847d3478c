//! Many tenants and sidecars on virtual time: who asks for a token when. No network, no store, no waiting.
//!
//! What decides is the program's own: [`Plan`], [`OutOfTurn`], [`is_too_new`], [`backoff`], [`Queue`]. What is modelled
//! is the world around it: requests come at random moments and to one of a tenant's sidecars at random, a token request
//! takes its time or fails, the lease elects one sidecar, and the others learn of a new pair when they next look at the
//! store.

mod dice;
mod scenario;

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use flexslot_proxy::{
    credential::{
        schedule::{OutOfTurn, Plan, Share, backoff, is_too_new},
        turns::{Lane, Queue},
    },
    model::{GrantId, ScopeSet, Secret, Timestamp, TokenSet, TokenType, Version, token::Freshness},
};
use tokio::time::Instant;

use self::dice::{Dice, mixed};
pub(crate) use self::scenario::{Connected, Counts, Scenario};

/// How many sidecars a tenant's requests come to.
const REPLICAS: u32 = 3;
/// The life of an access token.
const LIFE: u32 = 3_600_000;
/// How long a token request takes: between this and twice this.
const ANSWER: u32 = 100;
/// How long a connection takes to be refused.
const REFUSAL: u32 = 5;
/// How often sidecars look for changes, and the shortest wait for a lease; as in `credential::watch` and
/// `credential::lease`.
const FEED: u32 = 800;
const LOOK_AGAIN: u32 = 100;

/// Virtual time: milliseconds since the beginning, which is one life after the first tokens could have been issued.
type Millis = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Request,
    Answered,
    NotSent,
    LookAgain,
}

/// What happens, where; `replica` is one of the tenant's sidecars.
type Event = (Millis, What, u32, u8);

/// What store and Flexslot know of a tenant.
#[derive(Clone, Default)]
struct Truth {
    version: u32,
    expires: Millis,
    answered: Millis,
    asked: Millis,
    leased: bool,
}

/// What one sidecar knows of a tenant.
#[derive(Clone, Default)]
struct Slot {
    version: u32,
    failures: u32,
    backoff_until: Millis,
    /// In which lane the renewal under way is.
    flight: Option<Lane>,
}

struct Sidecar {
    turns: Queue<(u32, u8, Lane)>,
    out_of_turn: OutOfTurn,
}

struct Simulation {
    scenario: Scenario,
    began: Instant,
    tenants: Vec<Truth>,
    slots: Vec<Slot>,
    sidecars: Vec<Sidecar>,
    events: BinaryHeap<Reverse<Event>>,
    dice: Dice,
    tokens: TokenSet,
    counts: Counts,
}

// === impl Simulation ===

impl Simulation {
    fn new(scenario: Scenario) -> Self {
        let sidecar =
            |_| Sidecar { turns: Queue::new(scenario.policy.max_parallel), out_of_turn: OutOfTurn::default() };
        let seconds = scenario.hours as usize * 3600;
        let mut simulation = Self {
            began: Instant::now(),
            tenants: vec![Truth::default(); scenario.tenants as usize],
            slots: vec![Slot::default(); (scenario.tenants * REPLICAS) as usize],
            sidecars: (0..scenario.sidecars).map(sidecar).collect(),
            events: BinaryHeap::with_capacity(2 * scenario.tenants as usize),
            dice: Dice::new(),
            tokens: dummy_tokens(),
            counts: Counts { refreshes: vec![0; seconds], not_sent: vec![0; seconds], ..Counts::default() },
            scenario,
        };
        let window = simulation.scenario.policy.before_expiry.as_millis() as u32;
        for tenant in 0..simulation.scenario.tenants {
            let age = match simulation.scenario.connected {
                // Older ones would have been refreshed before this day began.
                Connected::Evenly => simulation.dice.below(LIFE - window),
                Connected::Together => 0,
            };
            // The clock starts one life late, so that an age before the beginning can be told.
            simulation.tenants[tenant as usize] =
                Truth { expires: 2 * LIFE - age, answered: LIFE - age, ..Truth::default() };
            simulation.next_request(tenant, 0);
        }
        simulation
    }

    fn into_counts(self) -> Counts {
        self.counts
    }

    fn run(&mut self, end: Millis) {
        while let Some(Reverse((now, what, tenant, replica))) = self.events.pop() {
            if now >= end {
                return;
            }
            match what {
                What::Request => self.request(now, tenant),
                What::Answered => self.answered(now, tenant, replica),
                What::NotSent => self.not_sent(now, tenant, replica),
                What::LookAgain => self.look_again(now, tenant, replica),
            }
        }
    }

    /// A request comes to one of the tenant's sidecars.
    fn request(&mut self, now: Millis, tenant: u32) {
        self.next_request(tenant, now);
        let replica = u8::try_from(self.dice.below(REPLICAS)).expect("small");
        let truth = self.tenants[tenant as usize].clone();
        let sidecar = self.sidecar_of(tenant, replica);
        // What is new since the sidecar's last look at the store it does not know yet.
        let phase = (mixed(u64::from(sidecar)) % u64::from(FEED)) as u32;
        let last_look = (now + FEED - phase) / FEED * FEED + phase;
        let is_told = truth.answered.saturating_sub(LIFE) + FEED <= last_look;
        let slot = self.slot(tenant, replica);
        if is_told {
            slot.version = truth.version;
        }
        if slot.version != truth.version {
            // By its own knowledge the pair is about to expire; the renewal will find the new one.
            return self.board(now, tenant, replica, Lane::Ahead);
        }
        let (failures, backoff_until) = (slot.failures, slot.backoff_until);
        let plan = self.plan(tenant, replica);
        match self.tokens.freshness(time(now), plan.opens) {
            Freshness::Fresh => {}
            _ if failures > 0 && now < backoff_until => {}
            Freshness::Expired => self.board(now, tenant, replica, Lane::Awaited),
            Freshness::Ageing => {
                let (out_of_turn, instant) =
                    (&mut self.sidecars[sidecar as usize].out_of_turn, self.began + millis(now));
                let may_begin = if time(now) < plan.turn {
                    out_of_turn.admits(instant)
                } else {
                    out_of_turn.note_one(instant);
                    true
                };
                if may_begin && !is_too_new(self.tokens.age(time(now)), self.scenario.policy.min_interval) {
                    self.board(now, tenant, replica, Lane::Ahead);
                }
            }
        }
    }

    /// Starts the sidecar's renewal of the tenant, joins it, or moves it up.
    fn board(&mut self, now: Millis, tenant: u32, replica: u8, lane: Lane) {
        let slot = self.slot(tenant, replica);
        if slot.flight.is_none_or(|before| before == Lane::Ahead && lane == Lane::Awaited) {
            slot.flight = Some(lane);
            self.stand_in(now, tenant, replica, lane);
        }
    }

    fn stand_in(&mut self, now: Millis, tenant: u32, replica: u8, lane: Lane) {
        let sidecar = self.sidecar_of(tenant, replica);
        self.sidecars[sidecar as usize].turns.stand_in(lane, (tenant, replica, lane));
        self.hand_out(now, sidecar);
    }

    fn hand_out(&mut self, now: Millis, sidecar: u32) {
        loop {
            let slots = &self.slots;
            // Who has moved up stands in the other lane now.
            let still_waits =
                |&(tenant, replica, lane): &(u32, u8, Lane)| slots[index(tenant, replica)].flight == Some(lane);
            let Some((tenant, replica, lane)) = self.sidecars[sidecar as usize].turns.next(still_waits) else { return };
            self.bid(now, tenant, replica, lane);
        }
    }

    /// With a turn: the lease, a look at the store, the token request.
    fn bid(&mut self, now: Millis, tenant: u32, replica: u8, lane: Lane) {
        let is_out = self.scenario.outage.is_some_and(|(from, to)| (from..to).contains(&millis(now)));
        let jitter = self.dice.below(ANSWER);
        let known = self.slot(tenant, replica).version;
        let truth = &mut self.tenants[tenant as usize];
        if truth.leased {
            let sidecar = self.sidecar_of(tenant, replica);
            self.sidecars[sidecar as usize].turns.give_back();
            // It holds no turn, and stands in no lane, until it looks again.
            self.events.push(Reverse((now + LOOK_AGAIN + jitter, What::LookAgain, tenant, replica)));
        } else if truth.version != known {
            self.adopt(tenant, replica);
            self.give_back(now, tenant, replica);
        } else {
            (truth.leased, truth.asked) = (true, now);
            if is_out {
                self.counts.not_sent[(now / 1000) as usize] += 1;
                self.events.push(Reverse((now + REFUSAL, What::NotSent, tenant, replica)));
            } else {
                self.counts.refreshes[(now / 1000) as usize] += 1;
                self.counts.awaited += u64::from(lane == Lane::Awaited);
                self.events.push(Reverse((now + ANSWER + jitter, What::Answered, tenant, replica)));
            }
        }
    }

    fn answered(&mut self, now: Millis, tenant: u32, replica: u8) {
        let slot = self.slot(tenant, replica);
        let known = slot.version;
        *slot = Slot { version: known + 1, ..Slot::default() };
        let truth = &mut self.tenants[tenant as usize];
        self.counts.twice += u64::from(truth.version != known);
        let expires = truth.asked + 2 * LIFE;
        *truth = Truth { version: truth.version + 1, expires, answered: now + LIFE, asked: 0, leased: false };
        self.give_back(now, tenant, replica);
    }

    fn not_sent(&mut self, now: Millis, tenant: u32, replica: u8) {
        self.tenants[tenant as usize].leased = false;
        let failures = self.slot(tenant, replica).failures + 1;
        let wait = backoff(failures, None, self.dice.random());
        let backoff_until = now + u32::try_from(wait.as_millis()).expect("short");
        let slot = self.slot(tenant, replica);
        *slot = Slot { failures, backoff_until, flight: None, ..*slot };
        self.give_back(now, tenant, replica);
    }

    fn look_again(&mut self, now: Millis, tenant: u32, replica: u8) {
        let version = self.tenants[tenant as usize].version;
        let slot = self.slot(tenant, replica);
        match slot.flight {
            Some(lane) if slot.version == version => self.stand_in(now, tenant, replica, lane),
            _ => self.adopt(tenant, replica),
        }
    }

    fn adopt(&mut self, tenant: u32, replica: u8) {
        let version = self.tenants[tenant as usize].version;
        *self.slot(tenant, replica) = Slot { version, ..Slot::default() };
        self.counts.adopted += 1;
    }

    fn give_back(&mut self, now: Millis, tenant: u32, replica: u8) {
        let sidecar = self.sidecar_of(tenant, replica);
        self.sidecars[sidecar as usize].turns.give_back();
        self.hand_out(now, sidecar);
    }

    /// The next request after `now` that could matter: as long as the token is fresh everywhere, none does.
    fn next_request(&mut self, tenant: u32, now: Millis) {
        let window = self.scenario.policy.before_expiry + self.scenario.policy.spread;
        let opens = self.tenants[tenant as usize].expires.saturating_sub(LIFE + window.as_millis() as u32);
        let uniform = f64::from(self.dice.below(u32::MAX) + 1) / f64::from(u32::MAX);
        let wait = self.scenario.request_every.mul_f64(-uniform.ln()).as_millis();
        let at = now.max(opens).saturating_add(u32::try_from(wait).unwrap_or(u32::MAX)).saturating_add(1);
        self.events.push(Reverse((at, What::Request, tenant, 0)));
    }

    /// The plan that a sidecar has drawn for the tenant's present pair.
    fn plan(&mut self, tenant: u32, replica: u8) -> Plan {
        let truth = &self.tenants[tenant as usize];
        self.tokens.expires_at = time(truth.expires - LIFE);
        self.tokens.answered_at = Some(Timestamp::from_millis(i64::from(truth.answered) - i64::from(LIFE)));
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mixed(u64::from(tenant)).to_le_bytes());
        let share = Share::new(GrantId::from_stored(id), Version::from_stored(u64::from(truth.version)));
        let one = mixed(u64::from(tenant) << 32 | u64::from(truth.version) << 8 | u64::from(replica));
        self.dice.again(one, |random| Plan::new(&self.tokens, share, &self.scenario.policy, random))
    }

    fn slot(&mut self, tenant: u32, replica: u8) -> &mut Slot {
        &mut self.slots[index(tenant, replica)]
    }

    fn sidecar_of(&self, tenant: u32, replica: u8) -> u32 {
        let first = (mixed(u64::from(tenant) ^ 0x5eed) % u64::from(self.scenario.sidecars)) as u32;
        (first + u32::from(replica)) % self.scenario.sidecars
    }
}

fn index(tenant: u32, replica: u8) -> usize {
    (tenant * REPLICAS + u32::from(replica)) as usize
}

fn time(at: Millis) -> Timestamp {
    Timestamp::from_millis(i64::from(at))
}

fn millis(at: Millis) -> Duration {
    Duration::from_millis(u64::from(at))
}

fn dummy_tokens() -> TokenSet {
    TokenSet {
        access: Secret::new("access"),
        refresh: Secret::new("refresh"),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::unknown(),
        expires_at: Timestamp::from_millis(0),
        answered_at: None,
        key: None,
    }
}
