//! Opens the store that the configuration names, with its key and its spool.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::RootCertStore;

use super::{StartFailure, Surroundings};
use crate::{
    config::{self, Engine, ExtraRoots, SecretSource, ServerKind, ServerUrl, StoreKey},
    model::{Observer, Secret},
    proxy::upstream::tls,
    store::{
        KeyFileError, OpenError, Opening, TokenStore,
        backend::Backend,
        instance::InstanceLock,
        keyfile::KeyFile,
        memory::MemoryBackend,
        metered::Metered,
        postgres::{Postgres, PostgresParams, Trust},
        redis::{RedisBackend, RedisParams},
        seal::{KeyRing, Sealer},
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
    /// The file of the encryption key, where one was made for this store just now.
    pub new_key: Option<PathBuf>,
}

// === impl Storage ===

impl Storage {
    /// Opens the store, and makes what it needs where it is new. A key is generated only for a SQLite file that does
    /// not exist yet.
    pub async fn open(
        config: &config::Store,
        around: &Surroundings,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartFailure> {
        Self::open_with(config, Opening::Make, around, observer).await
    }

    /// The same for who only looks: on a server a store is expected, and not made.
    pub async fn open_to_look(
        config: &config::Store,
        around: &Surroundings,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartFailure> {
        Self::open_with(config, Opening::Look, around, observer).await
    }

    /// Whether there is a store to open. Makes none.
    pub async fn exists(config: &config::Store, around: &Surroundings) -> Result<bool, StartFailure> {
        let (address, extra_roots) = match &config.engine {
            Engine::Memory => return Ok(true),
            Engine::Sqlite { path, .. } => return Ok(path.exists()),
            Engine::Server { address, extra_roots, .. } => (address, extra_roots),
        };
        match server(address, extra_roots.as_ref(), Opening::Look, around).await {
            Ok(_) => Ok(true),
            Err(OpenError::NotYet { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn open_with(
        config: &config::Store,
        opening: Opening,
        around: &Surroundings,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartFailure> {
        match &config.engine {
            Engine::Memory => {
                let sealer = Sealer::new(KeyRing::ephemeral(&around.random), around.random.clone());
                let backend = MemoryBackend::new(Arc::clone(&around.clock), &around.random);
                Self::on(Arc::new(backend), sealer, None, around, observer).await
            }
            Engine::Sqlite { path, key } => {
                let (sealer, new_key) = sealer(path, key, around)?;
                let backend = {
                    let (path, clock, random) = (path.clone(), Arc::clone(&around.clock), around.random.clone());
                    let opened = tokio::task::spawn_blocking(move || SqliteBackend::open(&path, clock, &random)).await;
                    opened.map_err(|_| StartFailure::new("opening the store was interrupted"))??
                };
                let storage =
                    Self::on(Arc::new(backend), sealer, config.state_dir.as_deref(), around, observer).await?;
                Ok(Self { new_key, ..storage })
            }
            Engine::Server { address, key, extra_roots } => {
                let sealer = shared_sealer(key, around)?;
                let backend = server(address, extra_roots.as_ref(), opening, around).await?;
                Self::on(backend, sealer, config.state_dir.as_deref(), around, observer).await
            }
        }
    }

    async fn on(
        backend: Arc<dyn Backend>,
        sealer: Sealer,
        state_dir: Option<&Path>,
        around: &Surroundings,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StartFailure> {
        let backend = Arc::new(Metered::new(backend, observer));
        let store = TokenStore::open(backend, sealer.clone(), around.random.clone()).await?;
        let spool = state_dir.map(|dir| Spool::new(dir, sealer.clone()));
        Ok(Self { store, sealer, spool, state_dir: state_dir.map(Path::to_owned), new_key: None })
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

/// The sealer of a store that others use too, whose key was found when the configuration was read.
fn shared_sealer(key: &StoreKey, around: &Surroundings) -> Result<Sealer, StartFailure> {
    let Some(text) = &key.text else {
        return Err(StartFailure::new(format!("the encryption key ({}) does not exist", key.source)));
    };
    Ok(sealer_with(parse(text, &key.source)?, key_file(&key.source), around))
}

fn sealer_with(ring: KeyRing, file: Option<KeyFile>, around: &Surroundings) -> Sealer {
    match file {
        Some(file) => Sealer::with_source(ring, file, around.random.clone()),
        None => Sealer::new(ring, around.random.clone()),
    }
}

/// The sealer of a store in a file, and the file of its key where that was made just now.
fn sealer(database: &Path, key: &StoreKey, around: &Surroundings) -> Result<(Sealer, Option<PathBuf>), StartFailure> {
    let file = key_file(&key.source);
    let mut new_key = None;
    let ring = match (&key.text, &file) {
        (Some(text), _) => parse(text, &key.source)?,
        (None, Some(file)) if !database.exists() => {
            match file.create(&around.random) {
                // Another process has begun with the same store at the same moment.
                Err(KeyFileError::Exists { .. }) => file.read()?,
                made => {
                    let ring = made?;
                    new_key = Some(file.path().to_owned());
                    ring
                }
            }
        }
        (None, _) => {
            let (key, store) = (&key.source, database.display());
            return Err(StartFailure::new(format!(
                "the encryption key ({key}) does not exist, but the store {store} does"
            ))
            .hint(
                "put back the key that the store was made with; without it the stored credentials cannot be opened",
            ));
        }
    };
    Ok((sealer_with(ring, file, around), new_key))
}

/// The keys of a configuration that was read again; `None` where there are none to take over.
pub(super) fn keys(store: &config::Store) -> Result<Option<KeyRing>, StartFailure> {
    let Some(key) = store.engine.key() else { return Ok(None) };
    key.text.as_ref().map(|text| parse(text, &key.source)).transpose()
}

fn parse(text: &Secret, source: &SecretSource) -> Result<KeyRing, StartFailure> {
    KeyRing::parse(text).map_err(|error| {
        StartFailure::new(format!("store.encryption_key: {source}: {error}"))
            .hint("a key is 32 bytes in base64, one per line: flexslot-proxy key generate")
    })
}

/// The file that the key lies in; `None` for one that comes from the environment.
pub fn key_file(source: &SecretSource) -> Option<KeyFile> {
    match source {
        SecretSource::Env { .. } => None,
        SecretSource::File { path, access } => Some(KeyFile::new(path, *access)),
    }
}
