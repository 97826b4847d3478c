//! Names requests: in `Flexslot-Proxy-Request-Id`, in problems and in the access log.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use http::HeaderValue;

use crate::model::Random;

/// The name of one request: eight hexadecimal digits for the process, then a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

/// Makes ids that no other process makes.
#[derive(Debug)]
pub struct RequestIds {
    process: u32,
    next: AtomicU64,
}

// === impl RequestId ===

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header's value.
    pub fn to_header(&self) -> HeaderValue {
        // Hexadecimal digits and a dash are always fit.
        HeaderValue::try_from(self.0.as_str()).unwrap_or(HeaderValue::from_static(""))
    }

    #[cfg(test)]
    pub(crate) fn for_test(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl RequestIds ===

impl RequestIds {
    /// A source of ids with a process part of its own.
    pub fn new(random: &Random) -> Self {
        Self { process: u32::from_le_bytes(random.bytes()), next: AtomicU64::new(1) }
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        RequestId(format!("{:08x}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed)))
    }
}
