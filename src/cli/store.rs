//! The store of the configuration, opened for a command.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Failure, World};
use crate::{
    app::storage::{KeyHolder, Storage},
    config::{self, KeyLocation},
    model::Unobserved,
    store::{KeyFileError, StoreError, TokenStore, keyring::KeyringError},
};

/// A keyring that is unlocked answers sooner than this.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Opens the configured store, and makes it, with its key, where it does not exist yet.
pub(super) async fn open(config: &config::Store, world: &mut World<'_>) -> Result<TokenStore, Failure> {
    open_storage(config, world).await.map(|storage| storage.store)
}

/// The same with what belongs to the store.
pub(super) async fn open_storage(config: &config::Store, world: &mut World<'_>) -> Result<Storage, Failure> {
    require_durable(config)?;
    let around = world.surroundings();
    let opening = Storage::open(config, &around, Arc::new(Unobserved));
    let storage = patiently(config, opening, |what| world.console.tell(what)).await?;
    match &storage.new_key {
        Some(KeyHolder::File(file)) => {
            let file = file.path().display();
            world
                .console
                .tell(format_args!("An encryption key was made in {file}. Keep a copy of it apart from the store."));
        }
        Some(KeyHolder::Keyring(keyring)) => world.console.tell(format_args!(
            "An encryption key was made in the desktop's keyring, as {}. Keep a copy of it apart from the store.",
            keyring.item()
        )),
        None => {}
    }
    Ok(storage)
}

/// What `opening` comes to. Where that asks the desktop's keyring and takes its time, `tell` says what is waited for.
pub(super) async fn patiently<T>(
    config: &config::Store,
    opening: impl Future<Output = T>,
    tell: impl FnOnce(&str),
) -> T {
    let mut opening = std::pin::pin!(opening);
    if let Some(KeyLocation::Keyring(_)) = config.key_location() {
        match timeout(AT_ONCE, &mut opening).await {
            Ok(opened) => return opened,
            Err(_) => tell("Waiting for the desktop's keyring, which may ask for its password …"),
        }
    }
    opening.await
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

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
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
