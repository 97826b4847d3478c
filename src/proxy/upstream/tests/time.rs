//! Time limits, on paused time.

use tokio::{
    io::BufWriter,
    time::{Instant, advance},
};

use super::*;
use crate::{
    model::problem::ProxyError,
    proxy::upstream::{ErrorKind, Sent},
};

#[derive(Debug)]
struct NeverConnects;

#[async_trait]
impl Dial for NeverConnects {
    async fn dial(&self, _: &Target) -> Result<BoxedIo, DialError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_about_is_given_up_in_time() {
    for origin in ["http://api.localhost", "https://api.test"] {
        let upstream = Upstream::with_dialer(params(origin), Arc::new(NeverConnects)).unwrap();
        let began = Instant::now();
        let error = upstream.send(get("/")).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::ConnectTimeout));
        assert_eq!(error.sent, Sent::NotSent);
        assert_eq!(began.elapsed().as_secs(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_is_given_up_after_the_response_timeout() {
    let mut world = World::new();
    let began = Instant::now();
    let sending = world.send(get("/"));
    let mut peer = world.accept().await;
    let error = sending.await.unwrap().unwrap_err();
    assert_eq!(error.proxy_error(), ProxyError::HttpResponseTimeout);
    assert_eq!(began.elapsed().as_secs(), 60);
    peer.sees_the_end().await;
}

#[tokio::test(start_paused = true)]
async fn the_response_clock_starts_with_the_last_progress_of_the_upload() {
    let mut world = World::new();
    let (mut sender, body) = upload(Start::Now);
    let sending = world.send(request(Method::POST, "/", body));
    let mut peer = world.accept().await;
    peer.head().await;
    for _ in 0..3 {
        advance(Duration::from_secs(45)).await;
        sender.send_data("x".into()).await.unwrap();
        peer.reads("1\r\nx\r\n").await;
    }
    drop(sender);
    peer.reads("0\r\n\r\n").await;
    let sent = Instant::now();
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::ResponseTimeout));
    assert_eq!(sent.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_in_the_middle_of_its_body_is_not_the_upstreams_fault() {
    let params = UpstreamParams { response_timeout: Duration::from_secs(10), ..params("http://api.localhost") };
    let mut world = World::with(params);
    let (_sender, body) = upload(Start::Now);
    let sending = world.send(request(Method::POST, "/", body));
    let _peer = world.accept().await;
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Body(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_in_the_middle_of_a_response_body_is_an_error() {
    let mut world = World::new();
    let sending = world.send(get("/"));
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
    let response = sending.await.unwrap().unwrap();
    let reading = tokio::spawn(text(response));
    for _ in 0..2 {
        settle().await;
        advance(Duration::from_secs(59)).await;
        peer.says("part").await;
    }
    let last = Instant::now();
    let error = reading.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::ResponseTimeout));
    assert_eq!(last.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let mut world = World::new();
    let mut peer = world.used_connection().await;
    advance(Duration::from_secs(20)).await;
    let sending = world.send(get("/slow"));
    peer.head().await;
    advance(Duration::from_secs(40)).await;
    settle().await;
    peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    sending.await.unwrap().unwrap();
    let idle = Instant::now();
    peer.sees_the_end().await;
    assert_eq!(idle.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_gets_old_and_the_name_is_looked_up_again() {
    let mut world = World::new();
    let began = Instant::now();
    let mut peer = world.used_connection().await;
    while began.elapsed() < Duration::from_secs(16 * 60) {
        advance(Duration::from_secs(20)).await;
        let sending = world.send(get("/busy"));
        settle().await;
        if let Ok((_, next)) = world.connections.try_recv() {
            assert!(began.elapsed() > Duration::from_secs(12 * 60), "{:?}", began.elapsed());
            Peer(next).head().await;
            return peer.sees_the_end().await;
        }
        peer.head().await;
        peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
        sending.await.unwrap().unwrap();
        settle().await;
    }
    panic!("the connection lives for ever");
}

/// Streams that take more than they pass on, as TLS does.
#[derive(Debug)]
struct TakesMore(mpsc::UnboundedSender<DuplexStream>);

#[async_trait]
impl Dial for TakesMore {
    async fn dial(&self, _: &Target) -> Result<BoxedIo, DialError> {
        let (ours, theirs) = duplex(16);
        self.0.send(theirs).map_err(|_| DialError::Connect(std::io::ErrorKind::ConnectionRefused.into()))?;
        Ok(Box::new(BufWriter::with_capacity(1 << 20, ours)))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_out_yet_when_the_answer_comes_goes_out_at_once() {
    let (opened, mut connections) = mpsc::unbounded_channel();
    let upstream = Upstream::with_dialer(params("http://api.localhost:8080"), Arc::new(TakesMore(opened))).unwrap();
    let body = ReplayBody::new(Full::new(Bytes::from(vec![b'x'; 1000])), &limits(), Start::Now).unwrap();
    let began = Instant::now();
    let sender = upstream.clone();
    let sending = tokio::spawn(async move { sender.send(request(Method::POST, "/", body)).await });
    let mut peer = Peer(connections.recv().await.unwrap());
    peer.head().await;
    peer.says("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await;
    sending.await.unwrap().unwrap();
    peer.reads(&"x".repeat(1000)).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}
