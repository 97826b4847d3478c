//! The connections to one origin: idle HTTP/1.1 ones, the last used first, or one HTTP/2 connection for all.
//!
//! A pool knows nothing of threads and shares nothing with other pools, so that there can be one per worker.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    connect::{BoxedIo, Connector, Protocol},
    error::{ErrorKind, Sent, UpstreamError},
    http1, http2,
};

pub(super) struct Pool {
    connector: Connector,
    header_size: usize,
    idle_timeout: Duration,
    state: Mutex<State>,
    myself: Weak<Pool>,
}

struct State {
    /// Idle connections; the last one was used last.
    idle: VecDeque<http1::Lease>,
    shared: Shared,
    /// What the upstream chose by ALPN the last time.
    speaks: Option<Protocol>,
    next_id: u64,
}

/// The connection that all requests share, where the upstream speaks HTTP/2.
enum Shared {
    None,
    /// One connection attempt, and all who wait for its outcome.
    Connecting(watch::Receiver<Outcome>),
    Live(http2::Handle),
}

/// How a shared connection attempt ended; `None` as long as it has not.
type Outcome = Option<Result<(), UpstreamError>>;

/// A connection for one request.
pub(super) enum Lease {
    Http1(http1::Lease),
    Http2(http2::Lease),
}

/// Which connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Any,
    /// None that has idled in the pool: one of those has just turned out to be stale.
    Fresh,
}

/// How often a request waits for a shared connection that is gone again when its turn comes.
const ROUNDS: usize = 4;

// === impl Pool ===

impl Pool {
    pub(super) fn new(connector: Connector, header_size: usize, idle_timeout: Duration) -> Arc<Self> {
        // Cleartext is HTTP/1.1 by definition; nothing is gained by sharing its connection attempts.
        let speaks = connector.tls.is_none().then_some(Protocol::Http1);
        let state = State { idle: VecDeque::new(), shared: Shared::None, speaks, next_id: 0 };
        Arc::new_cyclic(|myself| Self {
            connector,
            header_size,
            idle_timeout,
            state: Mutex::new(state),
            myself: myself.clone(),
        })
    }

    /// A connection that is ready for a request.
    pub(super) async fn lease(&self, want: Want) -> Result<Lease, UpstreamError> {
        for _ in 0..ROUNDS {
            let mut outcome = match self.at_hand(want) {
                AtHand::Lease(lease) => return Ok(lease),
                AtHand::Nothing => return self.connect().await,
                AtHand::Awaited(outcome) => outcome,
            };
            if let Ok(Some(Err(error))) = outcome.wait_for(Option::is_some).await.as_deref() {
                return Err(error.clone());
            }
        }
        let detail = "connections end as soon as they are made";
        Err(UpstreamError::new(ErrorKind::Terminated, Sent::NotSent, detail))
    }

    fn at_hand(&self, want: Want) -> AtHand {
        let state = &mut *self.state.lock();
        if let Shared::Live(handle) = &state.shared {
            match handle.lease() {
                Some(lease) => return AtHand::Lease(Lease::Http2(lease)),
                None => state.shared = Shared::None,
            }
        }
        if let Some(lease) = state.idle_lease(want) {
            return AtHand::Lease(Lease::Http1(lease));
        }
        match &state.shared {
            _ if state.speaks == Some(Protocol::Http1) => AtHand::Nothing,
            Shared::Connecting(outcome) => AtHand::Awaited(outcome.clone()),
            Shared::None | Shared::Live(_) => {
                let (settle, outcome) = watch::channel(None);
                state.shared = Shared::Connecting(outcome.clone());
                // In a task of its own: whoever began it may go away, the others still wait for it.
                tokio::spawn(connect_shared(self.myself.clone(), settle));
                AtHand::Awaited(outcome)
            }
        }
    }

