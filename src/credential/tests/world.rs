//! A tenant, a store and a strict Flexslot, on paused time.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    credential::{Ask, Credentials, PathClass, RefreshPolicy, Resend, Settings, TenantPolicy, coordinator::Parts},
    flexslot::{TokenAnswer, TokenEndpoint, TokenError},
    model::{
        Clock, Observer, Random, Scope, ScopeSet, Secret, TenantId, Timestamp, TokenSet, TokenType,
        clock::TokioClock,
        observe::{FallbackCause, RefreshOutcome},
        token::Owner,
    },
    store::{
        Existing, NewGrant, NewTenant, StoreError, StoredPat, TokenStore,
        backend::{Backend, Bid, Change, Key, Kind, Revision, Row, RowState, Written},
        instance::InstanceLock,
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
    },
};

pub(super) const ORIGIN: &str = "https://api.flexslot.gg";
pub(super) const CLIENT: &str = "cli_1";
pub(super) const START: Timestamp = Timestamp::from_secs(1_795_200_000);

/// What the scripted Flexslot does with the next token request.
pub(super) enum Behaviour {
    NotSent,
    Refuse(Option<Duration>),
    /// Rotates, and the answer is lost.
    LoseAnswer,
    /// Nothing is rotated, and nobody can know.
    LoseQuestion,
    Misconfigured,
    Panic,
}

/// A strict token endpoint: a spent refresh token revokes the grant.
#[derive(Default)]
pub(super) struct Flexslot {
    grants: Mutex<HashMap<String, Line>>,
    pub(super) script: Mutex<VecDeque<Behaviour>>,
    pub(super) requests: AtomicUsize,
    pub(super) replays: AtomicUsize,
    /// When set, answers wait for a permit, after the rotation.
    pub(super) gate: Mutex<Option<Arc<Semaphore>>>,
    pub(super) life: AtomicUsize,
}

/// One grant's rotating line of refresh tokens: `name.number`.
#[derive(Clone, Copy)]
struct Line {
    current: u64,
    revoked: bool,
}

/// A backend whose writes can be made to fail.
pub(super) struct Faulty {
    inner: MemoryBackend,
    pub(super) refuses_writes: AtomicBool,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) refreshes: Mutex<Vec<RefreshOutcome>>,
    pub(super) fallbacks: Mutex<Vec<FallbackCause>>,
}

/// One sidecar's view of the world; [`World::another`] makes a second process on the same store.
pub(super) struct World {
    pub(super) credentials: Credentials,
    pub(super) store: TokenStore,
    pub(super) backend: Arc<Faulty>,
    pub(super) flexslot: Arc<Flexslot>,
    pub(super) counts: Arc<Counts>,
    clock: Arc<TokioClock>,
    settings: Settings,
}

// === impl Flexslot ===

impl Flexslot {
    /// The pair that a consent yields.
    pub(super) fn issue(&self, grant: &str) -> (Secret, Secret) {
        self.grants.lock().insert(grant.to_owned(), Line { current: 0, revoked: false });
        (Secret::new(format!("at.{grant}.0")), Secret::new(format!("{grant}.0")))
    }

    pub(super) fn revoke(&self, grant: &str) {
        self.grants.lock().get_mut(grant).unwrap().revoked = true;
    }

    pub(super) fn will(&self, behaviour: Behaviour) {
        self.script.lock().push_back(behaviour);
    }

    pub(super) fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock() = Some(Arc::clone(&gate));
        gate
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(super) fn replays(&self) -> usize {
        self.replays.load(Ordering::SeqCst)
    }

    fn rotate(&self, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let (name, number) = refresh.expose().split_once('.').unwrap();
        let number: u64 = number.parse().unwrap();
        let mut grants = self.grants.lock();
        let line = grants.get_mut(name).unwrap();
        if number != line.current {
            line.revoked = true;
            self.replays.fetch_add(1, Ordering::SeqCst);
        }
        if line.revoked {
            return Err(TokenError::Revoked);
        }
        line.current += 1;
        let next = line.current;
        let life = match self.life.load(Ordering::SeqCst) {
            0 => 3600,
            life => life as u64,
        };
        Ok(TokenAnswer {
            access: Secret::new(format!("at.{name}.{next}")),
            refresh: Some(Secret::new(format!("{name}.{next}"))),
            token_type: TokenType::Bearer,
            expires_in: Some(Duration::from_secs(life)),
            scope: None,
        })
    }
}

#[async_trait]
impl TokenEndpoint for Flexslot {
    fn knows(&self, client_id: &str) -> bool {
        client_id == CLIENT
    }

    async fn refresh(&self, _client_id: &str, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let behaviour = self.script.lock().pop_front();
        if !matches!(behaviour, Some(Behaviour::NotSent)) {
            self.requests.fetch_add(1, Ordering::SeqCst);
        }
        let answer = match behaviour {
            None => self.rotate(refresh),
            Some(Behaviour::NotSent) => Err(TokenError::NotSent("connection refused".into())),
            Some(Behaviour::Refuse(retry_after)) => Err(TokenError::RefusedForNow { what: "429".into(), retry_after }),
            Some(Behaviour::LoseAnswer) => self.rotate(refresh).and(Err(TokenError::Unknown("lost".into()))),
            Some(Behaviour::LoseQuestion) => Err(TokenError::Unknown("lost".into())),
            Some(Behaviour::Misconfigured) => Err(TokenError::Misconfigured("401 invalid_client".into())),
            Some(Behaviour::Panic) => panic!("scripted"),
        };
        let gate = self.gate.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        answer
    }
}

