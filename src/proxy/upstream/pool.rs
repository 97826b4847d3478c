//! The connections to one origin: idle HTTP/1.1 ones, the last used first, or HTTP/2 ones, as
//! many as the requests under way need.
//!
//! A pool knows nothing of threads and shares nothing with other pools, so that there can be one per worker.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    connect::{BoxedIo, Connector, Protocol},
    error::{ErrorKind, Sent, UpstreamError},
    http1, http2,
};

pub(super) struct Pool {
    connector: Arc<Connector>,
    header_size: usize,
    idle_timeout: Duration,
    state: Mutex<State>,
    myself: Weak<Pool>,
}

struct State {
    /// Idle connections; the last one was used last.
    idle: VecDeque<http1::Lease>,
    /// Whether somebody looks after those.
    is_kept: bool,
    /// HTTP/2 connections, the oldest first. Requests crowd together at the front, so that those at the back can idle
    /// out.
    shared: Vec<http2::Handle>,
    /// One attempt to make a connection to share, and all who wait for its outcome.
    connecting: Option<watch::Receiver<Outcome>>,
    /// What the upstream chose by ALPN the last time.
    speaks: Option<Protocol>,
    next_id: u64,
}

/// How long a connection lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lives {
    /// With nobody using it.
    pub(super) idle: Duration,
    /// All in all. Then the next request gets another one, by what the resolver says then.
    pub(super) age: Duration,
}

/// How a shared connection attempt ended, with the connection's id; `None` as long as it has not.
type Outcome = Option<Result<u64, UpstreamError>>;

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

/// What the pool has for a request.
enum AtHand {
    Lease(Lease),
    Awaited(watch::Receiver<Outcome>),
    Nothing,
}

/// How often a request waits for a shared connection that is gone again when its turn comes.
const ROUNDS: usize = 4;

/// How often idle connections are looked at, at least: one that the upstream has closed is closed here not much later.
const ROUND: Duration = Duration::from_secs(5);

/// How long a connection takes requests, however busy it is: a name that has moved is followed within this time.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);

/// Connections that were made at the same moment are not all replaced at the same moment: each of as many as these goes so
/// much earlier than the one before.
const STEPS: u32 = 16;
const STEP: Duration = Duration::from_secs(10);

/// How many HTTP/2 connections there may be. When all of them are full, requests wait for each other.
const MAX_SHARED: usize = 32;

// === impl Pool ===

impl Pool {
    pub(super) fn new(connector: Arc<Connector>, header_size: usize, idle_timeout: Duration) -> Arc<Self> {
        // Cleartext is HTTP/1.1 by definition; nothing is gained by sharing its connection attempts.
        let speaks = connector.tls.is_none().then_some(Protocol::Http1);
        let state =
            State { idle: VecDeque::new(), is_kept: false, shared: Vec::new(), connecting: None, speaks, next_id: 0 };
        Arc::new_cyclic(|myself| Self {
            connector,
            header_size,
            idle_timeout,
            state: Mutex::new(state),
            myself: myself.clone(),
        })
    }

