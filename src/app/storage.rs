//! Opens the store that the configuration names, with its key, its spool and the instance lock.

use std::{path::Path, sync::Arc};

use super::{StartFailure, Surroundings};
use crate::{
    config::{self, Engine, SecretSource, StoreKey},
    model::{Observer, Secret},
    store::{
        KeyFileError, TokenStore,
        backend::Backend,
        instance::InstanceLock,
        keyfile::{Access, KeyFile},
        memory::MemoryBackend,
        metered::Metered,
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
    pub instance: Option<InstanceLock>,
}

// === impl Storage ===

impl Storage {
    /// Opens the store. A key is generated only for a SQLite file that does not exist yet.
    pub async fn open(
        config: &config::Store,
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
                let sealer = sealer(path, key, around)?;
                let backend = {
                    let (path, clock, random) = (path.clone(), Arc::clone(&around.clock), around.random.clone());
                    let opened = tokio::task::spawn_blocking(move || SqliteBackend::open(&path, clock, &random)).await;
                    opened.map_err(|_| StartFailure::new("opening the store was interrupted"))??
                };
                Self::on(Arc::new(backend), sealer, config.state_dir.as_deref(), around, observer).await
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
        let lock = |dir: &Path| {
            InstanceLock::acquire(dir, &around.random).map_err(|error| {
                StartFailure::new(format!("the instance lock in {} cannot be taken: {error}", dir.display()))
            })
        };
        let instance = state_dir.map(lock).transpose()?;
        Ok(Self { store, sealer, spool, instance })
    }
}

fn sealer(database: &Path, key: &StoreKey, around: &Surroundings) -> Result<Sealer, StartFailure> {
    let file = key_file(&key.source);
    let ring = match (&key.text, &file) {
        (Some(text), _) => parse(text, &key.source)?,
        (None, Some(file)) if !database.exists() => {
            let made = file.create(&around.random);
            match made {
                // Another process has begun with the same store at the same moment.
                Err(KeyFileError::Exists { .. }) => file.read()?,
                made => {
                    tracing::info!(file = %file.path().display(), "an encryption key is made; keep a copy of it apart from the store");
                    made?
                }
            }
        }
        (None, _) => {
            return Err(StartFailure::new(format!(
                "the store {} exists, and its encryption key does not",
                database.display()
            ))
            .hint(
                "put the key back where store.encryption_key says; without it the stored credentials cannot be opened",
            ));
        }
    };
    Ok(match file {
        Some(file) => Sealer::with_source(ring, file, around.random.clone()),
        None => Sealer::new(ring, around.random.clone()),
    })
}

fn parse(text: &Secret, source: &SecretSource) -> Result<KeyRing, StartFailure> {
    KeyRing::parse(text).map_err(|error| {
        StartFailure::new(format!("store.encryption_key: {source}: {error}"))
            .hint("a key is 32 bytes in base64, one per line: flexslot-proxy key generate")
    })
}

fn key_file(source: &SecretSource) -> Option<KeyFile> {
    match source {
        SecretSource::Env { .. } => None,
        SecretSource::File { path, access } => {
            let access = match access {
                config::secret::AccessRule::Private => Access::OwnerOnly,
                config::secret::AccessRule::AnyMode => Access::AnyMode,
            };
            Some(KeyFile::new(path, access))
        }
    }
}
