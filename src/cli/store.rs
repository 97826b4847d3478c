//! The store of the configuration, opened for a command.

use std::sync::Arc;

use super::{Failure, World};
use crate::{
    app::storage::Storage,
    config,
    model::Unobserved,
    store::{KeyFileError, StoreError, TokenStore},
};

/// Opens the configured store, and makes it, with its key, where it does not exist yet.
pub(super) async fn open(config: &config::Store, world: &mut World<'_>) -> Result<TokenStore, Failure> {
    open_storage(config, world).await.map(|storage| storage.store)
}

/// The same with what belongs to the store.
pub(super) async fn open_storage(config: &config::Store, world: &mut World<'_>) -> Result<Storage, Failure> {
    require_durable(config)?;
    let storage = Storage::open(config, &world.surroundings(), Arc::new(Unobserved)).await?;
    if let Some(file) = &storage.new_key {
        let file = file.display();
        world
            .console
            .tell(format_args!("An encryption key was made in {file}. Keep a copy of it apart from the store."));
    }
    Ok(storage)
}

/// Refuses a store that would end with the command.
pub(super) fn require_durable(config: &config::Store) -> Result<(), Failure> {
    match &config.engine {
        config::Engine::Sqlite { .. } | config::Engine::Server { .. } => Ok(()),
        config::Engine::Memory => Err(Failure::misuse("a memory: store ends with the command")
            .hint("name a store that lasts, such as --store sqlite:PATH")),
    }
}

/// Whether there is a store to open; looking at one that is not there need not make it.
pub(super) fn exists(config: &config::Store) -> bool {
    match &config.engine {
        config::Engine::Sqlite { path, .. } => path.exists(),
        config::Engine::Memory | config::Engine::Server { .. } => true,
    }
}

// === impl Failure ===

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
