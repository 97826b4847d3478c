//! `[store]`: where credentials are kept.

use std::path::PathBuf;

use super::super::SecretSource;
use crate::model::Secret;

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub engine: Engine,
    /// For the spool and the instance lock. `None` only with [`Engine::Memory`], when nothing tells where it could be.
    pub state_dir: Option<PathBuf>,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Forgotten at exit; sealed with a key that is never written.
    Memory,
    Sqlite {
        path: PathBuf,
        key: StoreKey,
    },
}

/// The encryption key: one or more lines of 32 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreKey {
    pub source: SecretSource,
    /// The text as read. `None`: the file does not exist; one is generated with a new store, and an old store cannot be opened.
    pub text: Option<Secret>,
}
