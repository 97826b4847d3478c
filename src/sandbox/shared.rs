//! The state behind the handle.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::RwLock;

use super::{
    Consent, End, Gate, Settings, Unknown,
    counters::Counters,
    dpop::Desk,
    faults::Faults,
    grants::Grant,
    ids,
    log::{Log, Memory},
    settings::Client,
    world::{self, Pat, Registered, Urls, World},
};
use crate::model::{Clock, GrantId, Random, ScopeSet, Secret, Timestamp, prefix};

/// What every clone of a sandbox shares.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) clock_offset: AtomicI64,
    pub(super) random: Random,
    pub(super) origin: OnceLock<String>,
    pub(super) consent: RwLock<Consent>,
    pub(super) grants_issued: AtomicU64,
    pub(super) world: World,
    pub(super) faults: Faults,
    pub(super) gates: DashMap<String, Gate>,
    pub(super) counters: Counters,
    pub(super) desk: Desk,
    pub(super) memory: Memory,
    pub(super) log: Log,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(settings: Settings, clock: Arc<dyn Clock>, random: Random) -> Self {
        Self {
            desk: Desk::new(settings.proofs, &random),
            clock,
            clock_offset: AtomicI64::new(0),
            random,
            origin: OnceLock::new(),
            consent: RwLock::new(settings.consent),
            grants_issued: AtomicU64::new(0),
            world: World::new(),
            faults: Faults::default(),
            gates: DashMap::new(),
            counters: Counters::default(),
            memory: Memory::new(settings.recorded_requests),
            log: Log::new(),
            settings,
        }
    }

    pub(super) fn origin(&self) -> &str {
        self.settings.issuer.as_deref().or(self.origin.get().map(String::as_str)).unwrap_or_default()
    }

    pub(super) fn now(&self) -> Timestamp {
        let offset = self.clock_offset.load(Ordering::Relaxed);
        let by = Duration::from_millis(offset.unsigned_abs());
        let now = self.clock.now();
        if offset < 0 { now.minus(by) } else { now.plus(by) }
    }

    pub(super) fn add_user(&self, name: &str) -> Arc<world::User> {
        self.world.add_user(name, &self.random, self.now())
    }

    pub(super) fn add_client(&self, client: Client, urls: Urls) -> Arc<Registered> {
        let client = Arc::new(Registered::new(client, urls, &self.random, self.now()));
        self.world.clients.insert(client.client_id.clone(), Arc::clone(&client));
        client
    }

    /// Marks the client, then ends every grant under it: a status alone would leave live tokens.
    pub(super) fn revoke_client(&self, client: &Arc<Registered>) {
        client.revoked.set(self.now());
        for grant in self.world.all_grants() {
            if Arc::ptr_eq(&grant.client, client) {
                grant.end(End::ClientRevoked);
            }
        }
    }

    pub(super) fn add_pat(&self, user: &str, scopes: &str) -> Secret {
        let user = self.add_user(user);
        let secret = ids::token(&self.random, prefix::PAT);
        let pat = Pat {
            id: ids::uuid(&self.random, self.now()),
            user,
            prefix: secret.expose()[..12].to_owned(),
            scopes: ScopeSet::new(scopes),
            created: self.now(),
            last_used: world::Moment::never(),
            revoked: world::Moment::never(),
        };
        self.world.pats.insert(ids::digest(secret.expose()), Arc::new(pat));
        secret
    }

    pub(super) fn registered(&self, client_id: &str) -> Result<Arc<Registered>, Unknown> {
        self.world.client(client_id).ok_or_else(|| Unknown::Client(client_id.to_owned()))
    }

    pub(super) fn known(&self, grant: GrantId) -> Result<Arc<Grant>, Unknown> {
        self.world.grant(grant).ok_or(Unknown::Grant(grant))
    }
}