/// An endpoint that speaks for one other client.
struct OtherClient(&'static str);

#[async_trait]
impl TokenEndpoint for OtherClient {
    fn knows(&self, client_id: &str) -> bool {
        client_id == self.0
    }

    async fn refresh(&self, _client_id: &str, _refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        panic!("a grant of another client was presented")
    }
}

// === impl Counts ===

impl Observer for Counts {
    fn refresh(&self, outcome: RefreshOutcome) {
        self.refreshes.lock().push(outcome);
    }

    fn pat_fallback(&self, cause: FallbackCause) {
        self.fallbacks.lock().push(cause);
    }
}

// === impl World ===

impl World {
    /// A sidecar without tenants.
    pub(super) async fn new() -> Self {
        Self::with_policy(RefreshPolicy::default()).await
    }

    pub(super) async fn with_policy(refresh: RefreshPolicy) -> Self {
        let clock = Arc::new(TokioClock::starting_at(START));
        let random = Random::system();
        let backend = Arc::new(Faulty {
            inner: MemoryBackend::new(clock.clone(), &random),
            refuses_writes: AtomicBool::new(false),
        });
        let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
        let store = TokenStore::open(backend.clone(), sealer, random).await.unwrap();
        let flexslot = Arc::new(Flexslot::default());
        let settings = Settings { origin: ORIGIN.into(), refresh, endpoint: flexslot.clone(), tenants: HashMap::new() };
        Self::on(store, backend, flexslot, clock, settings, None)
    }

    fn on(
        store: TokenStore,
        backend: Arc<Faulty>,
        flexslot: Arc<Flexslot>,
        clock: Arc<TokioClock>,
        settings: Settings,
        instance: Option<InstanceLock>,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        let credentials = Credentials::new(Parts {
            settings: settings.clone(),
            store: store.clone(),
            spool: None,
            instance,
            clock: clock.clone(),
            random: Random::system(),
            observer: counts.clone(),
        });
        Self { credentials, store, backend, flexslot, counts, clock, settings }
    }

    /// Another process on the same store.
    pub(super) fn another(&self) -> Self {
        self.another_with(None)
    }

    /// Another process on the same store, of this host.
    pub(super) fn another_with(&self, instance: Option<InstanceLock>) -> Self {
        Self::on(
            self.store.clone(),
            self.backend.clone(),
            self.flexslot.clone(),
            self.clock.clone(),
            self.settings.clone(),
            instance,
        )
    }

    /// A tenant with a grant of Flexslot's whose access token ends `left` from now; `age` is that of its last token answer.
    pub(super) async fn connect(&self, name: &str, left: Duration, age: Option<Duration>) {
        let (access, refresh) = self.flexslot.issue(name);
        let now = self.clock.now();
        let tokens = TokenSet {
            access,
            refresh,
            token_type: TokenType::Bearer,
            scopes: ScopeSet::new("decks:read cards:read"),
            expires_at: now.plus(left),
            answered_at: age.map(|age| now.minus(age)),
        };
        let grant = NewGrant { client_id: CLIENT.into(), origin: ORIGIN.into(), tokens };
        let new = NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) };
        let _ = self.store.import(vec![new], Existing::Replace).await.unwrap();
    }

    pub(super) async fn give_pat(&self, name: &str) {
        let pat = StoredPat { pat: Secret::new(format!("flx_pat_{name}")), origin: ORIGIN.into() };
        self.store.put_pat(&tenant(name), &pat).await.unwrap();
    }

    /// The same world with other rules for one tenant.
    pub(super) fn set_policy(&mut self, name: &str, policy: TenantPolicy) {
        self.settings.tenants.insert(tenant(name), Arc::new(policy));
        self.credentials.reload(self.settings.clone());
    }

    /// The configuration's upstream becomes another one.
    pub(super) fn move_upstream_to(&mut self, origin: &str) {
        self.settings.origin = origin.into();
        self.credentials.reload(self.settings.clone());
    }

    /// The configuration's client becomes another one.
    pub(super) fn move_grants_to(&mut self, client_id: &'static str) {
        self.settings.endpoint = Arc::new(OtherClient(client_id));
        self.credentials.reload(self.settings.clone());
    }

    /// Lets every task run until all of them wait for time or for a gate.
    pub(super) async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(super) fn ask(tenant: &TenantId) -> Ask<'_> {
    Ask { tenant, need: None, class: PathClass::Ordinary, resend: Resend::Possible }
}

pub(super) fn ask_for(tenant: &TenantId, need: Scope) -> Ask<'_> {
    Ask { need: Some(need), ..ask(tenant) }
}

// === impl Faulty ===

impl Faulty {
    pub(super) fn refuse_writes(&self, refuse: bool) {
        self.refuses_writes.store(refuse, Ordering::SeqCst);
    }
}

#[async_trait]
impl Backend for Faulty {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.inner.store_id().await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner.get(keys).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        if self.refuses_writes.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("disk full".into()));
        }
        self.inner.write(changes).await
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        self.inner.list(kind, state, after, limit).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.inner.changes(since, limit).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration) -> Result<Bid, StoreError> {
        self.inner.bid(tenant, owner, length).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.inner.release(tenant, owner).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.inner.touch(used).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.purge(kind, before).await
    }
}
