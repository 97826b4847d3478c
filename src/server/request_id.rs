//! Names requests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Random, RequestId};

/// Makes ids that no other process makes.
#[derive(Debug)]
pub struct RequestIds {
    process: u32,
    next: AtomicU64,
}

// === impl RequestIds ===

impl RequestIds {
    /// A source of ids with a process part of its own.
    pub fn new(random: &Random) -> Self {
        Self { process: u32::from_le_bytes(random.bytes()), next: AtomicU64::new(1) }
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        RequestId::new(self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
