//! HTTP/1.1 or cleartext HTTP/2, told by the first bytes (RFC 9113 section 3.3, prior knowledge).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Duration, Instant, timeout_at},
};

/// RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// The protocol, with the bytes that told it.
#[derive(Debug)]
pub struct Detected {
    pub protocol: Protocol,
    /// Read already; they belong to the first request, or are the preface.
    pub first: BytesMut,
    /// When the first of them came.
    pub since: Instant,
}

/// A socket in front of which the bytes that were read too early stand again.
#[derive(Debug)]
pub struct Rewound<IO> {
    first: BytesMut,
    io: IO,
}

/// Reads until the protocol is clear. `None` where the client says nothing within `patience`, or hangs up: there is
/// nobody to answer. A client that stops within the preface is left to the HTTP/1.1 reader, which refuses it.
pub async fn detect<IO: AsyncRead + Unpin>(io: &mut IO, patience: Duration) -> io::Result<Option<Detected>> {
    let mut since = Instant::now();
    let mut first = BytesMut::new();
    loop {
        let length = first.len();
        let read = match timeout_at(since + patience, io.read_buf(&mut first)).await {
            Ok(read) => read?,
            Err(_late) => 0,
        };
        match (read, length) {
            (0, 0) => return Ok(None),
            (1.., 0) => since = Instant::now(),
            _ => {}
        }
        let seen = first.len().min(PREFACE.len());
        let protocol = match first[..seen] == PREFACE[..seen] {
            true if seen == PREFACE.len() => Protocol::Http2,
            true if read > 0 => continue,
            _ => Protocol::Http1,
        };
        return Ok(Some(Detected { protocol, first, since }));
    }
}

// === impl Rewound ===

impl<IO> Rewound<IO> {
    /// Puts `first` in front of what `io` still has to say.
    pub fn new(first: BytesMut, io: IO) -> Self {
        Self { first, io }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Rewound<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, out);
        }
        let length = this.first.len().min(out.remaining());
        out.put_slice(&this.first[..length]);
        this.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewound<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
