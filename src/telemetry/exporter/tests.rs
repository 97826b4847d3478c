use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{FULL, GATHER, Receiver, Refusal, Taken};
use crate::{
    model::{
        Random, Tracer,
        observe::SpansOutcome::{Dropped, Refused, Sent},
        trace::{Heed, Ratio, Sampler},
    },
    telemetry::{
        Settings, Telemetry,
        queue::ROOM,
        testing::{Counts, counts, refresh},
    },
};

/// A receiver that says what it is told, and after that takes everything.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<VecDeque<Result<Taken, Refusal>>>,
    /// When it was asked, and for how many spans.
    seen: Mutex<Vec<(Instant, usize)>>,
    /// How long it takes for an answer.
    takes: Duration,
    name: &'static str,
}

/// An exporter at work.
struct World {
    telemetry: Telemetry,
    receiver: Arc<Scripted>,
    counts: Arc<Counts>,
    began: Instant,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

// === impl Scripted ===

#[async_trait]
impl Receiver for Scripted {
    async fn take(&self, request: Bytes) -> Result<Taken, Refusal> {
        let request = ExportTraceServiceRequest::decode(request).expect("a request");
        let spans = request.resource_spans.iter().flat_map(|of| &of.scope_spans).map(|of| of.spans.len()).sum();
        self.seen.lock().push((Instant::now(), spans));
        sleep(self.takes).await;
        let answer = self.answers.lock().pop_front();
        answer.unwrap_or_else(|| Ok(Taken { response: Vec::new() }))
    }

    fn name(&self) -> &str {
        self.name
    }
}

// === impl World ===

impl World {
    fn new(answers: impl IntoIterator<Item = Result<Taken, Refusal>>) -> Self {
        Self::with(Scripted { answers: Mutex::new(answers.into_iter().collect()), ..Scripted::default() })
    }

    fn with(receiver: Scripted) -> Self {
        let (counts, observer) = counts();
        let (telemetry, exporter) = Telemetry::new(observer, &Random::from_fn(|bytes| bytes.fill(3)));
        let receiver = Arc::new(receiver);
        telemetry.reload(Some(settings(&receiver)));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(exporter.run(async { drop(stopped.await) }));
        Self { telemetry, receiver, counts, began: Instant::now(), stop, task }
    }

    fn tell(&self, spans: u64) {
        (0..spans).for_each(|_| self.telemetry.take(refresh()));
    }

    /// Lets so much time pass.
    async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    /// After which time it was asked, and for how many spans.
    fn seen(&self) -> Vec<(Duration, usize)> {
        self.receiver.seen.lock().iter().map(|(at, spans)| (*at - self.began, *spans)).collect()
    }

    fn counted(&self) -> [u64; 3] {
        [Sent, Dropped, Refused].map(|outcome| self.counts.of(outcome))
    }

    async fn end(self) -> ([u64; 3], Vec<(Duration, usize)>) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        let seen = self.receiver.seen.lock().iter().map(|(at, spans)| (*at - self.began, *spans)).collect();
        ([Sent, Dropped, Refused].map(|outcome| self.counts.of(outcome)), seen)
    }
}

fn settings(receiver: &Arc<Scripted>) -> Settings {
    let sampler = Sampler { heed: Heed::Parent, ratio: Ratio::ALL };
    let resource = vec![("service.name".to_owned(), "test".to_owned())];
    Settings { receiver: Arc::clone(receiver) as _, sampler, resource }
}

const SECOND: Duration = Duration::from_secs(1);

fn for_now(after: Option<Duration>) -> Result<Taken, Refusal> {
    Err(Refusal::ForNow("no connection".into(), after))
}

