//! The store of the configuration, opened for a command.

use std::{path::Path, sync::Arc};

use super::{Failure, World};
use crate::{
    config::{self, Config, SecretSource, StoreKey, secret::AccessRule},
    model::Random,
    store::{
        KeyFileError, OpenError, StoreError, TokenStore,
        keyfile::{Access, KeyFile},
        seal::{KeyRing, Sealer},
        sqlite::SqliteBackend,
    },
};

/// Opens the configured store, and makes it, with its key, where it does not exist yet.
pub(super) async fn open(config: &Config, world: &World<'_>) -> Result<TokenStore, Failure> {
    let (path, key) = require_durable(config)?;
    let ring = match &key.text {
        Some(text) => KeyRing::parse(text).map_err(|invalid| {
            Failure::new(format!("{}: {invalid}", key.source))
                .hint("each line holds 32 bytes in base64; key generate makes one")
        })?,
        None => new_key(&key.source, path, &world.random)?,
    };
    let backend = SqliteBackend::open(path, world.clock.clone(), &world.random)?;
    let sealer = Sealer::new(ring, world.random.clone());
    Ok(TokenStore::open(Arc::new(backend), sealer, world.random.clone()).await?)
}

/// Refuses a store that would end with the command.
pub(super) fn require_durable(config: &Config) -> Result<(&Path, &StoreKey), Failure> {
    match &config.store.engine {
        config::Engine::Sqlite { path, key } => Ok((path, key)),
        config::Engine::Memory => {
            Err(Failure::misuse("a memory: store ends with the command")
                .hint("name the store with --store sqlite:PATH"))
        }
    }
}

/// Whether there is a store to open; looking at one that is not there need not make it.
pub(super) fn exists(config: &Config) -> bool {
    match &config.store.engine {
        config::Engine::Sqlite { path, .. } => path.exists(),
        config::Engine::Memory => true,
    }
}

/// A key is made only together with its store: for an old store a new key would be a wrong one.
fn new_key(source: &SecretSource, database: &Path, random: &Random) -> Result<KeyRing, Failure> {
    let SecretSource::File { path, access } = source else {
        return Err(Failure::new(format!("{source} is not set")));
    };
    if database.exists() {
        return Err(Failure::new(format!(
            "the encryption key {} does not exist, but the store {} does",
            path.display(),
            database.display()
        ))
        .hint("restore the key that the store was made with; without it the store cannot be read"));
    }
    let access = match access {
        AccessRule::Private => Access::OwnerOnly,
        AccessRule::AnyMode => Access::AnyMode,
    };
    let file = KeyFile::new(path, access);
    match file.create(random) {
        // Another process has begun with the same store at the same moment.
        Err(KeyFileError::Exists { .. }) => Ok(file.read()?),
        made => Ok(made?),
    }
}

// === impl Failure ===

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let failure = Self::new(error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        let failure = Self::new(error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string())
    }
}
