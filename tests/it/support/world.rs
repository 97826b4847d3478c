//! The world of a test: a sandbox, a sidecar in front of it, and the tenants between them.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flexslot_proxy::{
    admin::metrics::Metrics,
    app::{self, App, Ended, Listeners, Reloaded, Reloader, StartFailure, Surroundings, storage::Storage},
    config::{Config, ConfigSource, Environment, Overrides, SystemEnvironment, environment::FileRead},
    model::{
        Clock, GrantId, ListenAddress, Origin, Random, ScopeSet, Secret, SystemClock, TenantId, TokenSet, TokenType,
    },
    sandbox::{Client, Endpoint, Running, SCOPES, Sandbox, Seen, Settings},
    store::{Existing, NewGrant, NewTenant, StoredPat, TenantRecord, TokenStore, memory::MemoryBackend},
};
use http::Method;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    client::{Call, Reach, in_time},
    frail::{Frail, Frailty},
    free_port,
    raw::Raw,
    upstream::Upstream,
};

/// The OAuth client of every world.
pub(crate) const CLIENT: &str = "flx_client_test";

/// Numbers a call, so that the sandbox can be asked how often it was sent.
const NUMBER: &str = "x-test-call";

/// A running world. Every test ends it with [`World::finish`].
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) store: TokenStore,
    pub(crate) frailty: Frailty,
    flexslot: Option<Running>,
    sidecar: Option<Sidecar>,
    plan: Plan,
    calls: AtomicU64,
    tolerated_replays: u64,
    /// How often one refresh token may reach the sandbox without being refused for now.
    presentations: usize,
}

/// A world before it starts.
pub(crate) struct Plan {
    pub(crate) sandbox: Sandbox,
    dir: TempDir,
    config: toml::Table,
    variables: HashMap<String, OsString>,
    frail: bool,
}

/// A tenant of a world.
pub(crate) struct Tenant<'w> {
    world: &'w World,
    name: TenantId,
}

/// A grant to be given.
#[derive(Debug, Clone)]
pub(crate) struct GrantOf {
    scopes: String,
    /// Seconds from now until the access token ends, as the sidecar is told.
    ends_in: i64,
    client: String,
}

struct Sidecar {
    config: Config,
    addresses: Vec<Reach>,
    admin: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    reloader: Reloader,
    task: JoinHandle<Result<Ended, StartFailure>>,
}

/// Variables from the test, files from the machine.
struct TestEnvironment<'a>(&'a HashMap<String, OsString>);

// === impl World ===

impl World {
    /// A world with defaults.
    pub(crate) async fn start() -> Self {
        Self::plan().start().await
    }

    /// A world whose proxy.toml has these keys besides, or instead.
    pub(crate) async fn with(config: &str) -> Self {
        Self::plan().config(config).start().await
    }

    /// A world whose API is this upstream; tokens still come from the sandbox.
    pub(crate) async fn before(upstream: &Upstream) -> Self {
        Self::plan().upstream(upstream).start().await
    }

    /// A world to be changed before it starts.
    pub(crate) fn plan() -> Plan {
        Self::on(Settings::default())
    }

    /// The same, with a sandbox of these settings.
    pub(crate) fn on(settings: Settings) -> Plan {
        Plan::new(Settings { recorded_requests: 100_000, ..settings })
    }

