//! The shell around the [`Judge`]: a socket that gives hyper nothing but what was judged good.

use std::{
    fmt, io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use http::HeaderValue;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{Judge, Progress, Refusal, WireLimits, WireState, timer::Timer};

/// What hyper reads in the place of a refused head. Nothing follows it, so the connection closes after its answer.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// How long, and for how many bytes, a connection that we close keeps listening. Closing with unread bytes resets it,
/// and a reset may overtake the answer (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// A socket of which every byte read was judged. Reads hold back a head until it is complete; writes pass.
pub struct WireGuard<IO> {
    io: IO,
    limits: WireLimits,
    state: Arc<WireState>,
    judge: Judge,
    stage: Stage,
    /// Read from the socket and not given to hyper yet.
    pending: BytesMut,
    /// How many bytes at the front of `pending` may be given to hyper without another look.
    released: usize,
    /// How many requests hyper got.
    requests: u64,
    /// When the first byte of the head in `pending` arrived.
    head_since: Option<Instant>,
    /// When the connection began, or last took a byte of an answer.
    active: Instant,
    /// Once closing: how many bytes are still read and forgotten.
    linger: Option<usize>,
    reading: Timer,
    writing: Timer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Nothing more is read: the stand-in is hyper's last request.
    Refused,
    /// The client has no more to say, or has been waited for long enough.
    Ended,
}

// === impl WireGuard ===

impl<IO> WireGuard<IO> {
    /// Guards `io`, of which `first` has been read already, at `since`.
    pub fn new(io: IO, first: BytesMut, since: Instant, limits: WireLimits, state: Arc<WireState>) -> Self {
        Self {
            io,
            limits,
            state,
            judge: Judge::new(limits.header_size),
            stage: Stage::Open,
            head_since: (!first.is_empty()).then_some(since),
            pending: first,
            released: 0,
            requests: 0,
            active: since,
            linger: None,
            reading: Timer::default(),
            writing: Timer::default(),
        }
    }

    /// Gives hyper what can be given without reading; `None` where more must be read first.
    fn give(&mut self, out: &mut ReadBuf<'_>) -> Option<Poll<io::Result<()>>> {
        loop {
            if self.released > 0 {
                let length = self.released.min(out.remaining());
                out.put_slice(&self.pending[..length]);
                self.consume(length);
                self.released -= length;
                return Some(Poll::Ready(Ok(())));
            }
            if self.judge.is_fault() {
                self.state.note_body_fault();
                let broken =
                    io::Error::new(io::ErrorKind::InvalidData, "the request's body is not framed as HTTP/1.1 asks");
                return Some(Poll::Ready(Err(broken)));
            }
            match self.stage {
                // No waker: hyper answers the stand-in and closes. That the client hangs up meanwhile makes no
                // difference.
                Stage::Refused => return Some(Poll::Pending),
                Stage::Ended => return Some(Poll::Ready(Ok(()))),
                Stage::Open if self.pending.is_empty() => return None,
                Stage::Open if self.judge.in_head() => {
                    if !self.release_head() {
                        return None;
                    }
                }
                Stage::Open => self.released = self.judge.body(&self.pending),
            }
        }
    }

    fn consume(&mut self, length: usize) {
        self.pending.advance(length);
        if self.pending.is_empty() {
            self.pending = BytesMut::new(); // an idle connection holds no buffer
        }
    }

    /// Judges the head in `pending`; false while it has not ended.
    fn release_head(&mut self) -> bool {
        match self.judge.head(&self.pending) {
            Progress::More => {
                if self.is_head_begun() {
                    self.head_since.get_or_insert_with(Instant::now);
                }
                return false;
            }
            Progress::Head { start, end, upgrades } => self.release(start, end, &upgrades),
            Progress::Refused(refusal) => self.refuse(refusal),
        }
        true
    }

    /// Releases `pending[start..end]`, a head, and tells the service of the `upgrades` in it that hyper is not to see.
    fn release(&mut self, start: usize, end: usize, upgrades: &[Range<usize>]) {
        self.released = end - start;
        if !upgrades.is_empty() {
            let mut head = BytesMut::with_capacity(self.pending.len());
            let mut kept = 0;
            for line in upgrades {
                let value = self.pending[line.clone()].splitn(2, |&byte| byte == b':').nth(1).unwrap_or_default();
                if let Ok(value) = HeaderValue::from_bytes(value.trim_ascii()) {
                    self.state.note_upgrade(self.requests, value);
                }
                head.extend_from_slice(&self.pending[kept..line.start]);
                kept = line.end;
                self.released -= line.len();
            }
            head.extend_from_slice(&self.pending[kept..]);
            self.pending = head;
        }
        self.consume(start);
        self.head_released();
    }

    fn head_released(&mut self) {
        self.requests += 1;
        self.head_since = None;
    }

    /// Whether `pending` holds more than the empty line that may stand before a request.
    fn is_head_begun(&self) -> bool {
        self.pending.iter().take(3).any(|byte| !b"\r\n".contains(byte))
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.state.refuse(self.requests, refusal);
        self.pending = BytesMut::from(STAND_IN);
        self.released = STAND_IN.len();
        self.stage = Stage::Refused;
        self.requests += 1;
    }

    /// Sorts what a read put behind the first `before` bytes of `out`: what is good stays there, the rest waits in
    /// `pending`. True where something stayed.
    fn sort(&mut self, out: &mut ReadBuf<'_>, before: usize) -> bool {
        let read = &out.filled()[before..];
        let good = if !self.judge.in_head() {
            self.judge.body(read)
        } else if !self.pending.is_empty() {
            0
        } else {
            match self.judge.head(read) {
                // The usual case: a head in one read, which stays where hyper wants it.
                Progress::Head { start: 0, end, upgrades } if upgrades.is_empty() => {
                    self.head_released();
                    end
                }
                Progress::Head { start, end, upgrades } => {
                    self.pending.extend_from_slice(read);
                    self.release(start, end, &upgrades);
                    out.set_filled(before);
                    return false;
                }
                Progress::Refused(refusal) => {
                    self.refuse(refusal);
                    out.set_filled(before);
                    return false;
                }
                Progress::More => 0,
            }
        };
        self.pending.extend_from_slice(&read[good..]);
        out.set_filled(before + good);
        good > 0
    }

    /// The client will send no more. A head that is cut off is answered all the same: the client may still be
    /// listening.
    fn end(&mut self) {
        if self.judge.in_head() && self.is_head_begun() {
            self.refuse(Refusal::Malformed)
        } else {
            self.stage = Stage::Ended
        }
    }

    /// Waits for the time at which a silent client is given up. Ready when it has come.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = if !self.judge.in_head() {
            None
        } else if let Some(since) = self.head_since {
            Some(since + self.limits.header_timeout)
        } else if self.requests == 0 {
            Some(self.active + self.limits.header_timeout)
        } else {
            let answered = self.state.answered(self.requests, cx.waker());
            answered.map(|at| at.max(self.active) + self.limits.keep_alive_timeout)
        };
        match until {
            Some(until) => self.reading.poll(cx, until),
            None => Poll::Pending,
        }
    }

    /// Passes on how a write went; a client that takes nothing for too long is an error.
    fn watch_write<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.active = Instant::now();
            self.writing.stop();
            return written;
        }
        let since = self.writing.started(self.limits.write_timeout);
        ready!(self.writing.poll(cx, since));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + Unpin> WireGuard<IO> {
    /// Reads and forgets, within limits, what the client still sends.
    fn poll_linger(&mut self, cx: &mut Context<'_>, left: &mut usize) -> Poll<()> {
        while *left > 0 {
            let mut scratch = [0; 8192];
            let mut scratch = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(())) if !scratch.filled().is_empty() => {
                    *left = left.saturating_sub(scratch.filled().len())
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    let until = self.reading.started(LINGER);
                    return self.reading.poll(cx, until);
                }
            }
        }
        Poll::Ready(())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for WireGuard<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(given) = this.give(out) {
                return given;
            }
            let before = out.filled().len();
            match Pin::new(&mut this.io).poll_read(cx, out)? {
                Poll::Ready(()) if out.filled().len() == before => this.end(),
                Poll::Ready(()) => {
                    if this.sort(out, before) {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending => {
                    ready!(this.poll_patience(cx));
                    if this.head_since.is_some() { this.refuse(Refusal::Late) } else { this.stage = Stage::Ended }
                }
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WireGuard<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.watch_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Closes so that the client gets what was written last, although it may still be sending.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            let unread = this.stage == Stage::Refused || !this.judge.in_head() || !this.pending.is_empty();
            this.linger = Some(if unread { LINGER_BYTES } else { 0 });
            this.reading.stop();
        }
        let mut left = this.linger.unwrap_or_default();
        let done = this.poll_linger(cx, &mut left);
        this.linger = Some(left);
        ready!(done);
        this.linger = Some(0);
        Poll::Ready(Ok(()))
    }
}

impl<IO> fmt::Debug for WireGuard<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireGuard")
            .field("stage", &self.stage)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}
