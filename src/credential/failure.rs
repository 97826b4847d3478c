//! Why a renewal brought no tokens.

use std::time::Duration;

use super::Refusal;
pub(super) use crate::model::refresh::FailureClass;
use crate::{flexslot::TokenError, model::Timestamp, store::StoreError};

/// A failure, with words for logs and problem details; never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: FailureClass,
    pub(super) what: String,
    pub(super) retry_after: Option<Duration>,
}

// === impl Failure ===

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}

impl Failure {
    pub(super) fn new(class: FailureClass, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), retry_after: None }
    }

    pub(super) fn store(error: &StoreError) -> Self {
        let class = match error {
            StoreError::Unavailable(_) => FailureClass::Store,
            StoreError::Unreadable { .. } => FailureClass::Unreadable,
        };
        Self::new(class, error.to_string())
    }

    /// Flexslot does not want a token request now, and may have said for how long.
    pub(super) fn refused(error: &TokenError, retry_after: Option<Duration>, now: Timestamp) -> Self {
        let what = match retry_after {
            None => error.to_string(),
            Some(wait) => format!("{error}, and asks to wait until {}", now.plus(wait)),
        };
        Self { retry_after, ..Self::new(FailureClass::Refused, what) }
    }

    pub(super) fn internal() -> Self {
        Self::new(FailureClass::Internal, "the refresh ended without an outcome")
    }

    pub(super) fn slow() -> Self {
        Self::new(FailureClass::Slow, "the token is still being refreshed")
    }

    pub(super) fn retry_in(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// What a request without another credential is told.
    pub(super) fn into_refusal(self) -> Refusal {
        use FailureClass::{
            Deferred, Internal, Misconfigured, NotSent, Quiet, Refused, Slow, Store, Unknown, Unreadable,
        };
        match self.class {
            Misconfigured => Refusal::OAuthMisconfigured(self.what),
            Store => Refusal::StoreUnavailable(self.what),
            Unreadable => Refusal::RecordUnreadable(self.what),
            NotSent | Refused | Unknown | Deferred | Quiet | Slow | Internal => {
                Refusal::RefreshUnavailable { what: self.what, retry_after: self.retry_after }
            }
        }
    }
}