    /// The same origin's, with no connections yet.
    pub(super) fn apart(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.connector), self.header_size, self.idle_timeout)
    }

    /// A connection that is ready for a request.
    pub(super) async fn lease(&self, want: Want) -> Result<Lease, UpstreamError> {
        let mut lost = 0;
        while lost < ROUNDS {
            let mut outcome = match self.at_hand(want) {
                AtHand::Lease(lease) => return Ok(lease),
                // Apart, so that a request that finds a connection does not carry the room for making one.
                AtHand::Nothing => return Box::pin(self.connect()).await,
                AtHand::Awaited(outcome) => outcome,
            };
            let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
            match outcome {
                // Others filled it. They are served, and so the next connection is one round closer.
                Some(Ok(id)) if self.offers(id) => {}
                Some(Ok(_)) | None => lost += 1,
                // An upstream that takes no more connections may still end a request on one that it has.
                Some(Err(error)) => return self.crowded().ok_or(error),
            }
        }
        let detail = "connections end as soon as they are made";
        Err(UpstreamError::new(ErrorKind::Terminated, Sent::NotSent, detail))
    }

    fn at_hand(&self, want: Want) -> AtHand {
        let state = &mut *self.state.lock();
        if let Some(lease) = state.roomy_lease() {
            return AtHand::Lease(Lease::Http2(lease));
        }
        if let Some(lease) = state.idle_lease(want) {
            return AtHand::Lease(Lease::Http1(lease));
        }
        if state.speaks == Some(Protocol::Http1) {
            return AtHand::Nothing;
        }
        if let Some(outcome) = &state.connecting {
            return AtHand::Awaited(outcome.clone());
        }
        if state.shared.len() >= MAX_SHARED
            && let Some(lease) = state.crowded_lease()
        {
            return AtHand::Lease(Lease::Http2(lease));
        }
        let (settle, outcome) = watch::channel(None);
        state.connecting = Some(outcome.clone());
        // In a task of its own: whoever began it may go away, the others still wait for it.
        tokio::spawn(connect_shared(self.myself.clone(), settle));
        AtHand::Awaited(outcome)
    }

    /// A place on a full connection, where there is one.
    fn crowded(&self) -> Option<Lease> {
        self.state.lock().crowded_lease().map(Lease::Http2)
    }

    fn offers(&self, id: u64) -> bool {
        self.state.lock().shared.iter().any(|handle| handle.id() == id && !handle.is_closed())
    }

    /// A connection for the caller alone, unless the upstream turns out to speak HTTP/2.
    async fn connect(&self) -> Result<Lease, UpstreamError> {
        let (io, protocol) = self.connector.connect().await?;
        if protocol == Protocol::Http1 {
            return Ok(Lease::Http1(self.http1(io)));
        }
        let handle = self.http2(io).await?;
        let lease = handle.lease().map(Lease::Http2);
        self.share(handle);
        lease.ok_or_else(|| UpstreamError::new(ErrorKind::Terminated, Sent::NotSent, "the new connection is gone"))
    }

    fn http1(&self, io: BoxedIo) -> http1::Lease {
        http1::Lease::new(io, self.header_size, self.lives(), self.myself.clone())
    }

    async fn http2(&self, io: BoxedIo) -> Result<http2::Handle, UpstreamError> {
        let connect = http2::connect(io, self.new_id(), self.header_size, self.lives(), self.myself.clone());
        self.connector.in_time(connect).await
    }

    fn lives(&self) -> Lives {
        let step = self.connector.made.fetch_add(1, Ordering::Relaxed) % STEPS;
        Lives { idle: self.idle_timeout, age: MAX_AGE - STEP * step }
    }

    fn new_id(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_id += 1;
        state.next_id
    }

    /// Offers the connection to all; without a place for it, it ends with the leases that it has.
    fn share(&self, handle: http2::Handle) {
        let state = &mut *self.state.lock();
        state.speaks = Some(Protocol::Http2);
        // Those that are too old have waited for this one. They end with the requests that they have.
        state.shared.retain(|handle| !handle.is_retired());
        if state.shared.len() < MAX_SHARED {
            state.shared.push(handle);
        }
    }

    /// Takes a connection that is ready for the next request.
    pub(super) fn put_idle(&self, lease: http1::Lease) {
        let state = &mut *self.state.lock();
        state.idle.push_back(lease);
        if !mem::replace(&mut state.is_kept, true) {
            tokio::spawn(keep(self.myself.clone(), self.idle_timeout.min(ROUND)));
        }
    }

    /// Closes connections that nobody has used for too long, or that are gone. When to look again; `None` where there is
    /// nothing to look after any more.
    fn look_after_idle(&self, round: Duration) -> Option<Instant> {
        let (now, state) = (Instant::now(), &mut *self.state.lock());
        state.idle.retain_mut(|lease| lease.idles_until() > now && lease.is_there());
        let first = state.idle.front().map(http1::Lease::idles_until);
        state.is_kept = first.is_some();
        first.map(|first| first.min(now + round))
    }

    /// Stops offering a shared connection if nobody uses it; false where somebody does.
    pub(super) fn retire_idle(&self, id: u64) -> bool {
        let shared = &mut self.state.lock().shared;
        shared.retain(|handle| handle.id() != id || !handle.is_idle());
        shared.iter().all(|handle| handle.id() != id)
    }

    /// Stops offering a shared connection: it is gone.
    pub(super) fn forget(&self, id: u64) {
        self.state.lock().shared.retain(|handle| handle.id() != id);
    }
}

/// Looks after the idle connections of a pool, as long as there are any.
async fn keep(pool: Weak<Pool>, round: Duration) {
    let mut next = Some(Instant::now() + round);
    while let Some(at) = next {
        sleep_until(at).await;
        next = pool.upgrade().and_then(|pool| pool.look_after_idle(round));
    }
}

/// Makes the connection that several requests wait for, and tells them when it is in its place.
async fn connect_shared(pool: Weak<Pool>, settle: watch::Sender<Outcome>) {
    let Some(pool) = pool.upgrade() else { return };
    let outcome = async {
        let (io, protocol) = pool.connector.connect().await?;
        match protocol {
            Protocol::Http2 => {
                let handle = pool.http2(io).await?;
                let id = handle.id();
                pool.share(handle);
                Ok(id)
            }
            Protocol::Http1 => {
                let lease = pool.http1(io);
                pool.state.lock().speaks = Some(Protocol::Http1);
                pool.put_idle(lease);
                // No shared one: whoever waits takes it, or makes another.
                Ok(pool.new_id())
            }
        }
    };
    let outcome = outcome.await;
    pool.state.lock().connecting = None;
    settle.send_replace(Some(outcome));
}

// === impl State ===

impl State {
    /// A place where the upstream begins at once.
    fn roomy_lease(&mut self) -> Option<http2::Lease> {
        self.shared.retain(|handle| !handle.is_closed());
        let takes_one = |handle: &&http2::Handle| handle.has_room() && !handle.is_retired();
        self.shared.iter().filter(takes_one).find_map(http2::Handle::lease)
    }

    /// A place with the fewest to wait for.
    fn crowded_lease(&self) -> Option<http2::Lease> {
        let open = self.shared.iter().filter(|handle| !handle.is_closed());
        open.min_by_key(|handle| handle.load()).and_then(http2::Handle::lease)
    }

    fn idle_lease(&mut self, want: Want) -> Option<http1::Lease> {
        let fits = |lease: &http1::Lease| want == Want::Any || !lease.reused;
        loop {
            let position = self.idle.iter().rposition(fits)?;
            let mut lease = self.idle.remove(position)?;
            if lease.is_there() {
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
