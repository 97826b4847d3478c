use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{
    BodyExt, Empty, Full,
    channel::{Channel, Sender},
};
use tokio::time::Instant;

use super::{BodyError, Progress, Replay, ReplayBody, ReplayLimits, ReplayMemory, Start, Upload};

mod property;

const MIB: u64 = 1 << 20;

fn limits() -> ReplayLimits {
    ReplayLimits {
        replay_body: MIB,
        request_body: 64 * MIB,
        idle_timeout: Duration::from_secs(60),
        memory: ReplayMemory::new(16 * MIB),
    }
}

fn chunked(limits: &ReplayLimits) -> (Sender<Bytes, std::io::Error>, ReplayBody) {
    let (sender, source) = Channel::<Bytes, std::io::Error>::new(64);
    (sender, ReplayBody::new(source, limits, Start::Now).unwrap())
}

fn sized(bytes: &'static [u8], limits: &ReplayLimits) -> Result<ReplayBody, BodyError> {
    ReplayBody::new(Full::new(Bytes::from_static(bytes)), limits, Start::Now)
}

async fn frame(body: &mut ReplayBody) -> Option<Result<Frame<Bytes>, BodyError>> {
    body.frame().await
}

async fn data(body: &mut ReplayBody) -> Bytes {
    frame(body).await.expect("a frame").expect("no error").into_data().expect("data")
}

async fn all(body: ReplayBody) -> Bytes {
    body.collect().await.expect("no error").to_bytes()
}

/// Polls once, with a waker that goes nowhere.
fn poll_now(body: &mut ReplayBody) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn replays_a_body_of_one_chunk() {
    let first = sized(b"deck", &limits()).unwrap();
    let replayer = first.replayer();
    assert_eq!(all(first).await, "deck");
    assert_eq!(replayer.state(), Replay::Ready);
    assert_eq!(all(replayer.rewind().unwrap()).await, "deck");
}

#[tokio::test]
async fn replays_chunks_in_order_and_more_than_once() {
    let (mut sender, first) = chunked(&limits());
    let replayer = first.replayer();
    for chunk in ["a", "bc", "def"] {
        sender.send_data(Bytes::from_static(chunk.as_bytes())).await.unwrap();
    }
    drop(sender);
    assert_eq!(all(first).await, "abcdef");
    for _ in 0..2 {
        assert_eq!(all(replayer.rewind().unwrap()).await, "abcdef");
    }
}

/// What a reader has read into: large, and with few bytes of this body.
struct Block(Arc<AtomicUsize>);

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        b"."
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn small_pieces_that_are_kept_hold_no_block_but_the_first() {
    let (mut sender, mut first) = chunked(&limits());
    let replayer = first.replayer();
    let held = Arc::new(AtomicUsize::new(100));
    for _ in 0..100 {
        sender.send_data(Bytes::from_owner(Block(Arc::clone(&held)))).await.unwrap();
        assert_eq!(data(&mut first).await, ".");
    }
    assert_eq!(held.load(Ordering::SeqCst), 1);
    drop(sender);
    assert_eq!(all(replayer.rewind().unwrap()).await, ".".repeat(100));
}

#[tokio::test]
async fn a_bodiless_request_keeps_nothing_and_is_always_ready() {
    let body = ReplayBody::new(Empty::<Bytes>::new(), &limits(), Start::Now).unwrap();
    assert!(body.is_absent() && body.is_end_stream());
    let replayer = body.replayer();
    assert_eq!((replayer.state(), replayer.progress()), (Replay::Ready, None));
    assert!(replayer.rewind().unwrap().is_absent());
}

#[tokio::test]
async fn goes_on_with_the_source_after_the_kept_prefix() {
    let (mut sender, mut first) = chunked(&limits());
    let replayer = first.replayer();
    sender.send_data("head ".into()).await.unwrap();
    assert_eq!(data(&mut first).await, "head ");
    assert_eq!(replayer.state(), Replay::StillSending);
    let second = replayer.rewind().unwrap();
    sender.send_data("tail".into()).await.unwrap();
    drop(sender);
    assert_eq!(all(second).await, "head tail");
    assert_eq!(replayer.state(), Replay::Ready);
}

