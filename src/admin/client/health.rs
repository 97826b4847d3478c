//! What `/readyz` says.

use serde::{Deserialize, Serialize};

/// Whether requests are served, and how well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthDocument {
    /// `starting`, `ready`, `degraded` or `draining`.
    pub status: String,
    /// What is wrong, in words that do not change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}
