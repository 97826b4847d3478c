//! What a check has found.

use super::StartFailure;

/// One line of `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was looked at, in a word.
    pub what: &'static str,
    pub finding: Finding,
}

/// How it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Good(String),
    /// It works, and an operator should know.
    Doubtful(StartFailure),
    /// It keeps a sidecar, or a tenant, from working.
    Bad(StartFailure),
}

// === impl Finding ===

impl Finding {
    /// Something to know that nobody has to mend.
    pub fn doubtful(what: impl Into<String>) -> Self {
        Self::Doubtful(StartFailure::new(what))
    }

    /// As a line of `check`.
    pub fn of(self, what: &'static str) -> Found {
        Found { what, finding: self }
    }
}
