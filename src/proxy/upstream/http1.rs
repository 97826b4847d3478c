//! One HTTP/1.1 connection. Its task drives the protocol and decides its end: it puts the connection back into the pool
//! when hyper is ready for another request, cuts it when it has been idle for too long, and cuts it when a request gave
//! it up half way.

use std::{pin::pin, sync::Weak, time::Duration};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    connect::BoxedIo,
    error::{Sent, UpstreamError},
    pool::Pool,
    wire::{Received, Wire},
};
use crate::proxy::replay::ReplayBody;

/// The use of a connection by one request. Dropping it without [`give_back`](Self::give_back) closes the connection.
pub(super) struct Lease {
    pub(super) sender: http1::SendRequest<ReplayBody>,
    pub(super) received: Received,
    /// Whether an earlier request has been answered on it.
    pub(super) reused: bool,
    id: u64,
    back: mpsc::Sender<Lease>,
}

/// The smallest buffer that hyper works with.
const MIN_BUFFER: usize = 8 * 1024;

/// Speaks HTTP/1.1 on `io`. The connection belongs to `pool` from the start: it is cut when it idles, leased or not.
pub(super) async fn connect(
    io: BoxedIo,
    id: u64,
    header_size: usize,
    idle_timeout: Duration,
    pool: Weak<Pool>,
) -> Result<Lease, UpstreamError> {
    let (wire, received) = Wire::new(io);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(header_size.max(MIN_BUFFER)).max_header_size(header_size);
    let (sender, connection) = builder
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| UpstreamError::from_hyper(&error, Sent::NotSent))?;
    // One connection, one lease: there is never a second one in the channel.
    let (back, returned) = mpsc::channel(1);
    tokio::spawn(drive(connection, returned, id, idle_timeout, pool));
    Ok(Lease { sender, received, reused: false, id, back })
}

type Connection = http1::Connection<TokioIo<Wire>, ReplayBody>;

async fn drive(connection: Connection, mut returned: mpsc::Receiver<Lease>, id: u64, idle: Duration, pool: Weak<Pool>) {
    let mut connection = pin!(connection);
    let mut idle_timer = pin!(sleep(idle));
    let mut armed = true;
    loop {
        let mut lease = tokio::select! {
            _ = &mut connection => break,
            lease = returned.recv() => match lease {
                Some(lease) => lease,
                None => return,
            },
            () = &mut idle_timer, if armed => {
                armed = false;
                match pool.upgrade().map(|pool| pool.take_idle(id)) {
                    Some(None) => continue,
                    Some(Some(_)) | None => return,
                }
            }
        };
        // The response is over, the upload may not be: it gets as long as an idle connection.
        tokio::select! {
            _ = &mut connection => break,
            ready = timeout(idle, lease.sender.ready()) => if !matches!(ready, Ok(Ok(()))) { return },
        }
        lease.reused = true;
        armed = true;
        idle_timer.set(sleep_until(Instant::now() + idle));
        match pool.upgrade() {
            Some(pool) => pool.put_idle(lease),
            None => return,
        }
    }
    if let Some(pool) = pool.upgrade() {
        drop(pool.take_idle(id));
    }
}

// === impl Lease ===

impl Lease {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// The response has been read to its end.
    pub(super) fn give_back(self) {
        let back = self.back.clone();
        // Fails only where the connection's task has ended, and the connection with it.
        let _ = back.try_send(self);
    }
}
