//! A tenant, a store and a strict Flexslot, on paused time.

use std::{collections::HashMap, fmt, ops::Deref, path::Path, sync::Arc, time::Duration};

use http::{HeaderMap, Method, uri::Scheme};
use parking_lot::Mutex;
use tokio::{task::JoinHandle, time::Instant};

use super::{
    faulty::Faulty,
    flexslot::{Flexslot, NoProofs, OtherClient},
};
use crate::{
    credential::{
        Ask, Credentials, PathClass, Picked, RefreshPolicy, Refusal, Resend, Resource, Settings, TenantPolicy,
        Unauthorized, coordinator::Parts,
    },
    model::{
        Clock, Observer, ProofKey, Random, Scope, ScopeSet, Secret, SpanContext, TenantId, Timestamp, TokenSet,
        TokenType, Traced, Tracer,
        clock::TokioClock,
        observe::{FallbackCause, RefreshOutcome},
        trace::{
            Steps,
            context::SpanId,
            spans::{RefreshSpans, Spans},
        },
    },
    store::{
        Existing, NewGrant, NewTenant, StoredPat, TokenStore,
        instance::InstanceLock,
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
        spool::Spool,
    },
};

pub(super) const ORIGIN: &str = "https://api.flexslot.gg";
pub(super) const CLIENT: &str = "cli_1";
pub(super) const START: Timestamp = Timestamp::from_secs(1_795_200_000);

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) refreshes: Mutex<Vec<RefreshOutcome>>,
    pub(super) fallbacks: Mutex<Vec<FallbackCause>>,
}

/// The wall clock. It follows tokio's time, unless it was stopped.
pub(super) struct WallClock {
    running: TokioClock,
    stopped: Mutex<Option<Timestamp>>,
}

/// What is exported: the refreshes that a request has begun which is exported itself.
#[derive(Debug, Default)]
pub(super) struct Exported(pub(super) Mutex<Vec<RefreshSpans>>);

/// The door, for tests that do not look at the trace of their requests.
#[derive(Clone)]
pub(super) struct Door(Credentials);

/// One sidecar's view of the world; [`World::another`] makes a second process on the same store.
pub(super) struct World {
    pub(super) credentials: Door,
    pub(super) store: TokenStore,
    pub(super) backend: Arc<Faulty>,
    pub(super) flexslot: Arc<Flexslot>,
    pub(super) counts: Arc<Counts>,
    pub(super) exported: Arc<Exported>,
    clock: Arc<WallClock>,
    settings: Settings,
    pub(super) sealer: Sealer,
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

// === impl WallClock ===

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        self.stopped.lock().unwrap_or_else(|| self.running.now())
    }
}

// === impl Exported ===

impl Tracer for Exported {
    fn request(&self, _: Option<&HeaderMap>, _: Scheme, _: Instant) -> Option<Box<Spans>> {
        None
    }

    fn refresh(&self, led_by: Option<SpanContext>) -> Option<SpanContext> {
        led_by.map(|leader| SpanContext { span: SpanId::new([7; 8]).unwrap(), ..leader })
    }

    fn take(&self, traced: Traced) {
        match traced {
            Traced::Refresh(spans) => self.0.lock().push(*spans),
            Traced::Request(..) => {}
        }
    }
}

// === impl Door ===

impl Door {
    /// The door itself, which notes what it does.
    pub(super) fn traced(&self) -> &Credentials {
        &self.0
    }

    pub(super) async fn pick(&self, ask: &Ask<'_>) -> Answer {
        self.0.pick(ask, &mut steps()).await
    }

    pub(super) async fn unauthorized(&self, ask: &Ask<'_>, picked: &Picked) -> Unauthorized {
        self.0.unauthorized(ask, picked, &mut steps()).await
    }
}

impl Deref for Door {
    type Target = Credentials;

