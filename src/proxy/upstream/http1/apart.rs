//! A connection whose upload goes on beside its response, or after it. Whoever reads the response may not look for a
//! while, and the upload is not to wait for that.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tokio::{join, select, sync::mpsc, time::timeout};

use super::{
    super::error::{ErrorKind, Sent, UpstreamError},
    Lease,
    connection::{Connection, Fault},
};

/// A frame; `None` at the end, so that a task that is gone is not taken for it.
pub(super) type Told = Result<Option<Frame<Bytes>>, UpstreamError>;

/// Has a task drive the connection, and hand out the response's content. The connection ends with the upload where that
/// comes to no good end, and at once where nobody takes the content any more.
pub(super) fn begin(lease: Lease) -> mpsc::Receiver<Told> {
    let (frames, content) = mpsc::channel(1);
    tokio::spawn(drive(lease, frames));
    content
}

async fn drive(mut lease: Lease, frames: mpsc::Sender<Told>) {
    let connection = &mut lease.connection;
    while !connection.content().is_over() {
        let room = select! {
            room = frames.reserve() => room,
            fault = broken_upload(connection) => return tell(&frames, fault).await,
        };
        let Ok(room) = room else { return };
        let next = select! {
            next = poll_fn(|cx| poll_both_ways(connection, cx)) => next,
            () = frames.closed() => return,
        };
        match next {
            Some(Ok(frame)) => room.send(Ok(Some(frame))),
            Some(Err(error)) => return room.send(Err(error)),
            None => break,
        }
    }
    // The response is over, the upload may not be: it gets as long as an idle connection. Who has been given all content
    // that was announced does not take the end.
    let rest = timeout(lease.idle_timeout, poll_fn(|cx| connection.poll_send(cx)));
    let (sent, _) = join!(rest, frames.send(Ok(None)));
    if let Ok(Ok(())) = sent {
        lease.give_back();
    }
}

/// Goes on with the upload; returns when it has failed.
async fn broken_upload(connection: &mut Connection) -> Fault {
    poll_fn(|cx| match connection.poll_send(cx) {
        Poll::Ready(Err(fault)) => Poll::Ready(fault),
        Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
    })
    .await
}

/// The next frame, with the upload going on.
fn poll_both_ways(
    connection: &mut Connection,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
    match connection.poll_send(cx) {
        Poll::Ready(Err(fault)) => Poll::Ready(Some(Err(fault.into()))),
        Poll::Ready(Ok(())) | Poll::Pending => connection.poll_frame(cx),
    }
}

async fn tell(frames: &mpsc::Sender<Told>, fault: Fault) {
    // Where nobody listens, there is nothing to tell.
    let _ = frames.send(Err(fault.into())).await;
}

// === impl Fault ===

impl From<Fault> for UpstreamError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Ended(error) | Fault::Invalid(error) => error,
            Fault::Body => Self::new(ErrorKind::Terminated, Sent::MaybeSent, "the upload broke off"),
        }
    }
}
