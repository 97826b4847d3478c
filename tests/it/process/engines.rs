//! The engines that a test is run on, and where a world's store lies.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use flexslot_proxy::{
    model::{FileAccess, Random, Secret, SystemClock},
    store::{
        Opening, TokenStore,
        backend::Backend,
        keyfile::KeyFile,
        postgres::{Postgres, PostgresParams, Trust},
        redis::{RedisBackend, RedisParams},
        seal::Sealer,
        sqlite::SqliteBackend,
    },
};

use rustls::RootCertStore;

use crate::servers::{postgres::PostgresServer, redis::RedisServer};

/// What keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Redis,
    Postgres,
}

/// Where a world's store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file in the world's directory.
    Sqlite,
    /// On the server at this URL.
    Redis(String),
    Postgres(String),
}

/// The flags of a Redis server that keeps what it acknowledged, as docs/stores.md has it.
pub(crate) const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// How many databases the shared Redis server has; each world takes another one.
const DATABASES: &str = "256";

/// A test for each engine: `body` is an async function that takes an [`Engine`] and answers figures to be read, and the
/// tests are in a module of its name.
macro_rules! on_each_engine {
    ($body:ident) => {
        on_each_engine!($body, Sqlite on_sqlite, Redis on_redis, Postgres on_postgres);
    };
    ($body:ident, $($engine:ident $test:ident),+) => {
        mod $body {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    println!("{}", super::$body($crate::process::engines::Engine::$engine).await);
                }
            )+
        }
    };
}
pub(crate) use on_each_engine;

// === impl Engine ===

impl Engine {
    /// A place for a new store, on a server that all worlds share where it takes one.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Sqlite => Place::Sqlite,
            Self::Redis => {
                static TAKEN: AtomicU32 = AtomicU32::new(0);
                Place::Redis(redis().url(TAKEN.fetch_add(1, Ordering::Relaxed)))
            }
            Self::Postgres => {
                let server = PostgresServer::shared();
                Place::Postgres(server.url(&server.database()))
            }
        }
    }
}

/// The server that all worlds on Redis share.
pub(super) fn redis() -> &'static RedisServer {
    static SHARED: OnceLock<RedisServer> = OnceLock::new();
    SHARED.get_or_init(|| RedisServer::start(&[&DURABLE[..], &["--databases", DATABASES]].concat()))
}

// === impl Place ===

impl Place {
    /// `store.url`, where it is one that names a server. It may have a password in it.
    pub(crate) fn url(&self) -> Option<&str> {
        match self {
            Self::Sqlite => None,
            Self::Redis(url) | Self::Postgres(url) => Some(url),
        }
    }

    /// The store of the world in `dir`, opened as another process would. Makes it, and its key, when missing.
    pub(crate) async fn open(&self, dir: &Path) -> TokenStore {
        let random = Random::system();
        let file = KeyFile::new(dir.join("key"), FileAccess::Private);
        let ring = if file.path().exists() { file.read().unwrap() } else { file.create(&random).unwrap() };
        TokenStore::open(self.backend(dir).await, Sealer::new(ring, random.clone()), random).await.unwrap()
    }

    /// What is under it, made when missing: a new one that nobody has taken into use yet.
    pub(crate) async fn backend(&self, dir: &Path) -> Arc<dyn Backend> {
        let random = Random::system();
        match self {
            Self::Sqlite => {
                Arc::new(SqliteBackend::open(&dir.join("store.db"), Arc::new(SystemClock), &random).unwrap())
            }
            Self::Redis(url) => {
                Arc::new(RedisBackend::open(RedisParams::new(Secret::new(url)), &random).await.unwrap())
            }
            Self::Postgres(url) => {
                let (url, timeout) = (Secret::new(url), PostgresParams::TIMEOUT);
                let trust = Trust { system: RootCertStore::empty(), named: None };
                let params = PostgresParams { url, trust, timeout, opening: Opening::Make };
                Arc::new(Postgres::open(&params, random).await.unwrap())
            }
        }
    }
}