    /// A tenant, to be given credentials.
    pub(crate) fn tenant(&self, name: &str) -> Tenant<'_> {
        Tenant { world: self, name: name.parse().unwrap() }
    }

    /// The first address of the data plane.
    pub(crate) fn address(&self) -> SocketAddr {
        match self.reach(0) {
            Reach::Tcp(address) => address,
            Reach::Unix(path) => panic!("{} is no TCP address", path.display()),
        }
    }

    /// An address of the data plane, in the order of `server.listen`.
    pub(crate) fn reach(&self, listener: usize) -> Reach {
        self.sidecar().addresses[listener].clone()
    }

    /// Where state and relative paths lie.
    pub(crate) fn dir(&self) -> &Path {
        self.plan.dir.path()
    }

    /// A request for a path below `/api/public/v1`.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        self.target(method, format!("/api/public/v1{path}"))
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// A request for any target.
    pub(crate) fn target(&self, method: Method, target: impl Into<String>) -> Call {
        self.at(0, method, target)
    }

    /// The same, at another address of the data plane.
    pub(crate) fn at(&self, listener: usize, method: Method, target: impl Into<String>) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed).to_string();
        Call::new(self.reach(listener), method, target).header(NUMBER, &number)
    }

    /// A request to the admin listener.
    pub(crate) fn admin(&self, target: &str) -> Call {
        Call::new(Reach::Tcp(self.admin_address()), Method::GET, target)
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.sidecar().admin.expect("an admin listener")
    }

    /// A connection for bytes.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address()).await
    }

    /// What the sandbox saw of its API, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.sandbox.requests().into_iter().filter(|seen| seen.endpoint == Endpoint::Resource).collect()
    }

    /// The one request that the sandbox's API saw.
    #[track_caller]
    pub(crate) fn seen_once(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// What the store holds of a tenant.
    pub(crate) async fn stored(&self, tenant: &str) -> TenantRecord {
        self.store.load(&tenant.parse().unwrap()).await.unwrap()
    }

    /// The value of a metric's line, such as `flexslot_proxy_retries_total{outcome="cured"}`; 0 where there is none.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").send().await;
        let line = text.text().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or(0.0)
    }

    /// Has the sidecar take over its configuration with these keys besides; comes back when it has.
    pub(crate) async fn reload(&mut self, config: &str) {
        let reloaded = self.try_reload(config).await;
        assert!(matches!(reloaded, Reloaded::InUse), "{reloaded:?}");
    }

    /// The same, whatever becomes of it.
    pub(crate) async fn try_reload(&mut self, config: &str) -> Reloaded {
        merge(&mut self.plan.config, config.parse().unwrap());
        let config = self.plan.load();
        in_time("the reload", self.sidecar().reloader.reload(config)).await
    }

    /// Tells the sidecar to stop, without waiting.
    pub(crate) fn begin_stop(&mut self) -> JoinHandle<Result<Ended, StartFailure>> {
        let sidecar = self.sidecar.take().expect("a running sidecar");
        drop(sidecar.stop);
        sidecar.task
    }

    /// Stops the sidecar and starts it again, on the same store and at other ports.
    pub(crate) async fn restart(&mut self) {
        in_time("the end of the sidecar", self.begin_stop()).await.unwrap().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let storage = self.plan.storage(&self.frailty, &metrics).await;
        self.store = storage.store.clone();
        self.sidecar = Some(self.plan.sidecar(storage, metrics));
        self.ready().await;
    }

    /// Waits until the sidecar says that it is ready; until then it says that it is starting.
    async fn ready(&self) {
        super::client::until("a ready sidecar", async || self.admin("/readyz").send().await.status == 200).await;
    }

    /// Allows this many spent refresh tokens to have been presented.
    pub(crate) fn tolerate_replays(&mut self, replays: u64) {
        self.tolerated_replays = replays;
    }

    /// Allows that a refresh token is presented as a last resort, after a first time whose outcome was lost.
    pub(crate) fn tolerate_second_presentation(&mut self) {
        self.presentations = 2;
    }

    /// Ends the world, and checks what must hold in each: no spent token presented, nothing sent for a grant that is
    /// over, at most one retry per request, at most one refresh per token.
    pub(crate) async fn finish(mut self) {
        if self.sidecar.is_some() {
            let ended = in_time("the end of the sidecar", self.begin_stop()).await.unwrap().unwrap();
            assert_eq!(ended, Ended::Drained, "a test leaves nothing under way");
        }
        if let Some(flexslot) = self.flexslot.take() {
            self.sandbox.clear_faults();
            in_time("the end of the sandbox", flexslot.stop()).await;
        }
        self.check_invariants();
    }

    fn check_invariants(&self) {
        let counts = self.sandbox.counters();
        assert_eq!(counts.replays, self.tolerated_replays, "spent refresh tokens presented");
        assert_eq!(counts.presented_after_end, 0, "tokens of a grant that is over presented");
        let mut sends: BTreeMap<String, Vec<Option<u16>>> = BTreeMap::new();
        let mut refreshes: BTreeMap<(String, u64), Vec<Option<u16>>> = BTreeMap::new();
        for seen in self.sandbox.requests() {
            let number = seen.headers.iter().find(|(name, _)| name == NUMBER).map(|(_, value)| value.clone());
            match (seen.endpoint, number, seen.credential.grant, seen.credential.version) {
                (Endpoint::Resource, Some(number), ..) => sends.entry(number).or_default().push(seen.status),
                (Endpoint::Token, _, Some(grant), Some(version)) => {
                    refreshes.entry((grant, version)).or_default().push(seen.status);
                }
                _ => {}
            }
        }
        for (number, statuses) in sends {
            let retried = statuses.len() == 2 && statuses[0] == Some(401);
            assert!(statuses.len() == 1 || retried, "call {number} was sent as often as this: {statuses:?}");
        }
        for ((grant, version), statuses) in refreshes {
            // A server that says "not now" or "not you" has provably not taken the token.
            let taken = statuses.iter().filter(|status| !matches!(status, Some(301..=499 | 503))).count();
            assert!(
                taken <= self.presentations,
                "version {version} of {grant} was refreshed as often as this: {statuses:?}"
            );
        }
    }

    fn sidecar(&self) -> &Sidecar {
        self.sidecar.as_ref().expect("a running sidecar")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Taken by finish(); a test that forgot it has checked less than it seems.
        assert!(self.flexslot.is_none() || std::thread::panicking(), "end the world with finish()");
    }
}

