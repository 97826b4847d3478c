//! Why a sidecar did not start, or takes no new configuration, and what mends it.

use std::fmt;

use crate::{
    server::listen::BindError,
    store::{KeyFileError, OpenError, StoreError, keyring::KeyringError},
};

/// What happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFailure {
    pub what: String,
    pub hint: Option<String>,
}

// === impl StartFailure ===

impl StartFailure {
    /// A failure with nothing more to say.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    /// The same failure with what mends it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn listen(error: &BindError) -> Self {
        let failure = Self::new(error.to_string());
        match error.source.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint(
                "another sidecar may be running; stop it, or choose another address with --listen or --admin-listen",
            ),
            _ => failure,
        }
    }

    pub(super) fn store(error: &StoreError) -> Self {
        Self::new(format!("the store cannot be used: {error}"))
    }
}

impl From<OpenError> for StartFailure {
    fn from(error: OpenError) -> Self {
        Self { what: error.to_string(), hint: error.hint() }
    }
}

impl From<KeyFileError> for StartFailure {
    fn from(error: KeyFileError) -> Self {
        Self { what: error.to_string(), hint: error.hint() }
    }
}

impl From<KeyringError> for StartFailure {
    fn from(error: KeyringError) -> Self {
        Self { what: error.to_string(), hint: error.hint() }
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StartFailure {}
