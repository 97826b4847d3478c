//! The caller: one request on one connection, and everything of its answer.

use std::{future::Future, io, net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header::HOST};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::{TcpStream, UnixStream};

use super::PATIENCE;

/// What a caller sends.
pub(crate) type Upload = BoxBody<Bytes, io::Error>;

/// A request in the making.
pub(crate) struct Call {
    reach: Reach,
    protocol: Protocol,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Upload,
}

/// Where the sidecar is called.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) response: Response<Incoming>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

/// Fails the test where `work` does not end in time.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not done within {PATIENCE:?}"),
    }
}

/// Waits until `holds`, asking now and then: for what nobody announces.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let held = async {
        while !holds().await {
            ticks.tick().await;
        }
    };
    in_time(what, held).await;
}

/// An HTTP/2 connection for several calls.
pub(crate) async fn http2_connection(address: SocketAddr) -> http2::SendRequest<Upload> {
    http2_over(TcpStream::connect(address).await.unwrap()).await
}

/// The same over a stream that is there.
pub(crate) async fn http2_over<S>(stream: S) -> http2::SendRequest<Upload>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// The hexadecimal SHA-256, as the sandbox notes it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Bytes::copy_from_slice(&Sha256::digest(bytes)))
}

// === impl Call ===

impl Call {
    pub(crate) fn new(reach: Reach, method: Method, target: impl Into<String>) -> Self {
        let body = Empty::new().map_err(|never| match never {}).boxed();
        Self { reach, protocol: Protocol::Http1, method, target: target.into(), headers: HeaderMap::new(), body }
    }

    /// The same with another method.
    pub(crate) fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// Names the tenant by the header.
    pub(crate) fn tenant(self, name: &str) -> Self {
        self.header("x-flexslot-tenant", name)
    }

    /// One more header line.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self
    }

    /// A body with `Content-Length`.
    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        self.upload(Full::new(body.into()).map_err(|never| match never {}))
    }

    /// A body of JSON.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// A body in chunks of 16 KiB, of no announced length.
    pub(crate) fn chunked(self, body: impl Into<Bytes>) -> Self {
        self.chunked_with_trailers(body, HeaderMap::new())
    }

    /// The same, with trailers.
    pub(crate) fn chunked_with_trailers(self, body: impl Into<Bytes>, trailers: HeaderMap) -> Self {
        let mut left: Bytes = body.into();
        let mut frames = Vec::new();
        while !left.is_empty() {
            frames.push(Ok(Frame::data(left.split_to(left.len().min(16 * 1024)))));
        }
        if !trailers.is_empty() {
            frames.push(Ok(Frame::trailers(trailers)));
        }
        self.upload(StreamBody::new(Frames(frames.into_iter())))
    }

    /// Any body.
    pub(crate) fn upload(mut self, body: impl Body<Data = Bytes, Error = io::Error> + Send + Sync + 'static) -> Self {
        self.body = body.boxed();
        self
    }

    /// By cleartext HTTP/2 with prior knowledge.
    pub(crate) fn http2(self) -> Self {
        Self { protocol: Protocol::Http2, ..self }
    }

    /// Sends it and waits for the answer's header.
    pub(crate) async fn begin(self) -> Answering {
        in_time("the answer's header", self.try_begin()).await.expect("an answer")
    }

    /// Sends it and waits for the whole answer.
    pub(crate) async fn send(self) -> Reply {
        self.begin().await.whole().await
    }

    /// Sends it as one of several on an HTTP/2 connection, and waits for the whole answer.
    pub(crate) async fn send_on(self, connection: &mut http2::SendRequest<Upload>) -> Reply {
        let response = in_time("the answer's header", connection.send_request(self.http2().request())).await;
        Answering { response: response.expect("an answer") }.whole().await
    }

    /// Sends it and waits for the answer's header, where the connection may end without one.
    pub(crate) async fn try_begin(self) -> hyper::Result<Answering> {
        let (reach, protocol) = (self.reach.clone(), self.protocol);
        let request = self.request();
        match reach {
            Reach::Tcp(address) => exchange(TcpStream::connect(address).await.unwrap(), protocol, request).await,
            Reach::Unix(path) => exchange(UnixStream::connect(path).await.unwrap(), protocol, request).await,
        }
    }

    fn request(self) -> Request<Upload> {
        let authority = match &self.reach {
            Reach::Tcp(address) => address.to_string(),
            Reach::Unix(_) => "localhost".to_owned(),
        };
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        match self.protocol {
            Protocol::Http1 => {
                *request.uri_mut() = self.target.parse().unwrap();
                request.headers_mut().entry(HOST).or_insert(HeaderValue::try_from(authority).unwrap());
            }
            Protocol::Http2 => {
                *request.version_mut() = Version::HTTP_2;
                *request.uri_mut() = format!("http://{authority}{}", self.target).parse().unwrap();
            }
        }
        request
    }
}

async fn exchange<S>(stream: S, protocol: Protocol, request: Request<Upload>) -> hyper::Result<Answering>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let response = match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
        Protocol::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        }
    };
    Ok(Answering { response })
}

// === impl Answering ===

impl Answering {
    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Bytes> {
        let frame = in_time("a piece of the body", self.response.body_mut().frame()).await?;
        frame.expect("the body goes on").into_data().ok()
    }

    /// Reads the rest.
    pub(crate) async fn whole(self) -> Reply {
        self.try_whole().await.expect("the whole body")
    }

    /// The same, where the body may break off.
    pub(crate) async fn try_whole(self) -> hyper::Result<Reply> {
        let (head, body) = self.response.into_parts();
        let body = in_time("the whole body", body.collect()).await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Reply {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }
}

// === impl Reply ===

impl Reply {
    /// The one value of a header; `None` where it is absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} stands more than once: {:?}", self.headers);
        Some(value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self))
    }

    /// The `code` of a problem; `None` where the answer is none of the sidecar's own.
    pub(crate) fn problem(&self) -> Option<String> {
        let own = self.header("content-type") == Some("application/problem+json");
        own.then(|| self.json()["code"].as_str().expect("a code").to_owned())
    }

    /// The `detail` of a problem.
    pub(crate) fn detail(&self) -> String {
        self.json()["detail"].as_str().expect("a detail").to_owned()
    }

    /// Fails unless this is that problem.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.problem().as_deref()), (status, Some(code)), "{self:?}");
    }

    /// Fails unless the status is this.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// A stream of frames that are all there.
struct Frames(std::vec::IntoIter<io::Result<Frame<Bytes>>>);

impl futures_core::Stream for Frames {
    type Item = io::Result<Frame<Bytes>>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}
