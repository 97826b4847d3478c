//! The world of a test: a sandbox, a sidecar in front of it, and the tenants between them.

mod plan;
mod tenant;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flexslot_proxy::{
    admin::metrics::Metrics,
    app::{Ended, Reloaded, Reloader, StartFailure},
    config::Config,
    sandbox::{Endpoint, Running, Sandbox, Seen, Settings},
    store::{TenantRecord, TokenStore},
};
use http::Method;
use tokio::{sync::oneshot, task::JoinHandle};

use self::plan::merge;
pub(crate) use self::{
    plan::Plan,
    tenant::{GrantOf, Tenant},
};
use super::{
    client::{Call, Reach, in_time},
    frail::Frailty,
    raw::Raw,
    upstream::Upstream,
};

/// The OAuth client of every world.
pub(crate) const CLIENT: &str = "flx_client_test";

/// The admin token of every world.
pub(crate) const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

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
    tolerated_after_end: u64,
    /// How often one refresh token may reach the sandbox without being refused for now.
    presentations: usize,
}

struct Sidecar {
    config: Config,
    addresses: Vec<Reach>,
    admin: Option<SocketAddr>,
    probes: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    reloader: Reloader,
    task: JoinHandle<Result<Ended, StartFailure>>,
}

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

    /// A request to the listener that has health and metrics only.
    pub(crate) fn probe(&self, target: &str) -> Call {
        let address = self.sidecar().probes.expect("a listener for metrics");
        Call::new(Reach::Tcp(address), Method::GET, target)
    }

    /// A request to the API, by whoever has the admin token.
    pub(crate) fn api(&self, method: Method, target: &str) -> Call {
        self.admin(target).method(method).header("authorization", &format!("Bearer {ADMIN_TOKEN}"))
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.sidecar().admin.expect("an admin listener")
    }

    /// Where the sidecar's upstream listens.
    pub(crate) fn sidecar_upstream(&self) -> SocketAddr {
        let origin = self.sidecar().config.upstream.origin.to_string();
        origin.strip_prefix("http://").and_then(|authority| authority.parse().ok()).expect("an address")
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

    /// The same without anything that was said in this table before.
    pub(crate) async fn try_reload_without(&mut self, table: &str, config: &str) -> Reloaded {
        self.plan.config.remove(table);
        self.try_reload(config).await
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

    /// Allows this many requests with tokens of a grant that has ended without the sidecar having been told.
    pub(crate) fn tolerate_requests_after_an_end(&mut self, requests: u64) {
        self.tolerated_after_end = requests;
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
        assert_eq!(counts.presented_after_end, self.tolerated_after_end, "tokens of a grant that is over presented");
        let mut proven = BTreeSet::new();
        let mut sends: BTreeMap<String, Vec<Option<u16>>> = BTreeMap::new();
        let mut refreshes: BTreeMap<(String, u64), Vec<Option<u16>>> = BTreeMap::new();
        for seen in self.sandbox.requests() {
            let has_proof = seen.headers.iter().any(|(name, _)| name == "dpop");
            let number = seen.headers.iter().find(|(name, _)| name == NUMBER).map(|(_, value)| value.clone());
            proven.extend(number.clone().filter(|_| has_proof));
            match (seen.endpoint, number, seen.credential.grant, seen.credential.version) {
                (Endpoint::Resource, Some(number), ..) => sends.entry(number).or_default().push(seen.status),
                (Endpoint::Token, _, Some(grant), Some(version)) => {
                    refreshes.entry((grant, version)).or_default().push(seen.status);
                }
                _ => {}
            }
        }
        for (number, statuses) in sends {
            // Beside the one retry, a bound token may have to be proven anew once.
            let most = if proven.contains(&number) { 3 } else { 2 };
            let (_, before) = statuses.split_last().expect("a send");
            let retried = statuses.len() <= most && before.iter().all(|status| *status == Some(401));
            assert!(retried, "call {number} was sent as often as this: {statuses:?}");
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
