//! Opens the store that the configuration names, with its key and its spool.

mod key;

use std::{path::PathBuf, sync::Arc};

use rustls::RootCertStore;

pub(super) use self::key::keys;
pub use self::key::{KeyHolder, KeyringWish, ask, key_holder, keyring};
use super::{StartFailure, Surroundings};
use crate::{
    config::{self, Engine, ExtraRoots, ServerKind, ServerUrl},
    model::Observer,
    proxy::upstream::tls,
    store::{
        OpenError, Opening, StoreError, TokenStore,
        backend::Backend,
        instance::InstanceLock,
        memory::MemoryBackend,
        metered::Metered,
        postgres::{Postgres, PostgresParams, Trust},
        redis::{RedisBackend, RedisParams},
        seal::Sealer,
        spool::Spool,
        sqlite::SqliteBackend,
    },
};

/// An open store and what belongs to it.
#[derive(Debug)]
pub struct Storage {
    pub store: TokenStore,
    pub sealer: Sealer,
    /// `None` for `memory:`, where nothing is durable anyway.
    pub spool: Option<Spool>,
    /// Where the instance lock lies. `None` where nothing is shared.
    pub state_dir: Option<PathBuf>,
    /// Where the encryption key is, if it was made for this store just now.
    pub new_key: Option<KeyHolder>,
}

// === impl Storage ===

impl Storage {
    /// Opens the store, and makes what it needs where it is new. A key is generated only for a SQLite file that does
    /// not exist yet. Where the key is in the desktop's keyring, that may take as long as somebody takes to unlock it.
    pub async fn open(
        config: &config::Store,
        around: &Surroundings,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartFailure> {
        let (sealer, new_key) = key::seal(&config.engine, around).await?;
        let backend = Metered::new(backend(&config.engine, Opening::Make, around).await?, observer);
        let store = TokenStore::open(Arc::new(backend), sealer.clone(), around.random.clone()).await?;
        Ok(Self::of(config, store, sealer, new_key))
    }

    /// The same for who only looks: `None` where the store has still to be made or taken into use, which is left to
    /// others. A file that is there is brought up to date.
    pub async fn look(
        config: &config::Store,
        around: &Surroundings,
        observer: Arc<dyn Observer>,
    ) -> Result<Option<Self>, StartFailure> {
        match &config.engine {
            // Each process has its own.
            Engine::Memory => return Self::open(config, around, observer).await.map(Some),
            Engine::Sqlite { path, .. } if !path.exists() => return Ok(None),
            Engine::Sqlite { .. } | Engine::Server { .. } => {}
        }
        let backend = match backend(&config.engine, Opening::Look, around).await {
            Err(OpenError::NotYet { .. }) => return Ok(None),
            opened => Metered::new(opened?, observer),
        };
        let (sealer, new_key) = key::seal(&config.engine, around).await?;
        let store = TokenStore::look(Arc::new(backend), sealer.clone(), around.random.clone()).await?;
        Ok(store.map(|store| Self::of(config, store, sealer, new_key)))
    }

    fn of(config: &config::Store, store: TokenStore, sealer: Sealer, new_key: Option<KeyHolder>) -> Self {
        let state_dir = match config.engine {
            Engine::Memory => None,
            Engine::Sqlite { .. } | Engine::Server { .. } => config.state_dir.clone(),
        };
        let spool = state_dir.as_deref().map(|dir| Spool::new(dir, sealer.clone()));
        Self { store, sealer, spool, state_dir, new_key }
    }

    /// Shows the other processes of this host that we live. Only who renews tokens needs to.
    pub fn instance_lock(&self, around: &Surroundings) -> Result<Option<InstanceLock>, StartFailure> {
        let lock = |dir: &PathBuf| {
            InstanceLock::acquire(dir, &around.random).map_err(|error| {
                StartFailure::new(format!("the instance lock in {} cannot be taken: {error}", dir.display()))
            })
        };
        self.state_dir.as_ref().map(lock).transpose()
    }
}

async fn backend(engine: &Engine, opening: Opening, around: &Surroundings) -> Result<Arc<dyn Backend>, OpenError> {
    match engine {
        Engine::Memory => Ok(Arc::new(MemoryBackend::new(Arc::clone(&around.clock), &around.random))),
        Engine::Sqlite { path, .. } => {
            let (path, clock, random) = (path.clone(), Arc::clone(&around.clock), around.random.clone());
            let opened = tokio::task::spawn_blocking(move || SqliteBackend::open(&path, clock, &random)).await;
            let interrupted = |_| StoreError::Unavailable("opening it was interrupted".into());
            Ok(Arc::new(opened.map_err(interrupted)??))
        }
        Engine::Server { address, extra_roots, .. } => server(address, extra_roots.as_ref(), opening, around).await,
    }
}

/// The database server at `address`. Over TLS the authorities of `store.ca_file` count besides the system's; where
/// PostgreSQL's `sslmode` leaves the host's name unchecked, they alone.
async fn server(
    address: &ServerUrl,
    extra_roots: Option<&ExtraRoots>,
    opening: Opening,
    around: &Surroundings,
) -> Result<Arc<dyn Backend>, OpenError> {
    let (url, random) = (address.url.clone(), around.random.clone());
    let extra = extra_roots.map_or(&[][..], |roots| &roots.certificates);
    Ok(match address.kind {
        ServerKind::Redis => {
            let roots = extra_roots.map(|_| tls::roots_with(extra));
            let params = RedisParams { roots, opening, ..RedisParams::new(url) };
            Arc::new(RedisBackend::open(params, &random).await?)
        }
        ServerKind::Postgres => {
            let mut named = RootCertStore::empty();
            named.add_parsable_certificates(extra.iter().cloned());
            let trust = Trust { system: tls::roots_with(&[]), named: extra_roots.map(|_| named) };
            let params = PostgresParams { url, trust, timeout: PostgresParams::TIMEOUT, opening };
            Arc::new(Postgres::open(&params, random).await?)
        }
    })
}