    fn deref(&self) -> &Credentials {
        &self.0
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl World ===

impl World {
    /// A sidecar without tenants.
    pub(super) async fn new() -> Self {
        Self::with_policy(RefreshPolicy::default()).await
    }

    pub(super) async fn with_policy(refresh: RefreshPolicy) -> Self {
        let clock = Arc::new(WallClock { running: TokioClock::starting_at(START), stopped: Mutex::default() });
        let random = Random::system();
        let backend = Arc::new(Faulty::new(Arc::new(MemoryBackend::new(clock.clone(), &random))));
        let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
        let store = TokenStore::open(backend.clone(), sealer.clone(), random).await.unwrap();
        let flexslot = Arc::new(Flexslot::default());
        let settings = Settings {
            origin: ORIGIN.parse().unwrap(),
            refresh,
            endpoint: flexslot.clone(),
            server: flexslot.clone(),
            tenants: HashMap::new(),
            cached_tenants: 1000,
        };
        Self::on(store, backend, flexslot, clock, settings, sealer, None, None)
    }

    #[allow(clippy::too_many_arguments, reason = "the one place that puts a process together")]
    fn on(
        store: TokenStore,
        backend: Arc<Faulty>,
        flexslot: Arc<Flexslot>,
        clock: Arc<WallClock>,
        settings: Settings,
        sealer: Sealer,
        state_dir: Option<&Path>,
        instance: Option<InstanceLock>,
    ) -> Self {
        let (counts, exported) = (Arc::new(Counts::default()), Arc::new(Exported::default()));
        let credentials = Door(Credentials::new(Parts {
            settings: settings.clone(),
            store: store.of_another_process(),
            spool: state_dir.map(|dir| Spool::new(dir, sealer.clone())),
            instance,
            clock: clock.clone(),
            random: Random::system(),
            observer: counts.clone(),
            tracer: exported.clone(),
        }));
        Self { credentials, store, backend, flexslot, counts, exported, clock, settings, sealer }
    }

    /// Another process on the same store.
    pub(super) fn another(&self) -> Self {
        self.another_like(None, None)
    }

    /// Another process on the same store, with a way to it of its own, which fails alone.
    pub(super) async fn another_way(&self) -> Self {
        let backend = Arc::new(Faulty::new(Arc::clone(&self.backend.inner)));
        let store = TokenStore::open(backend.clone(), self.sealer.clone(), Random::system()).await.unwrap();
        let (flexslot, clock, settings) = (self.flexslot.clone(), self.clock.clone(), self.settings.clone());
        Self::on(store, backend, flexslot, clock, settings, self.sealer.clone(), None, None)
    }

    /// Another process on the same store, of this host.
    pub(super) fn another_with(&self, instance: Option<InstanceLock>) -> Self {
        self.another_like(None, instance)
    }

    /// Another process on the same store, with its spool in `state_dir`.
    pub(super) fn another_in(&self, state_dir: Option<&Path>) -> Self {
        self.another_like(state_dir, None)
    }

    /// Another process on the same store, with a spool, a lock, both or neither.
    pub(super) fn another_like(&self, state_dir: Option<&Path>, instance: Option<InstanceLock>) -> Self {
        Self::on(
            self.store.clone(),
            self.backend.clone(),
            self.flexslot.clone(),
            self.clock.clone(),
            self.settings.clone(),
            self.sealer.clone(),
            state_dir,
            instance,
        )
    }

    /// A tenant with a grant of Flexslot's whose access token ends `left` from now; `age` is that of its last token
    /// answer.
    pub(super) async fn connect(&self, name: &str, left: Duration, age: Option<Duration>) {
        self.connect_to(name, name, left, age).await;
    }

    /// The same with a consent of its own, named `line` at Flexslot.
    pub(super) async fn connect_to(&self, name: &str, line: &str, left: Duration, age: Option<Duration>) {
        let tokens = self.issue(line, left, age);
        self.put_grant(name, tokens).await;
    }

    /// The same with tokens that are bound to `key`, or to one that was lost.
    pub(super) async fn connect_bound(&self, name: &str, left: Duration, key: Option<ProofKey>) {
        let tokens = TokenSet { token_type: TokenType::Dpop, key, ..self.issue(name, left, None) };
        self.put_grant(name, tokens).await;
    }

    fn issue(&self, line: &str, left: Duration, age: Option<Duration>) -> TokenSet {
        let (access, refresh) = self.flexslot.issue(line);
        let now = self.clock.now();
        TokenSet {
            access,
            refresh,
            token_type: TokenType::Bearer,
            scopes: ScopeSet::new("decks:read cards:read"),
            expires_at: now.plus(left),
            answered_at: age.map(|age| now.minus(age)),
            key: None,
        }
    }

    async fn put_grant(&self, name: &str, tokens: TokenSet) {
        let grant = NewGrant { client_id: CLIENT.into(), origin: ORIGIN.parse().unwrap(), tokens };
        let new = NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) };
        let _ = self.store.import(vec![new], Existing::Replace).await.unwrap();
    }

