//! Against scripted peers: byte streams in memory, whose other end a test plays by hand.

mod h1;
mod h2;
mod stream;
mod time;
mod tls;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, channel::Channel};
use rustls::RootCertStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    task::JoinHandle,
};

use super::{
    BoxedIo, Dial, DialError, Io, ProxySetting, Target, Upstream, UpstreamBody, UpstreamError, UpstreamParams,
    tls::with_roots,
};
use crate::proxy::replay::{ReplayBody, ReplayLimits, ReplayMemory, Start};

/// An upstream whose connections arrive at the test.
struct World {
    upstream: Upstream,
    connections: mpsc::UnboundedReceiver<(Target, DuplexStream)>,
}

#[derive(Debug)]
struct ScriptedDial(mpsc::UnboundedSender<(Target, DuplexStream)>);

/// The other end of a connection.
struct Peer<S>(S);

type Answer = Result<Response<UpstreamBody>, UpstreamError>;

#[async_trait]
impl Dial for ScriptedDial {
    async fn dial(&self, target: &Target) -> Result<BoxedIo, DialError> {
        let (ours, theirs) = duplex(64 * 1024);
        let refused = || DialError::Connect(std::io::ErrorKind::ConnectionRefused.into());
        self.0.send((target.clone(), theirs)).map_err(|_| refused())?;
        Ok(Box::new(ours))
    }
}

fn params(origin: &str) -> UpstreamParams {
    UpstreamParams {
        origin: origin.parse().unwrap(),
        tls: Arc::new(with_roots(RootCertStore::empty()).unwrap()),
        proxy: ProxySetting::Off,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(60),
        body_idle_timeout: Duration::from_secs(60),
        pool_idle_timeout: Duration::from_secs(25),
        header_size: 64 * 1024,
    }
}

fn limits() -> ReplayLimits {
    ReplayLimits {
        replay_body: 1 << 20,
        request_body: 64 << 20,
        idle_timeout: Duration::from_secs(60),
        memory: ReplayMemory::new(16 << 20),
    }
}

impl World {
    fn new() -> Self {
        Self::with(params("http://api.localhost:8080"))
    }

    fn with(params: UpstreamParams) -> Self {
        let (opened, connections) = mpsc::unbounded_channel();
        let upstream = Upstream::with_dialer(params, Arc::new(ScriptedDial(opened))).unwrap();
        Self { upstream, connections }
    }

    /// Sends in a task of its own.
    fn send(&self, request: Request<ReplayBody>) -> JoinHandle<Answer> {
        let upstream = self.upstream.clone();
        tokio::spawn(async move { upstream.send(request).await })
    }

    /// The next connection that is made.
    async fn accept(&mut self) -> Peer<DuplexStream> {
        Peer(self.connections.recv().await.expect("a connection").1)
    }

    fn no_more_connections(&mut self) -> bool {
        self.connections.try_recv().is_err()
    }

    /// A connection that has served one request and is back in the pool.
    async fn used_connection(&mut self) -> Peer<DuplexStream> {
        let sending = self.send(get("/first"));
        let mut peer = self.accept().await;
        peer.head().await;
        peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
        sending.await.unwrap().unwrap();
        settle().await;
        peer
    }
}

impl<S: Io> Peer<S> {
    /// Reads one message's head, as text.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("a whole head"));
        }
        String::from_utf8(head).unwrap()
    }

    async fn reads(&mut self, expected: &str) {
        let mut read = vec![0; expected.len()];
        self.0.read_exact(&mut read).await.unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), expected);
    }

    async fn says(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Waits for the end of the connection.
    async fn sees_the_end(&mut self) {
        let mut rest = Vec::new();
        // TLS calls an end without a goodbye an error; either is an end.
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

/// Lets all tasks run until they wait for something from outside.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn request(method: Method, target: &str, body: ReplayBody) -> Request<ReplayBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().unwrap();
    request
}

fn get(target: &str) -> Request<ReplayBody> {
    request(Method::GET, target, ReplayBody::empty())
}

fn post(target: &str, body: &'static str) -> Request<ReplayBody> {
    let body = ReplayBody::new(Full::new(Bytes::from_static(body.as_bytes())), &limits(), Start::Now).unwrap();
    request(Method::POST, target, body)
}

type Upload = http_body_util::channel::Sender<Bytes, std::io::Error>;

/// A body of unknown length that the test sends by hand.
fn upload(start: Start) -> (Upload, ReplayBody) {
    let (sender, source) = Channel::new(64);
    (sender, ReplayBody::new(source, &limits(), start).unwrap())
}

async fn text(response: Response<UpstreamBody>) -> Result<String, UpstreamError> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}
