//! A byte stream under HTTP/2 that tells when its peer has been answered, and goes on listening where that has stopped.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::connect::BoxedIo;

/// What a connection has received so far, under TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct Received(Arc<Incoming>);

#[derive(Debug, Default)]
struct Incoming {
    bytes: AtomicU64,
    answered: Notify,
}

pub(super) struct Wire {
    io: BoxedIo,
    received: Received,
    listener: Listener,
}

/// Whether the upstream still takes what is sent. One that answers and closes at once makes writing fail while its answer
/// waits to be read. What is written from there on goes nowhere, and reading says how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    There,
    Gone,
}

// === impl Received ===

impl Received {
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Acquire)
    }

    /// Returns when something has been written since bytes came in: a peer that had to be answered has been understood.
    /// For one waiter.
    pub(super) async fn answered(&self) {
        self.0.answered.notified().await;
    }
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(io: BoxedIo) -> (Self, Received) {
        let received = Received::default();
        (Self { io, received: received.clone(), listener: Listener::There }, received)
    }

    /// Writes by `write`, or as if, and then `nowhere` is the outcome.
    fn tell<T>(
        &mut self,
        nowhere: T,
        write: impl FnOnce(Pin<&mut BoxedIo>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if self.received.bytes() > 0 {
            self.received.0.answered.notify_one();
        }
        if self.listener == Listener::Gone {
            return Poll::Ready(Ok(nowhere));
        }
        Poll::Ready(match ready!(write(Pin::new(&mut self.io))) {
            Err(error) if [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&error.kind()) => {
                self.listener = Listener::Gone;
                Ok(nowhere)
            }
            written => written,
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.received.0.bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Release);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.tell(buf.len(), |io| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.tell(length, |io| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell((), |io| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tell((), |io| io.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn what_an_upstream_said_before_it_hung_up_is_read_although_writing_fails() {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"HTTP/1.1 401").await.unwrap();
        drop(theirs);
        let (mut wire, received) = Wire::new(Box::new(ours));
        wire.write_all(&[0; 1000]).await.unwrap();
        wire.flush().await.unwrap();
        let mut read = Vec::new();
        wire.read_to_end(&mut read).await.unwrap();
        assert_eq!((&read[..], received.bytes()), (&b"HTTP/1.1 401"[..], 12));
    }
}