    pub(super) async fn give_pat(&self, name: &str) {
        let pat = StoredPat { pat: Secret::new(format!("flx_pat_{name}")), origin: ORIGIN.parse().unwrap() };
        self.store.put_pat(&tenant(name), &pat).await.unwrap();
    }

    /// Now, by the store's clock and everybody's.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The wall clock stands still from now on; time goes on.
    pub(super) fn stop_clock(&self) {
        *self.clock.stopped.lock() = Some(self.clock.now());
    }

    /// The same world with other rules for one tenant.
    pub(super) fn set_policy(&mut self, name: &str, policy: TenantPolicy) {
        self.settings.tenants.insert(tenant(name), Arc::new(policy));
        self.credentials.reload(self.settings.clone());
    }

    /// The configuration's upstream becomes another one.
    pub(super) fn move_upstream_to(&mut self, origin: &str) {
        self.settings.origin = origin.parse().unwrap();
        self.credentials.reload(self.settings.clone());
    }

    /// The configuration's `[refresh]` becomes another one.
    pub(super) fn set_refresh(&mut self, refresh: RefreshPolicy) {
        self.settings.refresh = refresh;
        self.credentials.reload(self.settings.clone());
    }

    /// `limits.cached_tenants` becomes another one.
    pub(super) fn set_cached_tenants(&mut self, limit: usize) {
        self.settings.cached_tenants = limit;
        self.credentials.reload(self.settings.clone());
    }

    /// The configuration's client becomes another one.
    pub(super) fn move_grants_to(&mut self, client_id: &'static str) {
        self.settings.endpoint = Arc::new(OtherClient(client_id));
        self.credentials.reload(self.settings.clone());
    }

    /// The configuration's `oauth.dpop` becomes "off".
    pub(super) fn make_no_proofs(&mut self) {
        self.settings.endpoint = Arc::new(NoProofs);
        self.credentials.reload(self.settings.clone());
    }

    /// Lets every task run until all of them wait for time or for a gate.
    pub(super) async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

/// The steps of a request that begins now.
pub(super) fn steps() -> Steps {
    Steps::since(Instant::now())
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(super) fn ask(tenant: &TenantId) -> Ask<'_> {
    Ask { tenant, need: None, class: PathClass::Ordinary, resend: Resend::Possible, resource: DECKS }
}

pub(super) fn ask_for(tenant: &TenantId, need: Scope) -> Ask<'_> {
    Ask { need: Some(need), ..ask(tenant) }
}

/// What requests are for where it makes no difference.
pub(super) const DECKS: Resource<'_> = Resource { method: &Method::GET, path: "/api/public/v1/decks/" };

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) type Answer = Result<Picked, Refusal>;

/// How many tenants are in memory, as the log would tell.
pub(super) fn held(world: &World) -> usize {
    let digits: String = format!("{:?}", world.credentials).chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// The value of `Authorization` that the request got.
pub(super) fn value(answer: &Answer) -> &str {
    answer.as_ref().unwrap().authorization.to_str().unwrap()
}

pub(super) async fn pick(world: &World, name: &str) -> Answer {
    world.credentials.pick(&ask(&tenant(name))).await
}

/// The same on a path that takes a PAT alone; loads the tenant and leaves its grant in peace.
pub(super) async fn pat_only(world: &World, name: &str) -> Answer {
    let name = tenant(name);
    world.credentials.pick(&Ask { class: PathClass::PatOnly, ..ask(&name) }).await
}

/// A request that waits in a task of its own.
pub(super) fn caller(world: &World, name: &'static str) -> JoinHandle<Answer> {
    let credentials = world.credentials.clone();
    tokio::spawn(async move { credentials.pick(&ask(&tenant(name))).await })
}

/// Time passes, and every task has its turn.
pub(super) async fn pass(world: &World, time: Duration) {
    world.settle().await;
    tokio::time::sleep(time).await;
    world.settle().await;
}
