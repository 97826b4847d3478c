//! `[refresh]`: when and how patiently tokens are renewed.

use std::time::Duration;

/// `[refresh]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    pub before_expiry: Duration,
    pub min_interval: Duration,
    pub timeout: Duration,
    pub give_up: Duration,
    /// Always longer than `give_up`.
    pub uncertain_after: Duration,
    pub max_parallel: usize,
    pub spread: Duration,
}