// === impl Plan ===

impl Plan {
    fn new(settings: Settings) -> Self {
        let sandbox = Sandbox::new(settings, Arc::new(SystemClock), Random::system());
        sandbox.add_client(Client::public(CLIENT));
        let base = r#"
            server.listen = ["127.0.0.1:0"]
            admin.listen = "127.0.0.1:0"
            store.url = "memory:"
            log.access = false
        "#;
        let mut config: toml::Table = base.parse().unwrap();
        merge(&mut config, format!("oauth.client_id = {CLIENT:?}").parse().unwrap());
        Self { sandbox, dir: tempfile::tempdir().unwrap(), config, variables: HashMap::new(), frail: false }
    }

    /// Keys of proxy.toml besides those that are there, or instead.
    pub(crate) fn config(mut self, config: &str) -> Self {
        merge(&mut self.config, config.parse().expect("TOML"));
        self
    }

    /// An environment variable, for secrets.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// The API of this world.
    pub(crate) fn upstream(self, upstream: &Upstream) -> Self {
        self.upstream_at(&upstream.origin)
    }

    /// The API of this world is at `origin`.
    pub(crate) fn upstream_at(self, origin: &str) -> Self {
        self.config(&format!("upstream.url = {origin:?}"))
    }

    /// A store that can be put out of reach.
    pub(crate) fn frail(mut self) -> Self {
        self.frail = true;
        self
    }

    pub(crate) async fn start(mut self) -> World {
        let flexslot = self.sandbox.spawn(free_port()).unwrap();
        let origin = flexslot.origin();
        let own = format!("upstream.url = {origin:?}\noauth.token_url = \"{origin}/api/public/v1/oauth/token\"");
        let mut config: toml::Table = own.parse().unwrap();
        merge(&mut config, std::mem::take(&mut self.config));
        self.config = config;
        let frailty = Frailty::default();
        let metrics = Arc::new(Metrics::new().unwrap());
        let storage = self.storage(&frailty, &metrics).await;
        let store = storage.store.clone();
        let sidecar = Some(self.sidecar(storage, metrics));
        let sandbox = self.sandbox.clone();
        let flexslot = Some(flexslot);
        let calls = AtomicU64::new(0);
        let world = World {
            sandbox,
            store,
            frailty,
            flexslot,
            sidecar,
            plan: self,
            calls,
            tolerated_replays: 0,
            presentations: 1,
        };
        world.ready().await;
        world
    }

    fn load(&self) -> Config {
        let path = self.dir.path().join("proxy.toml");
        std::fs::write(&path, self.config.to_string()).unwrap();
        Config::load(&ConfigSource::File(path), &Overrides::default(), &TestEnvironment(&self.variables))
            .unwrap_or_else(|faults| panic!("{faults}"))
    }

    async fn storage(&self, frailty: &Frailty, metrics: &Arc<Metrics>) -> Storage {
        let around = Surroundings::system();
        let mut storage = Storage::open(&self.load().store, &around, Arc::clone(metrics) as _).await.unwrap();
        if self.frail {
            let inner = MemoryBackend::new(Arc::clone(&around.clock), &around.random);
            let backend = Arc::new(Frail { inner, frailty: frailty.clone() });
            storage.store = TokenStore::open(backend, storage.sealer.clone(), around.random).await.unwrap();
        }
        storage
    }

