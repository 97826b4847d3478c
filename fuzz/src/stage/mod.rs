//! A sidecar in memory, from the bytes of its callers to those that the upstream reads, on virtual time.
//!
//! Everything between is the program's own: the strict reader of the wire, the corridor, the credential room, the upstream
//! client. Only the edges are made here: [`caller`], [`upstream`], [`flexslot`] for the OAuth server, and [`store`], which
//! fails when it is told to. [`sidecar`] puts the rooms together.

pub mod caller;
pub mod flexslot;
pub mod sidecar;
pub mod store;
pub mod upstream;
mod world;

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use flexslot_proxy::model::{Clock, Random, Timestamp, clock::TokioClock};
use tokio::task::yield_now;

pub use world::World;

/// What every world begins at.
pub const START: Timestamp = Timestamp::from_secs(1_795_200_000);

/// The upstream, and the OAuth server.
pub const ORIGIN: &str = "http://api.localhost:8080";
pub const AUTHORITY: &str = "api.localhost:8080";

/// The OAuth client of every grant.
pub const CLIENT: &str = "flx_client_fuzz";

pub const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];

/// Stands in every token and PAT, and in nothing else.
pub const SECRET: &str = "SECRETSECRET";

/// Which of the sidecars on one store.
pub type Which = usize;

/// A clock that follows virtual time, and can be set.
#[derive(Debug, Clone)]
pub struct Clockwork {
    time: TokioClock,
    /// Milliseconds that it is ahead.
    ahead: Arc<AtomicI64>,
}

/// Runs `play` where time passes only when everybody waits for it.
pub fn on_virtual_time<T>(play: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(play)
}

/// Lets every task run until all of them wait.
pub async fn settle() {
    for _ in 0..40 {
        yield_now().await;
    }
}

/// Bytes that no two draws have alike, the same in every run.
pub fn random() -> Random {
    let drawn = AtomicU64::new(1);
    Random::from_fn(move |bytes| {
        for part in bytes.chunks_mut(8) {
            let word = super::bytes::Dice::new(drawn.fetch_add(1, Ordering::Relaxed)).next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    })
}

// === impl Clockwork ===

impl Clockwork {
    pub fn new() -> Self {
        Self { time: TokioClock::starting_at(START), ahead: Arc::default() }
    }

    /// Sets the clock by so many milliseconds.
    pub fn jump(&self, by: i64) {
        self.ahead.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for Clockwork {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.time.now().millis() + self.ahead.load(Ordering::Relaxed))
    }
}
