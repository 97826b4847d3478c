//! `[limits]`: how much of everything there may be at a time.

use std::time::Duration;

/// `[limits]`; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    pub header_timeout: Duration,
    pub header_size: usize,
    pub keep_alive_timeout: Duration,
    pub request_body: u64,
    pub replay_body: usize,
    pub replay_memory: usize,
    pub in_flight_per_tenant: usize,
}
