//! How a world comes to be: what is asked of it, then the sandbox, the store and the sidecar.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use flexslot_proxy::{
    admin::metrics::Metrics,
    app::{self, App, Crew, Handed, Listeners, Surroundings, storage::Storage},
    config::{Config, ConfigSource, Environment, Overrides, SystemEnvironment, environment::FileRead},
    model::{ListenAddress, Random, SystemClock},
    sandbox::{Client, Sandbox, Settings},
    server::listen::Listener,
    store::{TokenStore, memory::MemoryBackend},
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{ADMIN_TOKEN, CLIENT, Sidecar, World};
use crate::support::{
    client::Reach,
    frail::{Frail, Frailty},
    free_port,
    upstream::Upstream,
};

/// A world before it starts.
pub(crate) struct Plan {
    pub(crate) sandbox: Sandbox,
    pub(super) dir: TempDir,
    pub(super) config: toml::Table,
    variables: HashMap<String, OsString>,
    frail: bool,
}

/// Variables from the test, files from the machine.
struct TestEnvironment<'a>(&'a HashMap<String, OsString>);

// === impl Plan ===

impl Plan {
    pub(super) fn new(settings: Settings) -> Self {
        let sandbox = Sandbox::new(settings, Arc::new(SystemClock), Random::system());
        sandbox.add_client(Client::public(CLIENT));
        let base = r#"
            server.listen = ["127.0.0.1:0"]
            admin.listen = "127.0.0.1:0"
            admin.token = { env = "TEST_ADMIN_TOKEN" }
            store.url = "memory:"
            log.access = false
        "#;
        let mut config: toml::Table = base.parse().unwrap();
        merge(&mut config, format!("oauth.client_id = {CLIENT:?}").parse().unwrap());
        let variables = [("TEST_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.into())].into();
        Self { sandbox, dir: tempfile::tempdir().unwrap(), config, variables, frail: false }
    }

    /// Keys of proxy.toml besides those that are there, or instead.
    pub(crate) fn config(mut self, config: &str) -> Self {
        merge(&mut self.config, config.parse().expect("TOML"));
        self
    }

    /// The same without a table of proxy.toml, or without a key of one, such as `oauth.client_id`.
    pub(crate) fn without(mut self, name: &str) -> Self {
        match name.split_once('.') {
            Some((table, key)) => drop(self.config[table].as_table_mut().expect("a table").remove(key)),
            None => drop(self.config.remove(name)),
        }
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
            tolerated_after_end: 0,
            presentations: 1,
        };
        world.ready().await;
        world
    }

    pub(super) fn load(&self) -> Config {
        let path = self.dir.path().join("proxy.toml");
        std::fs::write(&path, self.config.to_string()).unwrap();
        Config::load(&ConfigSource::File(path), &Overrides::default(), &TestEnvironment(&self.variables))
            .unwrap_or_else(|faults| panic!("{faults}"))
    }

    pub(super) async fn storage(&self, frailty: &Frailty, metrics: &Arc<Metrics>) -> Storage {
        let around = Surroundings::system();
        let mut storage = Storage::open(&self.load().store, &around, Arc::clone(metrics) as _).await.unwrap();
        if self.frail {
            let inner = MemoryBackend::new(Arc::clone(&around.clock), &around.random);
            let backend = Arc::new(Frail { inner, frailty: frailty.clone() });
            storage.store = TokenStore::open(backend, storage.sealer.clone(), around.random).await.unwrap();
        }
        storage
    }

    pub(super) fn sidecar(&self, storage: Storage, metrics: Arc<Metrics>) -> Sidecar {
        let config = self.load();
        let listeners = Listeners::bind(&config, Handed::default()).unwrap();
        let bound = listeners.server.iter().zip(&config.server.listeners);
        let addresses = bound.map(|(bound, asked)| match (&asked.address, bound.local_addr()) {
            (_, Some(address)) => Reach::Tcp(address),
            (ListenAddress::Unix { path, .. }, None) => Reach::Unix(path.clone()),
            (ListenAddress::Tcp(address), None) => panic!("{address} is not bound"),
        });
        let addresses = addresses.collect();
        let admin = listeners.admin.first().and_then(Listener::local_addr);
        let probes = listeners.metrics.first().and_then(Listener::local_addr);
        let app = App::build(config.clone(), storage, &Surroundings::system(), (Crew::here(), metrics)).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (reloader, reloads) = app::reloads();
        let task = tokio::spawn(app.run(listeners, reloads, async { drop(stopped.await) }));
        Sidecar { config, addresses, admin, probes, stop, reloader, task }
    }
}

/// Takes over what `new` says, table by table.
pub(super) fn merge(into: &mut toml::Table, new: toml::Table) {
    for (key, value) in new {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
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
