//! What the attempts of one request share, behind the lock.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::{BodyError, Progress, Replay, ReplayLimits, Source, Start, Upload, memory::Reservation};

/// What a kept chunk costs besides its bytes, so that a body of one-byte chunks cannot hold much more memory than it is
/// charged for.
const CHUNK_OVERHEAD: u64 = 64;

pub(super) struct State {
    /// The number of the current attempt; only this one reads.
    pub(super) generation: u32,
    /// How many `Replayer`s there are. With none left there is nobody who could ask for another attempt.
    pub(super) keepers: usize,
    pub(super) flow: Flow,
    /// Bytes that the current attempt has been given.
    pub(super) given: u64,
    pub(super) failed: Option<BodyError>,
    /// The client's stream, until it has ended or failed.
    source: Option<Source>,
    /// Bytes read from the client.
    read: u64,
    length: Option<u64>,
    kept: VecDeque<Bytes>,
    /// Index into `kept` of what the current attempt is given next.
    next: usize,
    kept_bytes: u64,
    trailers: Option<HeaderMap>,
    reservation: Reservation,
    overflowed: bool,
    stage: Stage,
    /// When the current attempt was last given something.
    progress_at: Instant,
    /// Whether the current attempt waits for the client.
    awaits_client: bool,
    /// Runs while the client is silent.
    idle: Option<Pin<Box<Sleep>>>,
    /// The task that polls the current attempt, to be told when the flow changes.
    waker: Option<Waker>,
    replay_body: u64,
    request_body: u64,
    idle_timeout: Duration,
}

/// Whether bytes may flow to the current attempt.
pub(super) enum Flow {
    Open,
    /// Until `100 Continue`, or until the timer, which starts when the body is first asked for, runs out.
    Gated {
        wait: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    },
    Held,
}

/// How far the current attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not yet polled: an empty body is still a body.
    New,
    Data,
    Done,
}

// === impl State ===

impl State {
    pub(super) fn new(source: Source, length: Option<u64>, limits: &ReplayLimits, start: Start) -> Self {
        Self {
            generation: 0,
            keepers: 0,
            flow: Flow::at(start),
            given: 0,
            failed: None,
            source: Some(source),
            read: 0,
            length,
            kept: VecDeque::new(),
            next: 0,
            kept_bytes: 0,
            trailers: None,
            reservation: limits.memory.reservation(),
            overflowed: false,
            stage: Stage::New,
            progress_at: Instant::now(),
            awaits_client: false,
            idle: None,
            waker: None,
            replay_body: limits.replay_body,
            request_body: limits.request_body,
            idle_timeout: limits.idle_timeout,
        }
    }

    pub(super) fn replay(&self) -> Replay {
        match (self.overflowed, &self.source) {
            (true, _) => Replay::Overflowed,
            (false, Some(_)) if self.read > 0 => Replay::StillSending,
            (false, _) => Replay::Ready,
        }
    }

    /// Starts the next attempt; the task of the one before, to be woken, is handed out. `None` where the beginning is
    /// gone.
    pub(super) fn rewind(&mut self, start: Start) -> Option<Option<Waker>> {
        if self.overflowed {
            return None;
        }
        self.generation += 1;
        self.flow = if self.read == 0 { Flow::at(start) } else { Flow::Open };
        self.stage = Stage::New;
        (self.next, self.given, self.awaits_client) = (0, 0, false);
        self.progress_at = Instant::now();
        Some(self.waker.take())
    }

    pub(super) fn open(&mut self) -> Option<Waker> {
        self.flow = Flow::Open;
        self.progress_at = Instant::now();
        self.waker.take()
    }

    /// One `Replayer` less. After the last one, what the current attempt has been given is freed at once, the rest when
    /// it is given. An upload that is still held then has nobody left to let it go on: whoever reads it is woken to
    /// find itself superseded.
    pub(super) fn let_go(&mut self) -> Option<Waker> {
        self.keepers -= 1;
        let mut abandoned = None;
        if self.keepers == 0 {
            if matches!(self.flow, Flow::Held) {
                self.generation += 1;
                abandoned = self.waker.take();
            }
            for chunk in self.kept.drain(..self.next) {
                self.reservation.shrink(cost(&chunk));
            }
            self.overflowed |= self.next > 0;
            self.next = 0;
        }
        abandoned
    }