    fn sidecar(&self, storage: Storage, metrics: Arc<Metrics>) -> Sidecar {
        let config = self.load();
        let listeners = Listeners::bind(&config).unwrap();
        let bound = listeners.server.iter().zip(&config.server.listeners);
        let addresses = bound.map(|(bound, asked)| match (&asked.address, bound.local_addr()) {
            (_, Some(address)) => Reach::Tcp(address),
            (ListenAddress::Unix { path, .. }, None) => Reach::Unix(path.clone()),
            (ListenAddress::Tcp(address), None) => panic!("{address} is not bound"),
        });
        let addresses = addresses.collect();
        let admin = listeners.admin.first().and_then(|listener| listener.local_addr());
        let app = App::build(config.clone(), storage, &Surroundings::system(), metrics).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (reloader, reloads) = app::reloads();
        let task = tokio::spawn(app.run(listeners, reloads, async { drop(stopped.await) }));
        Sidecar { config, addresses, admin, stop, reloader, task }
    }
}

/// Takes over what `new` says, table by table.
fn merge(into: &mut toml::Table, new: toml::Table) {
    for (key, value) in new {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

// === impl Tenant ===

impl Tenant<'_> {
    /// A PAT in the store, of the sandbox's user of the same name, who has a deck.
    pub(crate) async fn with_pat(&self) -> Secret {
        self.add_user();
        let pat = self.world.sandbox.add_pat(self.name.as_str());
        self.with_this_pat(pat.expose()).await;
        pat
    }

    /// This PAT in the store.
    pub(crate) async fn with_this_pat(&self, pat: &str) {
        let (pat, origin) = (Secret::new(pat), self.origin());
        self.world.store.put_pat(&self.name, &StoredPat { pat, origin }).await.unwrap();
    }

    /// A grant in the store, of the sandbox's user of the same name, who has a deck. Answers the sandbox's name of it.
    pub(crate) async fn with_grant(&self, of: GrantOf) -> GrantId {
        self.add_user();
        if of.client != CLIENT {
            self.world.sandbox.add_client(Client::public(of.client.clone()));
        }
        let pair = self.world.sandbox.issue_grant(self.name.as_str(), &of.client, &of.scopes).unwrap();
        let now = SystemClock.now();
        let seconds = Duration::from_secs(of.ends_in.unsigned_abs());
        let tokens = TokenSet {
            access: pair.access,
            refresh: pair.refresh,
            token_type: TokenType::Bearer,
            scopes: ScopeSet::new(&of.scopes),
            expires_at: if of.ends_in < 0 { now.minus(seconds) } else { now.plus(seconds) },
            answered_at: None,
        };
        if of.ends_in < 0 {
            self.world.sandbox.expire_access(pair.grant).unwrap();
        }
        let grant = NewGrant { client_id: of.client, origin: self.origin(), tokens };
        let new = NewTenant { tenant: self.name.clone(), pat: None, grant: Some(grant) };
        self.world.store.import(vec![new], Existing::Replace).await.unwrap();
        pair.grant
    }

    fn add_user(&self) {
        self.world.sandbox.add_deck(self.name.as_str(), "Deck");
    }

    fn origin(&self) -> Origin {
        self.world.sidecar().config.upstream.origin.clone()
    }
}

// === impl GrantOf ===

impl GrantOf {
    /// All scopes, and an hour to go.
    pub(crate) fn an_hour() -> Self {
        Self { scopes: SCOPES.join(" "), ends_in: 3600, client: CLIENT.to_owned() }
    }

    /// All scopes; the access token ended a minute ago.
    pub(crate) fn expired() -> Self {
        Self { ends_in: -60, ..Self::an_hour() }
    }

    /// All scopes; the access token ends so soon that it is inside its window.
    pub(crate) fn ageing() -> Self {
        Self { ends_in: 20, ..Self::an_hour() }
    }

    /// The same with these scopes.
    pub(crate) fn scopes(self, scopes: &str) -> Self {
        Self { scopes: scopes.to_owned(), ..self }
    }

    /// The same under another OAuth client.
    pub(crate) fn client(self, client: &str) -> Self {
        Self { client: client.to_owned(), ..self }
    }
}

// === impl TestEnvironment ===

impl Environment for TestEnvironment<'_> {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.0.get(name).cloned()
    }

    fn current_dir(&self) -> io::Result<PathBuf> {
        SystemEnvironment.current_dir()
    }

    fn read(&self, path: &Path) -> io::Result<FileRead> {
        SystemEnvironment.read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        SystemEnvironment.exists(path)
    }
}
