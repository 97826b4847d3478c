//! For any chunking, any limits and any points of supersession, an attempt that ends well has seen exactly the client's
//! bytes, or the overflow was reported; and no reservation outlives its body.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::ETAG};
use http_body::{Body, Frame, SizeHint};
use proptest::{collection::vec, prelude::*};

use super::{Replay, ReplayBody, ReplayLimits, ReplayMemory, Start, limits};

/// A client that sends `frames`; `None` stands for a pause.
struct Client {
    frames: VecDeque<Option<Frame<Bytes>>>,
    length: Option<u64>,
}

impl Body for Client {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            Some(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(None) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

#[derive(Debug, Clone)]
struct Scenario {
    /// Sizes of the client's chunks; `None` for a pause.
    chunks: Vec<Option<usize>>,
    announced: bool,
    trailers: bool,
    replay_body: u64,
    memory: u64,
    /// After how many polls each attempt but the last is superseded.
    superseded_after: Vec<usize>,
    /// After how many polls of the last attempt the request lets go of the body.
    lets_go_after: Option<usize>,
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    (
        vec(prop::option::weighted(0.8, 0usize..600), 0..12),
        any::<bool>(),
        any::<bool>(),
        0u64..4000,
        0u64..6000,
        vec(0usize..16, 0..4),
        prop::option::of(0usize..16),
    )
        .prop_map(|(chunks, announced, trailers, replay_body, memory, superseded_after, lets_go_after)| Scenario {
            chunks,
            announced,
            trailers,
            replay_body,
            memory,
            superseded_after,
            lets_go_after,
        })
}

/// What one attempt has seen.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl Seen {
    fn poll(&mut self, body: &mut ReplayBody) {
        let (hint, data_before) = (body.size_hint().exact(), self.bytes.len());
        match Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(frame)) => match frame.expect("no error").into_data() {
                Ok(chunk) => self.bytes.extend_from_slice(&chunk),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            },
        }
        if let (Some(before), Some(after)) = (hint, body.size_hint().exact()) {
            assert_eq!(before - after, (self.bytes.len() - data_before) as u64, "the hint follows the bytes");
        }
        self.ended |= body.is_end_stream();
    }
}

fn run(scenario: &Scenario) {
    let mut expected: Vec<u8> = Vec::new();
    let mut frames = VecDeque::new();
    for size in &scenario.chunks {
        let chunk = size.map(|size| (0..size).map(|i| (expected.len() + i) as u8).collect::<Vec<u8>>());
        expected.extend(chunk.iter().flatten());
        frames.push_back(chunk.map(|chunk| Frame::data(Bytes::from(chunk))));
    }
    let trailers = scenario.trailers.then(|| HeaderMap::from_iter([(ETAG, HeaderValue::from_static("t"))]));
    frames.extend(trailers.clone().map(|trailers| Some(Frame::trailers(trailers))));
    let length = scenario.announced.then_some(expected.len() as u64);

    let limits =
        ReplayLimits { replay_body: scenario.replay_body, memory: ReplayMemory::new(scenario.memory), ..limits() };
    let mut body = ReplayBody::new(Client { frames, length }, &limits, Start::Now).unwrap();
    let replayer = body.replayer();
    let mut seen = Seen::default();
    for polls in &scenario.superseded_after {
        (0..*polls).for_each(|_| {
            if !seen.ended {
                seen.poll(&mut body)
            }
        });
        assert!(limits.memory.used() <= scenario.memory);
        let state = replayer.hold();
        match replayer.rewind() {
            Some(next) => {
                assert_ne!(state, Replay::Overflowed);
                (body, seen) = (next, Seen::default());
                assert!(!body.is_end_stream() && body.size_hint().exact() == length, "every attempt is framed alike");
            }
            None => {
                assert_eq!(state, Replay::Overflowed);
                let cost = expected.len() + 64 * scenario.chunks.len() + 5;
                assert!(expected.len() as u64 > scenario.replay_body || cost as u64 > scenario.memory);
                replayer.resume();
                break;
            }
        }
    }
    let mut replayer = Some(replayer);
    for poll in 0.. {
        if scenario.lets_go_after == Some(poll) {
            replayer = None;
        }
        if seen.ended {
            break;
        }
        seen.poll(&mut body);
    }
    assert_eq!(seen.bytes, expected);
    assert_eq!(seen.trailers, trailers);
    drop((replayer, body));
    assert_eq!(limits.memory.used(), 0);
}

proptest! {
    #[test]
    fn every_attempt_that_ends_has_seen_the_clients_bytes(scenario in scenarios()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { run(&scenario) });
    }
}