#[tokio::test]
async fn a_superseded_attempt_fails_and_reads_nothing() {
    let (mut sender, mut first) = chunked(&limits());
    let replayer = first.replayer();
    sender.send_data("one".into()).await.unwrap();
    let second = replayer.rewind().unwrap();
    assert!(matches!(frame(&mut first).await, Some(Err(BodyError::Superseded))));
    assert!(!first.is_end_stream(), "a cut body must not look like a whole one");
    drop(sender);
    assert_eq!(all(second).await, "one");
}

#[tokio::test]
async fn a_waiting_attempt_is_woken_when_it_is_superseded() {
    let (_sender, mut first) = chunked(&limits());
    let replayer = first.replayer();
    let waiting = tokio::spawn(async move { frame(&mut first).await });
    tokio::task::yield_now().await;
    let _second = replayer.rewind().unwrap();
    assert!(matches!(waiting.await.unwrap(), Some(Err(BodyError::Superseded))));
}

#[tokio::test]
async fn a_new_attempt_is_woken_by_the_source_after_it_took_over() {
    let (mut sender, mut first) = chunked(&limits());
    let replayer = first.replayer();
    assert!(poll_now(&mut first).is_pending());
    let second = replayer.rewind().unwrap();
    let reading = tokio::spawn(all(second));
    tokio::task::yield_now().await;
    sender.send_data("late".into()).await.unwrap();
    drop(sender);
    assert_eq!(reading.await.unwrap(), "late");
}

#[tokio::test]
async fn a_body_over_the_limit_passes_untouched_but_only_once() {
    let limits = ReplayLimits { replay_body: 4, ..limits() };
    let (mut sender, first) = chunked(&limits);
    let replayer = first.replayer();
    for chunk in ["1234", "5", "6"] {
        sender.send_data(Bytes::from_static(chunk.as_bytes())).await.unwrap();
    }
    drop(sender);
    assert_eq!(all(first).await, "123456");
    assert_eq!(replayer.state(), Replay::Overflowed);
    assert!(replayer.rewind().is_none());
    assert_eq!(limits.memory.used(), 0);
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_not_kept_at_all() {
    let limits = ReplayLimits { replay_body: 4, ..limits() };
    let (mut sender, source) = Channel::<Bytes, Infallible>::new(4);
    let mut first = ReplayBody::new(Announced(source, 6), &limits, Start::Now).unwrap();
    let replayer = first.replayer();
    sender.send_data("12".into()).await.unwrap();
    assert_eq!(data(&mut first).await, "12");
    assert_eq!((replayer.state(), limits.memory.used()), (Replay::Overflowed, 0));
}

#[tokio::test]
async fn a_body_of_which_nothing_was_read_can_be_sent_again_at_any_size() {
    let limits = ReplayLimits { replay_body: 1, ..limits() };
    let first = sized(b"many bytes", &limits).unwrap();
    let replayer = first.replayer();
    assert_eq!(replayer.state(), Replay::Ready);
    assert_eq!(all(replayer.rewind().unwrap()).await, "many bytes");
    assert_eq!(replayer.state(), Replay::Overflowed);
}

#[tokio::test]
async fn spent_replay_memory_counts_as_over_the_limit() {
    let limits = ReplayLimits { memory: ReplayMemory::new(200), ..limits() };
    let (first, second) = (sized(&[b'x'; 100], &limits).unwrap(), sized(&[b'y'; 100], &limits).unwrap());
    let (keeps, finds_it_spent) = (first.replayer(), second.replayer());
    assert_eq!((all(first).await.len(), all(second).await.len()), (100, 100));
    assert_eq!((keeps.state(), finds_it_spent.state()), (Replay::Ready, Replay::Overflowed));
    drop(keeps);
    assert_eq!(limits.memory.used(), 0);
}

#[tokio::test]
async fn without_a_replayer_nothing_is_kept() {
    let limits = limits();
    let (mut sender, mut body) = chunked(&limits);
    sender.send_data("gone".into()).await.unwrap();
    assert_eq!(data(&mut body).await, "gone");
    assert_eq!(limits.memory.used(), 0);
    assert_eq!(body.replayer().state(), Replay::Overflowed);
}

#[tokio::test]
async fn the_last_replayer_frees_what_was_sent_and_the_rest_is_freed_by_sending() {
    let limits = limits();
    let (mut sender, mut first) = chunked(&limits);
    let replayer = first.replayer();
    for chunk in ["a", "b"] {
        sender.send_data(chunk.into()).await.unwrap();
        data(&mut first).await;
    }
    let kept = limits.memory.used();
    let mut second = replayer.rewind().unwrap();
    assert_eq!(data(&mut second).await, "a");
    drop(replayer);
    assert_eq!(limits.memory.used(), kept / 2);
    assert_eq!(second.replayer().state(), Replay::Overflowed, "the beginning is gone");
    assert_eq!(data(&mut second).await, "b");
    assert_eq!(limits.memory.used(), 0);
    drop(sender);
    assert!(frame(&mut second).await.is_none());
}

#[tokio::test]
async fn replays_trailers() {
    let (mut sender, first) = chunked(&limits());
    let replayer = first.replayer();
    let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("\"v1\""))]);
    sender.send_data("x".into()).await.unwrap();
    sender.send_trailers(trailers.clone()).await.unwrap();
    drop(sender);
    assert_eq!(first.collect().await.unwrap().trailers(), Some(&trailers));
    let collected = replayer.rewind().unwrap().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "x");
}