#[tokio::test(start_paused = true)]
async fn spans_wait_for_others_and_go_together() {
    let world = World::new([]);
    world.tell(1);
    world.pass(SECOND).await;
    world.tell(2);
    world.pass(GATHER - SECOND - Duration::from_millis(1)).await;
    assert_eq!(world.seen(), []);
    world.pass(Duration::from_millis(2)).await;
    assert_eq!((world.seen(), world.counted()), (vec![(GATHER, 3)], [3, 0, 0]));
    world.pass(100 * SECOND).await;
    assert_eq!(world.seen().len(), 1, "nothing is sent of nothing");
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once() {
    let world = World::new([]);
    world.tell(FULL + 1);
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(world.seen(), [(Duration::ZERO, FULL as usize)]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_out_of_reach_is_tried_again_after_growing_pauses() {
    let world = World::new((0..9).map(|_| for_now(None)));
    world.tell(2);
    world.pass(GATHER + SECOND / 4).await;
    world.tell(1);
    world.pass(1000 * SECOND).await;
    let seen = world.seen();
    assert_eq!(seen.len(), 10, "{seen:?}");
    let pauses = seen.windows(2).map(|pair| pair[1].0 - pair[0].0);
    for (pause, seconds) in pauses.zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        assert!(
            pause >= SECOND * seconds / 2 && pause <= SECOND * seconds + Duration::from_millis(2),
            "{pause:?} of {seconds} s"
        );
    }
    assert_eq!((seen[9].1, world.counted()), (3, [3, 0, 0]), "what came meanwhile goes along");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let world = World::new([for_now(Some(100 * SECOND)), for_now(Some(10_000_000 * SECOND))]);
    world.tell(1);
    world.pass(2000 * SECOND).await;
    let pauses: Vec<_> = world.seen().windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs()).collect();
    assert_eq!(pauses, [100, 600], "but none that never ends");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_is_not_sent_again() {
    let world = World::new([Err(Refusal::ForGood("answered 400".into()))]);
    world.tell(2);
    world.pass(2 * GATHER).await;
    world.tell(1);
    world.pass(2 * GATHER).await;
    assert_eq!(world.seen().iter().map(|(_, spans)| *spans).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(world.counted(), [1, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_of_a_batch_is_counted() {
    let partial_success = ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".into() };
    let response = ExportTraceServiceResponse { partial_success: Some(partial_success) }.encode_to_vec();
    let world = World::new([Ok(Taken { response })]);
    world.tell(5);
    world.pass(2 * GATHER).await;
    assert_eq!(world.counted(), [3, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_room_for_is_dropped_and_counted() {
    let world = World::with(Scripted { takes: 8 * SECOND, ..Scripted::default() });
    world.tell(FULL);
    world.pass(SECOND).await;
    assert_eq!(world.seen().len(), 1, "it takes its time");
    world.tell(ROOM as u64 + 7);
    assert_eq!(world.counted(), [0, 7, 0]);
    world.pass(100 * SECOND).await;
    assert_eq!(world.counted(), [FULL + ROOM as u64, 7, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_end_sends_what_is_left_at_once() {
    let world = World::new([]);
    world.tell(FULL * 2 + 3);
    let (counted, seen) = world.end().await;
    assert_eq!(counted, [FULL * 2 + 3, 0, 0]);
    assert_eq!(
        seen.iter().map(|(at, spans)| (*at, *spans)).collect::<Vec<_>>(),
        [(Duration::ZERO, 512), (Duration::ZERO, 512), (Duration::ZERO, 3)]
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_receiver_out_of_reach() {
    let world = World::new((0..9).map(|_| for_now(Some(60 * SECOND))));
    world.tell(1);
    world.pass(GATHER + SECOND).await;
    world.tell(FULL + 2);
    let (counted, seen) = world.end().await;
    assert_eq!(counted, [0, FULL + 3, 0]);
    assert_eq!(seen.len(), 2, "each batch is tried once: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_it_is_turned_off_is_dropped() {
    let world = World::new([]);
    world.tell(2);
    world.telemetry.reload(None);
    world.pass(2 * GATHER).await;
    assert_eq!((world.seen(), world.counted()), (vec![], [0, 2, 0]));
}

/// What a receiver asks for is nothing that another one, to which a reload leads, has asked for.
#[tokio::test(start_paused = true)]
async fn a_pause_is_for_the_receiver_that_has_asked_for_it() {
    for (name, waits) in [("http://another", false), ("http://collector", true)] {
        let world = World::with(Scripted {
            answers: Mutex::new([for_now(Some(500 * SECOND))].into()),
            name: "http://collector",
            ..Scripted::default()
        });
        world.tell(1);
        world.pass(GATHER + SECOND).await;
        assert_eq!(world.seen().len(), 1);
        let next = Arc::new(Scripted { name, ..Scripted::default() });
        world.telemetry.reload(Some(settings(&next)));
        world.pass(SECOND).await;
        assert_eq!(next.seen.lock().is_empty(), waits, "{name}");
        world.pass(500 * SECOND).await;
        assert_eq!((next.seen.lock().len(), world.counted()), (1, [1, 0, 0]));
    }
}
