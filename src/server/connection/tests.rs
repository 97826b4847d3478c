//! HTTP/2 clients that stop reading, or never begin.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
    time::{Instant, Sleep, sleep, timeout},
};

use super::{ConnInfo, Observed, serve};
use crate::{model::Peer, proxy::guard::Reach, server::wire::tests::LIMITS};

const LONG: Duration = Duration::from_secs(1000);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Chunks, each after a pause. As long as one lives, so does its share of `alive`.
struct Chunks {
    left: usize,
    length: usize,
    every: Duration,
    pause: Pin<Box<Sleep>>,
    _alive: Arc<()>,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.pause.as_mut().poll(cx));
        self.left -= 1;
        let next = Instant::now() + self.every;
        self.pause.as_mut().reset(next);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; self.length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

struct Server {
    client: DuplexStream,
    task: JoinHandle<()>,
    alive: Arc<()>,
    _stop: watch::Sender<bool>,
}

/// A server whose answers have `chunks` chunks of `length` bytes, one `every` so often.
fn start(chunks: usize, length: usize, every: Duration) -> Server {
    start_over(1 << 16, chunks, length, every)
}

/// The same, on a pipe that holds `capacity` bytes.
fn start_over(capacity: usize, chunks: usize, length: usize, every: Duration) -> Server {
    let (client, server) = duplex(capacity);
    let (stop, stopping) = watch::channel(false);
    let info = ConnInfo {
        peer: Peer::Unix { uid: 0 },
        share: None,
        reach: Reach::Unix,
        tenant: None,
        worker: 0,
        wire: Arc::default(),
    };
    let alive = Arc::new(());
    let shared = Arc::clone(&alive);
    let service = move |_: Request<Incoming>| {
        let body = Chunks { left: chunks, length, every, pause: Box::pin(sleep(every)), _alive: Arc::clone(&shared) };
        async move { Response::new(body) }
    };
    let task = tokio::spawn(serve(server, Observed::new(Arc::new(service), info), LIMITS, stopping));
    Server { client, task, alive, _stop: stop }
}

/// A client that gives each answer a window of `window` bytes, and its answers.
async fn ask(client: DuplexStream, window: u32, streams: usize) -> Vec<Response<Incoming>> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (mut sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..streams {
        let request = Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
        answers.push(sender.send_request(request).await.unwrap());
    }
    answers
}

/// Whole seconds until the server has ended the connection.
async fn ends_after(task: JoinHandle<()>) -> u64 {
    let started = Instant::now();
    timeout(LONG, task).await.expect("the server ends the connection").unwrap();
    started.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_no_window_loses_its_connection_and_its_answers() {
    let server = start(128, 1 << 16, Duration::ZERO);
    let answers = ask(server.client, 10, 20).await;
    let elapsed = ends_after(server.task).await;
    assert!((60..=61).contains(&elapsed), "{elapsed}");
    sleep(Duration::from_secs(1)).await; // the streams' own tasks see the end
    assert_eq!(Arc::strong_count(&server.alive), 1, "no answer is held any more");
    for answer in answers {
        assert!(answer.into_body().collect().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_that_is_not_taken_holds_no_connection_either() {
    let server = start(1, 100, Duration::ZERO);
    let _answers = ask(server.client, 10, 1).await;
    let elapsed = ends_after(server.task).await;
    assert!((60..=61).contains(&elapsed), "{elapsed}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_upstream_is_not_a_stalled_client() {
    let server = start(4, 100, LIMITS.write_timeout * 3);
    let answers = ask(server.client, 1 << 16, 2).await;
    for answer in answers {
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_an_answer_slowly_gets_all_of_it() {
    let server = start(8, 100, Duration::ZERO);
    let mut answer = ask(server.client, 50, 1).await.remove(0).into_body();
    let mut length = 0;
    while let Some(frame) = answer.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
        sleep(LIMITS.write_timeout - Duration::from_secs(1)).await;
    }
    assert_eq!(length, 800);
}

#[tokio::test(start_paused = true)]
async fn a_first_request_that_does_not_begin_in_time_ends_the_connection() {
    // A HEADERS frame of 4096 bytes, of which one comes now and then.
    let block = [0, 16, 0, 1, 5, 0, 0, 0, 1];
    for (begun, trickle) in [(&[][..], &[][..]), (SETTINGS, &[]), (&[SETTINGS, &block].concat(), &[0x82])] {
        let server = start(1, 1, Duration::ZERO);
        let (mut reader, mut writer) = tokio::io::split(server.client);
        writer.write_all(&[PREFACE, begun].concat()).await.unwrap();
        let trickle = trickle.to_vec();
        let trickling = tokio::spawn(async move {
            while writer.write_all(&trickle).await.is_ok() {
                sleep(Duration::from_secs(4)).await;
            }
        });
        assert_eq!(ends_after(server.task).await, 10, "{begun:?}");
        let mut said = Vec::new();
        reader.read_to_end(&mut said).await.unwrap();
        trickling.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_cannot_hold_up_the_farewell() {
    let server = start_over(100, 1, 1, Duration::ZERO);
    let (_reader, mut writer) = tokio::io::split(server.client);
    // GET / of http://a, until the pipe is full both ways.
    let asking = tokio::spawn(async move {
        writer.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
        for stream in (1..100).step_by(2) {
            writer.write_all(&[0, 0, 6, 1, 5, 0, 0, 0, stream, 0x82, 0x86, 0x84, 0x41, 1, b'a']).await?;
        }
        std::io::Result::Ok(writer)
    });
    let elapsed = ends_after(server.task).await;
    assert!((60..=96).contains(&elapsed), "{elapsed}");
    asking.abort();
}
