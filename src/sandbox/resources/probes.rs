//! Test-only endpoints below `/api/public/v1/sandbox/`; Flexslot has nothing like them. They need a credential, and no
//! scope.
//!
//! - `echo`: any method; tells in JSON how the request arrived.
//! - `mirror`: any method; sends the body back while it comes, trailers included.
//! - `stream?size=&chunk=`: `size` bytes without `Content-Length`, in chunks of `chunk` bytes, then the trailer
//!   `sandbox-trailer: end`.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use serde_json::json;

use crate::sandbox::{
    answer::{self, Answer, AnswerExt},
    call::Call,
    log::visible,
    params::Params,
};

/// Chunks of one byte value, then a trailer.
struct Chunks {
    left: u64,
    chunk: u64,
    trailer: Option<HeaderMap>,
}

pub(super) async fn handle(call: &mut Call, rest: &[&str]) -> Answer {
    match *rest {
        ["echo"] => echo(call).await,
        ["mirror"] => mirror(call),
        ["stream"] => stream(&Params::parse(&call.query).unwrap_or_default()),
        _ => answer::not_found(),
    }
}

async fn echo(call: &mut Call) -> Answer {
    let mut trailers = HeaderMap::new();
    if let Some(mut body) = call.take_body() {
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_trailers) {
                Ok(Ok(fields)) => trailers.extend(fields),
                Ok(Err(_data)) => {}
                Err(_) => return answer::error(StatusCode::BAD_REQUEST, "FLEXSLOT_PARSE_ERROR", "The body broke off."),
            }
        }
    }
    let (length, sha256) = call.seen.summary();
    let value = json!({
        "method": call.method.as_str(), "target": call.target, "version": format!("{:?}", call.version),
        "headers": visible(&call.headers), "trailers": visible(&trailers),
        "body": {"length": length, "sha256": sha256},
    });
    answer::json(StatusCode::OK, &value)
}

fn mirror(call: &mut Call) -> Answer {
    let content_type = call.headers.get(header::CONTENT_TYPE).cloned();
    let body = match call.take_body() {
        Some(body) => body.map_err(io::Error::other).boxed_unsync(),
        None => answer::body(Bytes::new()),
    };
    let mut answer = answer::of(StatusCode::OK, body);
    answer.headers_mut().extend(content_type.map(|value| (header::CONTENT_TYPE, value)));
    answer
}

fn stream(params: &Params) -> Answer {
    let mut trailer = HeaderMap::new();
    trailer.insert("sandbox-trailer", HeaderValue::from_static("end"));
    let chunks = Chunks {
        left: params.number("size").unwrap_or(64 << 10),
        chunk: params.number("chunk").unwrap_or(8 << 10).clamp(1, 1 << 20),
        trailer: Some(trailer),
    };
    let body = chunks.map_err(|never| match never {}).boxed_unsync();
    answer::of(StatusCode::OK, body)
        .with(header::CONTENT_TYPE, "application/octet-stream")
        .with(header::TRAILER, "sandbox-trailer")
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(self.trailer.take().map(|trailer| Ok(Frame::trailers(trailer))));
        }
        let size = self.chunk.min(self.left);
        self.left -= size;
        // `chunk` is at most 1 MiB.
        let bytes = vec![b'.'; usize::try_from(size).unwrap_or_default()];
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }
}