#[tokio::test]
async fn a_known_length_frames_every_attempt() {
    let mut first = sized(b"1234", &limits()).unwrap();
    let replayer = first.replayer();
    assert_eq!(first.size_hint().exact(), Some(4));
    data(&mut first).await;
    assert_eq!(first.size_hint().exact(), Some(0));
    assert!(first.is_end_stream());
    let mut second = replayer.rewind().unwrap();
    assert_eq!((second.size_hint().exact(), second.is_end_stream()), (Some(4), false));
    data(&mut second).await;
    assert!(second.is_end_stream());
}

#[tokio::test]
async fn an_unknown_length_stays_unknown_even_when_it_is_empty() {
    let (sender, first) = chunked(&limits());
    let replayer = first.replayer();
    drop(sender);
    let mut attempt = first;
    for _ in 0..2 {
        assert_eq!((attempt.size_hint().exact(), attempt.is_end_stream()), (None, false));
        assert!(frame(&mut attempt).await.is_none());
        assert!(attempt.is_end_stream());
        attempt = replayer.rewind().unwrap();
    }
}

#[tokio::test]
async fn a_broken_source_reaches_the_current_attempt_and_stays_broken() {
    let (sender, first) = chunked(&limits());
    let replayer = first.replayer();
    let mut second = replayer.rewind().unwrap();
    sender.abort(std::io::ErrorKind::ConnectionReset.into());
    assert!(matches!(frame(&mut second).await, Some(Err(BodyError::Source(_)))));
    assert!(matches!(replayer.failure(), Some(BodyError::Source(_))));
    assert_eq!(replayer.state(), Replay::Overflowed);
}

#[tokio::test]
async fn an_announced_length_over_request_body_is_refused_before_reading() {
    let limits = ReplayLimits { request_body: 3, ..limits() };
    assert!(matches!(sized(b"1234", &limits), Err(BodyError::TooLarge { limit: 3 })));
}

