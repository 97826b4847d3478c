use std::{future::pending, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

use super::{Came, Crew, Drained, Limits, serve};
use crate::{
    model::{ListenAddress, ListenOn},
    proxy::guard::Reach,
    server::{listen::Listener, wire::tests::LIMITS},
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HELD: &[u8] = b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Server {
    address: SocketAddr,
    /// A permit lets one request for `/held` be answered.
    gate: Arc<Semaphore>,
    /// One permit for each request for `/held` that arrived.
    arrived: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Drained>,
}

fn listener(address: ListenAddress, tenant: Option<&str>) -> Listener {
    let tenant = tenant.map(|tenant| tenant.parse().unwrap());
    Listener::bind(&ListenOn { tenant, ..ListenOn::required(address) }).unwrap()
}

fn start(connections: usize, drain: Duration, more: Vec<Listener>) -> Server {
    let first = listener(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), None);
    let address = first.local_addr().unwrap();
    let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (stop, stopped) = oneshot::channel();
    let service = {
        let (gate, arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
        move |request: Request<Incoming>| {
            let (gate, arrived) = (Arc::clone(&gate), Arc::clone(&arrived));
            async move { answer(request, &gate, &arrived).await }
        }
    };
    let listeners = std::iter::once(first).chain(more).collect();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(serve(
        listeners,
        Limits { connections, per_peer: 1, wire: LIMITS },
        (Arc::new(Crew::here()), Arc::new(service)),
        shutdown,
        drain,
    ));
    Server { address, gate, arrived, stop, task }
}

async fn answer(request: Request<Incoming>, gate: &Semaphore, arrived: &Semaphore) -> Response<Full<Bytes>> {
    let info = Arc::clone(&request.extensions().get::<Arc<Came>>().unwrap().on);
    let mut response = Response::new(Full::from(format!(
        "{} {}",
        if info.reach == Reach::Unix { "unix" } else { "tcp" },
        info.tenant.as_ref().map_or("-", |tenant| tenant.as_str()),
    )));
    match request.uri().path() {
        "/held" => {
            arrived.add_permits(1);
            gate.acquire().await.unwrap().forget();
        }
        "/unread" => *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE,
        _ => drop(request.into_body().collect().await),
    }
    response
}

/// Sends a request and returns its answer's body, which ends in `end`.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8], end: &str) -> String {
    stream.write_all(request).await.unwrap();
    read(stream, end).await
}

async fn read(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn requests_know_where_they_came_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let unix = listener(ListenAddress::Unix { path: path.clone(), mode: 0o600 }, None);
    let bound = listener(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), Some("acme"));
    let bound_at = bound.local_addr().unwrap();
    let server = start(10, Duration::ZERO, vec![unix, bound]);
    ask(&mut TcpStream::connect(server.address).await.unwrap(), GET, "tcp -").await;
    ask(&mut TcpStream::connect(bound_at).await.unwrap(), GET, "tcp acme").await;
    ask(&mut UnixStream::connect(&path).await.unwrap(), GET, "unix -").await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_ends() {
    let idle = listener(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), None);
    let server = start(1, Duration::ZERO, vec![idle]);
    let mut first = TcpStream::connect(server.address).await.unwrap();
    ask(&mut first, GET, "-").await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(GET).await.unwrap();
    ask(&mut first, GET, "-").await;
    assert_eq!(second.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(first);
    read(&mut second, "-").await;
}

/// Over a unix socket callers are told from each other, and over loopback they are not.
#[tokio::test]
async fn a_caller_that_has_its_share_gets_no_more_connections() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let unix = listener(ListenAddress::Unix { path: path.clone(), mode: 0o600 }, None);
    let server = start(10, Duration::ZERO, vec![unix]);
    let mut first = UnixStream::connect(&path).await.unwrap();
    ask(&mut first, GET, "-").await;
    let mut second = UnixStream::connect(&path).await.unwrap();
    let _ = second.write_all(GET).await;
    // The end, or that what was sent is lost.
    assert!(!matches!(second.read(&mut [0; 64]).await, Ok(1..)));
    ask(&mut first, GET, "-").await;
    for _ in 0..2 {
        ask(&mut TcpStream::connect(server.address).await.unwrap(), GET, "-").await;
    }
    drop(first);
    let mut third = UnixStream::connect(&path).await.unwrap();
    while third.write_all(GET).await.is_err() || !matches!(third.read(&mut [0; 4096]).await, Ok(1..)) {
        third = UnixStream::connect(&path).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_waits_for_its_place_survives_the_end_of_another() {
    let other = listener(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), None);
    let there = other.local_addr().unwrap();
    let server = start(2, Duration::ZERO, vec![other]);
    let mut ending = TcpStream::connect(there).await.unwrap();
    ask(&mut ending, GET, "-").await;
    // Both listeners have seen a free place by now, and the first one takes it.
    let mut first = TcpStream::connect(server.address).await.unwrap();
    ask(&mut first, GET, "-").await;
    let mut waiting = TcpStream::connect(there).await.unwrap();
    waiting.write_all(GET).await.unwrap();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    drop(ending);
    read(&mut waiting, "-").await;
}

#[tokio::test]
async fn shutdown_lets_answers_finish_and_accepts_nobody() {
    let server = start(10, Duration::from_secs(60), vec![]);
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    ask(&mut idle, GET, "-").await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(HELD).await.unwrap();
    server.arrived.acquire().await.unwrap().forget();
    server.stop.send(()).unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0, "an idle connection is closed at once");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.gate.add_permits(1);
    assert!(read(&mut busy, "-").await.contains("connection: close"));
    assert_eq!(server.task.await.unwrap(), Drained::All);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_in_time_is_cut_off() {
    let server = start(10, Duration::from_secs(25), vec![]);
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(HELD).await.unwrap();
    server.arrived.acquire().await.unwrap().forget();
    server.stop.send(()).unwrap();
    assert_eq!(server.task.await.unwrap(), Drained::CutOff(1));
}

#[tokio::test]
async fn a_client_that_still_sends_gets_its_answer_and_no_reset() {
    let server = start(10, Duration::ZERO, vec![]);
    let (mut reader, mut writer) = TcpStream::connect(server.address).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        let length = 8 << 20;
        let head = format!("POST /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        writer.write_all(head.as_bytes()).await?;
        writer.write_all(&vec![b'x'; length]).await?;
        io::Result::Ok(writer)
    });
    let _writer = sending.await.unwrap().expect("everything is taken");
    let mut answer = String::new();
    reader.read_to_string(&mut answer).await.expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_request() {
    struct Dropped(Option<oneshot::Sender<()>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    let listener = listener(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()), None);
    let address = listener.local_addr().unwrap();
    let (began, beginning) = oneshot::channel();
    let (dropped, dropping) = oneshot::channel();
    let once = parking_lot::Mutex::new(Some((began, Dropped(Some(dropped)))));
    let service = move |_: Request<Incoming>| {
        let (began, guard) = once.lock().take().unwrap();
        async move {
            let _guard = guard;
            began.send(()).unwrap();
            pending::<Response<Full<Bytes>>>().await
        }
    };
    let _server = tokio::spawn(async move {
        serve(
            vec![listener],
            Limits { connections: 1, per_peer: 1, wire: LIMITS },
            (Arc::new(Crew::here()), Arc::new(service)),
            pending(),
            Duration::ZERO,
        )
        .await
    });
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(GET).await.unwrap();
    beginning.await.unwrap();
    drop(client);
    dropping.await.unwrap();
}