    pub(super) fn is_sent(&self) -> bool {
        match self.stage {
            Stage::New => false,
            Stage::Data => {
                self.source.is_none()
                    && self.failed.is_none()
                    && self.next == self.kept.len()
                    && self.trailers.is_none()
            }
            Stage::Done => true,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let upload = match &self.flow {
            _ if self.is_sent() => Upload::Sent,
            Flow::Gated { .. } | Flow::Held => Upload::AwaitsClient,
            Flow::Open if self.awaits_client => Upload::AwaitsClient,
            Flow::Open => Upload::Sending,
        };
        Progress { upload, at: self.progress_at }
    }

    /// The next frame of the current attempt: first what is kept, then what the client sends.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Some(Err(error.clone())));
        }
        if self.stage == Stage::Done {
            return Poll::Ready(None);
        }
        let frame = match self.poll_open(cx) {
            Poll::Ready(()) => self.poll_next(cx),
            Poll::Pending => Poll::Pending,
        };
        match &frame {
            Poll::Pending => self.waker = Some(cx.waker().clone()),
            Poll::Ready(_) => self.progress_at = Instant::now(),
        }
        frame
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Flow::Gated { wait, timer } = &mut self.flow {
            ready!(timer.get_or_insert_with(|| Box::pin(sleep(*wait))).as_mut().poll(cx));
            self.flow = Flow::Open;
        }
        if matches!(self.flow, Flow::Open) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.stage = Stage::Data;
        if let Some(chunk) = self.replayed() {
            self.given += chunk.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if self.source.is_some() {
            match ready!(self.poll_source(cx)) {
                Ok(Some(chunk)) => {
                    self.given += chunk.len() as u64;
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                Ok(None) => {}
                Err(error) => {
                    self.fail(error.clone());
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        self.stage = Stage::Done;
        let trailers = if self.keepers == 0 { self.trailers.take() } else { self.trailers.clone() };
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn replayed(&mut self) -> Option<Bytes> {
        if self.keepers > 0 {
            let chunk = self.kept.get(self.next)?.clone();
            self.next += 1;
            return Some(chunk);
        }
        let chunk = self.kept.pop_front()?;
        self.reservation.shrink(cost(&chunk));
        self.overflowed = true;
        Some(chunk)
    }

    /// The next chunk from the client; `None` at the end, and then the trailers are in their place.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            let Some(source) = &mut self.source else { return Poll::Ready(Ok(None)) };
            let frame = match source.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return self.poll_idle(cx).map(Err),
            };
            self.awaits_client = false;
            let frame = frame.transpose().map_err(|cause| BodyError::Source(Arc::new(cause)))?;
            if frame.is_none() || source.is_end_stream() {
                (self.source, self.idle) = (None, None);
            }
            match frame.map(Frame::into_data) {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => return Poll::Ready(self.take_in(chunk).map(Some)),
                Some(Err(frame)) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.keep_trailers(trailers);
                    }
                }
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// The client is silent: how long yet?
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let deadline = Instant::now() + self.idle_timeout;
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(self.idle_timeout)));
        if !self.awaits_client {
            self.awaits_client = true;
            idle.as_mut().reset(deadline);
        }
        ready!(idle.as_mut().poll(cx));
        Poll::Ready(BodyError::Idle)
    }

    fn take_in(&mut self, chunk: Bytes) -> Result<Bytes, BodyError> {
        self.read += chunk.len() as u64;
        if self.read > self.request_body {
            return Err(BodyError::TooLarge { limit: self.request_body });
        }
        if !self.overflowed {
            self.keep(&chunk);
        }
        Ok(chunk)
    }

    /// Keeps a chunk for later attempts, or gives up on them.
    fn keep(&mut self, chunk: &Bytes) {
        self.kept_bytes += chunk.len() as u64;
        let fits = self.kept_bytes.max(self.length.unwrap_or(0)) <= self.replay_body;
        if self.keepers > 0 && fits && self.reservation.grow(cost(chunk)) {
            // A chunk is a piece of the block that it was read into, which may be far larger. The connection has one block
            // in any case; of a body that comes in many small pieces, each piece would hold a block of its own.
            let kept = if self.kept.is_empty() { chunk.clone() } else { Bytes::copy_from_slice(chunk) };
            self.kept.push_back(kept);
            self.next += 1;
        } else {
            self.overflow();
        }
    }

    /// Trailers are sent in any case; over the limits there is no second time.
    fn keep_trailers(&mut self, trailers: HeaderMap) {
        let bytes: usize = trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let kept = self.overflowed || self.keepers > 0 && self.reservation.grow(bytes as u64);
        if !kept {
            self.overflow();
        }
        self.trailers = Some(trailers);
        self.source = None;
    }

    /// Only a live attempt gets here, so nobody needs what was kept.
    fn overflow(&mut self) {
        self.overflowed = true;
        self.kept = VecDeque::new();
        self.next = 0;
        self.reservation.clear();
    }

    fn fail(&mut self, error: BodyError) {
        self.overflow();
        self.source = None;
        self.failed = Some(error);
    }
}

fn cost(chunk: &Bytes) -> u64 {
    chunk.len() as u64 + CHUNK_OVERHEAD
}

// === impl Flow ===

impl Flow {
    const fn at(start: Start) -> Self {
        match start {
            Start::Now => Self::Open,
            Start::AfterContinue(wait) => Self::Gated { wait, timer: None },
        }
    }
}
