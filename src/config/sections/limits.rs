//! `[limits]`: how much of everything there may be at a time.

use std::time::Duration;

use crate::config::{
    fault::Wrong,
    reader::{Table, Value},
    report::Setting,
    units,
};

/// `[limits]`; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    /// Those of one address, or of one user of a unix socket.
    pub connections_per_peer: usize,
    pub header_timeout: Duration,
    /// All header fields together, of a request and of a response.
    pub header_size: usize,
    pub keep_alive_timeout: Duration,
    pub request_body: u64,
    pub replay_body: usize,
    pub replay_memory: usize,
    pub in_flight_per_tenant: usize,
    pub cached_tenants: usize,
}

/// `[limits]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    connections: Setting<usize>,
    connections_per_peer: Setting<usize>,
    header_timeout: Setting<Duration>,
    header_size: Setting<usize>,
    keep_alive_timeout: Setting<Duration>,
    request_body: Setting<u64>,
    replay_body: Setting<usize>,
    replay_memory: Setting<usize>,
    in_flight_per_tenant: Setting<usize>,
    cached_tenants: Setting<usize>,
}

/// Room for what ordinary clients send, and the least that the HTTP parser works with.
const SMALLEST_HEADER: usize = 8 << 10;
/// Every connection may take that much memory.
const LARGEST_HEADER: usize = 1 << 20;

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            connections: table.key("connections", Value::count),
            connections_per_peer: table.key("connections_per_peer", Value::count),
            header_timeout: table.key("header_timeout", units::positive_duration),
            header_size: table.key("header_size", header_size),
            keep_alive_timeout: table.key("keep_alive_timeout", units::positive_duration),
            request_body: table.key("request_body", units::size),
            replay_body: table.key("replay_body", units::memory_size),
            replay_memory: table.key("replay_memory", units::memory_size),
            in_flight_per_tenant: table.key("in_flight_per_tenant", Value::count),
            cached_tenants: table.key("cached_tenants", Value::count),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self) -> Limits {
        let connections = self.connections.or(10_000);
        Limits {
            connections,
            // Whoever it is, somebody else gets in.
            connections_per_peer: self.connections_per_peer.or(connections.saturating_mul(3).div_ceil(4)),
            header_timeout: self.header_timeout.or(Duration::from_secs(10)),
            header_size: self.header_size.or(64 << 10),
            keep_alive_timeout: self.keep_alive_timeout.or(Duration::from_secs(75)),
            request_body: self.request_body.or(64 << 20),
            replay_body: self.replay_body.or(1 << 20),
            replay_memory: self.replay_memory.or(16 << 20),
            in_flight_per_tenant: self.in_flight_per_tenant.or(10_000),
            cached_tenants: self.cached_tenants.or(100_000),
        }
    }
}

fn header_size(value: &Value<'_>) -> Option<usize> {
    let size = units::memory_size(value)?;
    if !(SMALLEST_HEADER..=LARGEST_HEADER).contains(&size) {
        value.fault(Wrong::new("must lie between 8KiB and 1MiB"));
        return None;
    }
    Some(size)
}
