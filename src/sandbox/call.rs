//! One request: its target, its header, and a body whose length and hash are taken as it is read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    answer::{self, Answer},
    faults::Endpoint,
    ids,
};

/// Where the API begins.
pub(super) const API: &str = "/api/public/v1";

/// The largest JSON or form body that is read.
const BODY_LIMIT: usize = 8 << 20;

pub(super) struct Call {
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    pub(super) version: http::Version,
    /// As received.
    pub(super) target: String,
    /// Host, or `:authority` of HTTP/2.
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) seen: Arc<BodySeen>,
    body: Option<Watched>,
    read: Option<Bytes>,
}

/// What is known of a body so far.
#[derive(Default)]
pub(super) struct BodySeen(Mutex<Sum>);

#[derive(Default, Clone)]
struct Sum {
    length: u64,
    hash: Sha256,
}

/// A request body that tells what passes through it.
pub(super) struct Watched {
    inner: Incoming,
    seen: Arc<BodySeen>,
}

/// The body went away or is larger than [`BODY_LIMIT`].
pub(super) enum ReadError {
    Broken,
    TooLarge,
}

// === impl Call ===

impl Call {
    pub(super) fn new(request: Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        let seen = Arc::<BodySeen>::default();
        let path = parts.uri.path().to_owned();
        Self {
            endpoint: classify(&path),
            method: parts.method,
            version: parts.version,
            target: match (parts.version, parts.uri.path_and_query()) {
                // HTTP/2 has no request line; hyper puts scheme and authority into the URI.
                (http::Version::HTTP_2, Some(target)) => target.to_string(),
                _ => parts.uri.to_string(),
            },
            authority: parts.uri.authority().map_or_else(|| host(&parts.headers), ToString::to_string),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: Some(Watched { inner: body, seen: Arc::clone(&seen) }),
            read: None,
            path,
            seen,
        }
    }

    /// The segments below the API's base path, percent-decoded; the last one is empty where the path ends with a slash.
    pub(super) fn segments(&self) -> Vec<String> {
        let below = self.path.strip_prefix(API).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        below.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect()
    }

    /// The one value of a header field; `Err` where there are several lines of it.
    pub(super) fn only(&self, name: header::HeaderName) -> Result<Option<&str>, ()> {
        let mut lines = self.headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
            (Some(_), Some(_)) => Err(()),
        }
    }

    /// Whether the body is declared as `media_type`, parameters aside.
    pub(super) fn is(&self, media_type: &str) -> bool {
        let declared = self.only(header::CONTENT_TYPE).ok().flatten().unwrap_or_default();
        let essence = declared.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(media_type)
    }

    /// The body, to be streamed; empty the second time.
    pub(super) fn take_body(&mut self) -> Option<Watched> {
        self.body.take()
    }

    /// The whole body; the same again when called again.
    pub(super) async fn read(&mut self) -> Result<Bytes, ReadError> {
        if let Some(bytes) = &self.read {
            return Ok(bytes.clone());
        }
        let mut bytes = BytesMut::new();
        if let Some(mut body) = self.body.take() {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return Err(ReadError::Broken) };
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > BODY_LIMIT {
                    return Err(ReadError::TooLarge);
                }
                bytes.extend_from_slice(&data);
            }
        }
        let bytes = bytes.freeze();
        self.read = Some(bytes.clone());
        Ok(bytes)
    }

    /// The body as a JSON object, or the answer to what is none.
    pub(super) async fn json(&mut self) -> Result<serde_json::Map<String, Value>, Answer> {
        if !self.is("application/json") {
            let message = "The body must be application/json.";
            return Err(answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "FLEXSLOT_UNSUPPORTED_MEDIA_TYPE", message));
        }
        let bytes = self.read().await.map_err(ReadError::answer)?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) | Err(_) => {
                Err(answer::error(StatusCode::BAD_REQUEST, "FLEXSLOT_PARSE_ERROR", "The body is no JSON object."))
            }
        }
    }

    /// Reads what is left of the body and forgets it, as a buffering server in front would have.
    pub(super) async fn drain(&mut self) {
        if let Some(mut body) = self.body.take() {
            while let Some(Ok(_)) = body.frame().await {}
        }
    }
}

fn host(headers: &HeaderMap) -> String {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned()
}

fn classify(path: &str) -> Endpoint {
    let Some(below) = path.strip_prefix(API) else { return Endpoint::Site };
    match below {
        "/oauth/token" => Endpoint::Token,
        "/oauth/revoke" => Endpoint::Revoke,
        "/oauth/introspect" => Endpoint::Introspect,
        "/oauth/authorize" => Endpoint::Authorize,
        below if below.starts_with('/') => Endpoint::Resource,
        _ => Endpoint::Site,
    }
}

// === impl ReadError ===

impl ReadError {
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Broken => answer::error(StatusCode::BAD_REQUEST, "FLEXSLOT_PARSE_ERROR", "The body broke off."),
            Self::TooLarge => {
                answer::error(StatusCode::PAYLOAD_TOO_LARGE, "FLEXSLOT_BODY_TOO_LARGE", "The body is too large.")
            }
        }
    }
}

// === impl BodySeen ===

impl BodySeen {
    /// Length and hexadecimal SHA-256 of what has been read.
    pub(super) fn summary(&self) -> (u64, String) {
        let sum = self.0.lock().clone();
        (sum.length, ids::hex(&sum.hash.finalize()))
    }

    fn add(&self, data: &[u8]) {
        let mut sum = self.0.lock();
        sum.length += data.len() as u64;
        sum.hash.update(data);
    }
}

// === impl Watched ===

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.seen.add(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