    /// A connection for the caller alone, unless the upstream turns out to speak HTTP/2.
    async fn connect(&self) -> Result<Lease, UpstreamError> {
        let (io, protocol) = self.connector.connect().await?;
        if protocol == Protocol::Http1 {
            return self.http1(io).await.map(Lease::Http1);
        }
        let handle = self.http2(io).await?;
        let lease = handle.lease().map(Lease::Http2);
        self.share(handle);
        lease.ok_or_else(|| UpstreamError::new(ErrorKind::Terminated, Sent::NotSent, "the new connection is gone"))
    }

    async fn http1(&self, io: BoxedIo) -> Result<http1::Lease, UpstreamError> {
        http1::connect(io, self.new_id(), self.header_size, self.idle_timeout, self.myself.clone()).await
    }

    async fn http2(&self, io: BoxedIo) -> Result<http2::Handle, UpstreamError> {
        http2::connect(io, self.new_id(), self.header_size, self.idle_timeout, self.myself.clone()).await
    }

    fn new_id(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_id += 1;
        state.next_id
    }

    fn share(&self, handle: http2::Handle) {
        let mut state = self.state.lock();
        state.speaks = Some(Protocol::Http2);
        state.shared = Shared::Live(handle);
    }

    /// Takes a connection that is ready for the next request.
    pub(super) fn put_idle(&self, lease: http1::Lease) {
        self.state.lock().idle.push_back(lease);
    }

    /// Takes an idle connection out of the pool; `None` where it is in use.
    pub(super) fn take_idle(&self, id: u64) -> Option<http1::Lease> {
        let idle = &mut self.state.lock().idle;
        let position = idle.iter().position(|lease| lease.id() == id)?;
        idle.remove(position)
    }

    /// Stops offering the shared connection if nobody uses it; false where somebody does.
    pub(super) fn retire_idle(&self, id: u64) -> bool {
        self.remove_shared(id, http2::Handle::is_idle)
    }

    /// Stops offering the shared connection: it is gone.
    pub(super) fn forget(&self, id: u64) {
        self.remove_shared(id, |_| true);
    }

    /// False where the connection is still offered afterwards.
    fn remove_shared(&self, id: u64, condition: impl Fn(&http2::Handle) -> bool) -> bool {
        let shared = &mut self.state.lock().shared;
        match shared {
            Shared::Live(handle) if handle.id() == id => {
                let remove = condition(handle);
                if remove {
                    *shared = Shared::None;
                }
                remove
            }
            Shared::Live(_) | Shared::Connecting(_) | Shared::None => true,
        }
    }
}

/// Makes the connection that several requests wait for, and tells them when it is in its place.
async fn connect_shared(pool: Weak<Pool>, settle: watch::Sender<Outcome>) {
    let Some(pool) = pool.upgrade() else { return };
    let outcome = async {
        let (io, protocol) = pool.connector.connect().await?;
        match protocol {
            Protocol::Http2 => pool.share(pool.http2(io).await?),
            Protocol::Http1 => {
                let lease = pool.http1(io).await?;
                let mut state = pool.state.lock();
                (state.speaks, state.shared) = (Some(Protocol::Http1), Shared::None);
                state.idle.push_back(lease);
            }
        }
        Ok(())
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        pool.state.lock().shared = Shared::None;
    }
    settle.send_replace(Some(outcome));
}

enum AtHand {
    Lease(Lease),
    Awaited(watch::Receiver<Outcome>),
    Nothing,
}

// === impl State ===

impl State {
    fn idle_lease(&mut self, want: Want) -> Option<http1::Lease> {
        let fits = |lease: &http1::Lease| want == Want::Any || !lease.reused;
        loop {
            let position = self.idle.iter().rposition(fits)?;
            let lease = self.idle.remove(position)?;
            if lease.sender.is_ready() || !lease.reused && !lease.sender.is_closed() {
                return Some(lease);
            }
        }
    }
}

// === impl Lease ===

impl Lease {
    pub(super) const fn reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.reused,
            Self::Http2(lease) => lease.reused,
        }
    }
}
