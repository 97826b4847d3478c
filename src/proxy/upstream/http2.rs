//! One HTTP/2 connection, shared by as many requests as its upstream allows.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    connect::BoxedIo,
    error::{ErrorKind, Sent, UpstreamError},
    pool::{Lives, Pool},
    wire::{Received, Wire},
};
use crate::proxy::replay::ReplayBody;

/// The pool's hold on the connection.
pub(super) struct Handle {
    id: u64,
    sender: http2::SendRequest<ReplayBody>,
    activity: Arc<Activity>,
    /// From when on it takes no further request.
    retires_at: Instant,
}

/// The use of the connection by one request, until its response has been read.
pub(super) struct Lease {
    pub(super) sender: http2::SendRequest<ReplayBody>,
    /// Whether an earlier request has used the connection.
    pub(super) reused: bool,
    id: u64,
    activity: Arc<Activity>,
}

#[derive(Default)]
struct Activity {
    leases: AtomicUsize,
    /// How many streams the upstream allows: its SETTINGS_MAX_CONCURRENT_STREAMS, as of the last request (RFC 9113
    /// section 5.1.2).
    limit: AtomicUsize,
    uses: AtomicUsize,
    went_idle: Notify,
}

/// What one response may have under way: the memory that a client which reads slowly costs.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all responses together may have under way: so large that slow clients do not stop the quick ones.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
/// What one request may have buffered on its way out.
const SEND_BUFFER: usize = 256 * 1024;
/// How often a connection with requests on it is asked whether it is still there, and how long it has for an answer.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Speaks HTTP/2 on `io`, and waits for the upstream's SETTINGS: before them nobody can know how many may share the
/// connection.
pub(super) async fn connect(
    io: BoxedIo,
    id: u64,
    header_size: usize,
    lives: Lives,
    pool: Weak<Pool>,
) -> Result<Handle, UpstreamError> {
    let (wire, received) = Wire::new(io);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(0)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(header_size).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let (sender, mut connection) = builder
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| UpstreamError::from_hyper(&error, Sent::NotSent))?;
    let activity = Arc::new(Activity::default());
    settings(&mut connection, &received, &activity).await?;
    tokio::spawn(drive(connection, Arc::clone(&activity), id, lives.idle, pool));
    Ok(Handle { id, sender, activity, retires_at: Instant::now() + lives.age })
}

type Connection = http2::Connection<TokioIo<Wire>, ReplayBody, TokioExecutor>;

/// Returns when the upstream takes requests. hyper tells nobody that SETTINGS have come, but answers them once they are
/// in force.
async fn settings(connection: &mut Connection, received: &Received, activity: &Activity) -> Result<(), UpstreamError> {
    while activity.limit.load(Ordering::Acquire) == 0 {
        tokio::select! {
            () = activity.follow(connection) => {
                let detail = "the connection ended before its first SETTINGS";
                return Err(UpstreamError::new(ErrorKind::Terminated, Sent::NotSent, detail));
            }
            () = received.answered() => {}
        }
        activity.limit.store(connection.current_max_send_streams(), Ordering::Release);
    }
    Ok(())
}

/// Ends with the connection, or when it has been idle for too long. After a GOAWAY the streams that it spares live on
/// in hyper's own tasks.
async fn drive(mut connection: Connection, activity: Arc<Activity>, id: u64, idle: Duration, pool: Weak<Pool>) {
    loop {
        tokio::select! {
            () = activity.follow(&mut connection) => break,
            () = activity.idle_for(idle) => match pool.upgrade() {
                Some(pool) if !pool.retire_idle(id) => {}
                _ => return,
            },
        }
    }
    if let Some(pool) = pool.upgrade() {
        pool.forget(id);
    }
}

// === impl Handle ===

impl Handle {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Gone, or going.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it is too old for another request. It ends with those that it has.
    pub(super) fn is_retired(&self) -> bool {
        Instant::now() >= self.retires_at
    }

    /// Whether the upstream would begin with one more request at once.
    pub(super) fn has_room(&self) -> bool {
        self.load() < self.activity.limit.load(Ordering::Acquire)
    }

    /// How many requests are on the connection.
    pub(super) fn load(&self) -> usize {
        self.activity.leases.load(Ordering::Acquire)
    }

    /// `None` where the connection is gone, or going. Without [room](Self::has_room), the request waits for the end of
    /// another.
    pub(super) fn lease(&self) -> Option<Lease> {
        if self.is_closed() {
            return None;
        }
        self.activity.leases.fetch_add(1, Ordering::AcqRel);
        let reused = self.activity.uses.fetch_add(1, Ordering::Relaxed) > 0;
        Some(Lease { sender: self.sender.clone(), reused, id: self.id, activity: Arc::clone(&self.activity) })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.load() == 0
    }
}

// === impl Activity ===

impl Activity {
    /// Drives the connection to its end, and keeps its limit up to date: every request makes it look again.
    async fn follow(&self, connection: &mut Connection) {
        poll_fn(|cx| {
            let ended = Pin::new(&mut *connection).poll(cx);
            self.limit.store(connection.current_max_send_streams(), Ordering::Release);
            ended.map(drop)
        })
        .await;
    }

    /// Returns when nobody has given a lease back for this long, and none is out.
    async fn idle_for(&self, idle: Duration) {
        loop {
            let quiet = timeout(idle, self.went_idle.notified()).await.is_err();
            if quiet && self.leases.load(Ordering::Acquire) == 0 {
                return;
            }
        }
    }
}

// === impl Lease ===

impl Lease {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.activity.leases.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.activity.went_idle.notify_one();
        }
    }
}
