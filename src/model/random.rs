//! Randomness, handed in.

use std::{fmt, sync::Arc, time::Duration};

/// A source of random bytes. [`Random::system`] is the operating system's generator and fit for keys and nonces; tests
/// hand in their own.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

/// Fills a buffer with random bytes.
type Fill = dyn Fn(&mut [u8]) + Send + Sync;

// === impl Random ===

impl Random {
    /// The operating system's generator.
    pub fn system() -> Self {
        Self(Arc::new(|buffer| {
            #[allow(
                clippy::expect_used,
                reason = "without randomness no nonce is safe; Linux fails here only when the kernel lacks getrandom"
            )]
            getrandom::fill(buffer).expect("the operating system gives random bytes");
        }))
    }

    /// A source that calls `fill`; for tests.
    pub fn from_fn(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut buffer = [0; N];
        (self.0)(&mut buffer);
        buffer
    }

    /// A duration drawn evenly from zero up to (not including) `limit`; zero when the limit is.
    pub fn below(&self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        match nanos {
            0 => Duration::ZERO,
            nanos => Duration::from_nanos(u64::from_le_bytes(self.bytes()) % nanos),
        }
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