#[tokio::test]
async fn an_unannounced_body_fails_at_the_byte_over_request_body() {
    let limits = ReplayLimits { request_body: 3, ..limits() };
    let (mut sender, mut body) = chunked(&limits);
    for chunk in ["123", "4"] {
        sender.send_data(chunk.into()).await.unwrap();
    }
    assert_eq!(data(&mut body).await, "123");
    assert!(matches!(frame(&mut body).await, Some(Err(BodyError::TooLarge { limit: 3 }))));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_fails_the_body_after_the_idle_timeout() {
    let (mut sender, mut body) = chunked(&limits());
    let began = Instant::now();
    sender.send_data("x".into()).await.unwrap();
    data(&mut body).await;
    assert!(matches!(frame(&mut body).await, Some(Err(BodyError::Idle))));
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn the_idle_time_begins_anew_with_every_chunk() {
    let (mut sender, mut body) = chunked(&limits());
    let feeding = tokio::spawn(async move {
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(59)).await;
            sender.send_data("x".into()).await.unwrap();
        }
    });
    for _ in 0..5 {
        assert_eq!(data(&mut body).await, "x");
    }
    feeding.await.unwrap();
    assert!(frame(&mut body).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_upstream_does_not_count_as_a_silent_client() {
    let (mut sender, mut body) = chunked(&limits());
    assert!(poll_now(&mut body).is_pending());
    sender.send_data("x".into()).await.unwrap();
    data(&mut body).await;
    tokio::time::advance(Duration::from_secs(600)).await;
    assert!(poll_now(&mut body).is_pending(), "the clock starts when the body is asked for more");
}

#[tokio::test(start_paused = true)]
async fn progress_tells_whose_turn_it_is() {
    let (mut sender, mut body) = chunked(&limits());
    let replayer = body.replayer();
    let upload = || replayer.progress().map(|progress| progress.upload);
    assert_eq!(upload(), Some(Upload::Sending));
    assert!(poll_now(&mut body).is_pending());
    assert_eq!(upload(), Some(Upload::AwaitsClient));
    tokio::time::advance(Duration::from_secs(5)).await;
    sender.send_data("x".into()).await.unwrap();
    data(&mut body).await;
    assert_eq!(replayer.progress(), Some(Progress { upload: Upload::Sending, at: Instant::now() }));
    drop(sender);
    assert!(frame(&mut body).await.is_none());
    assert_eq!(upload(), Some(Upload::Sent));
}

#[tokio::test]
async fn a_held_upload_stops_without_failing_and_can_go_on() {
    let (mut sender, mut body) = chunked(&limits());
    let replayer = body.replayer();
    sender.send_data("x".into()).await.unwrap();
    assert_eq!(replayer.hold(), Replay::Ready);
    let reading = tokio::spawn(async move { data(&mut body).await });
    tokio::task::yield_now().await;
    assert_eq!(replayer.state(), Replay::Ready, "nothing was read while it was held");
    replayer.resume();
    assert_eq!(reading.await.unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn a_held_upload_does_not_run_into_the_idle_timeout() {
    let (_sender, mut body) = chunked(&limits());
    let replayer = body.replayer();
    replayer.hold();
    let silence = tokio::time::timeout(Duration::from_secs(600), frame(&mut body));
    assert!(silence.await.is_err());
}

fn expecting() -> ReplayBody {
    let wait = Start::AfterContinue(Duration::from_secs(1));
    ReplayBody::new(Full::new(Bytes::from_static(b"deck")), &limits(), wait).unwrap()
}

#[tokio::test(start_paused = true)]
async fn expect_continue_reads_nothing_before_the_gate_opens() {
    let mut body = expecting();
    let replayer = body.replayer();
    assert!(poll_now(&mut body).is_pending());
    assert_eq!(replayer.state(), Replay::Ready);
    let reading = tokio::spawn(all(body));
    tokio::task::yield_now().await;
    let before = Instant::now();
    replayer.open_gate();
    assert_eq!(reading.await.unwrap(), "deck");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn expect_continue_goes_on_by_itself_after_a_second() {
    let before = Instant::now();
    assert_eq!(all(expecting()).await, "deck");
    assert_eq!(before.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_expects_continue_again_if_nothing_was_read() {
    let body = expecting();
    let replayer = body.replayer();
    let mut second = replayer.rewind().unwrap();
    assert!(poll_now(&mut second).is_pending());
    replayer.open_gate();
    assert_eq!(all(second).await, "deck");
    assert!(poll_now(&mut replayer.rewind().unwrap()).is_ready());
}

#[tokio::test(start_paused = true)]
async fn an_opened_gate_does_not_release_a_held_upload() {
    let mut body = expecting();
    let replayer = body.replayer();
    replayer.hold();
    replayer.open_gate();
    assert!(poll_now(&mut body).is_pending());
}

/// A body with a Content-Length.
struct Announced<B>(B, u64);

impl<B: Body<Data = Bytes> + Unpin> Body for Announced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        pin!(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.1)
    }
}

#[tokio::test]
async fn an_upload_that_is_held_when_nobody_is_left_to_let_it_go_on_is_abandoned() {
    let (_sender, mut first) = chunked(&limits());
    let replayer = first.replayer();
    assert!(poll_now(&mut first).is_pending());
    replayer.hold();
    let reading = tokio::spawn(async move { frame(&mut first).await });
    tokio::task::yield_now().await;
    drop(replayer);
    assert!(matches!(reading.await.unwrap(), Some(Err(BodyError::Superseded))));
}
