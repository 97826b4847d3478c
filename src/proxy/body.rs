//! The body of a delivered response.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    busy::Turn,
    headers,
    upstream::{UpstreamBody, UpstreamError},
};

/// Streams the upstream's body to the client. Trailers lose what headers lose. The tenant's turn ends with it.
#[derive(Debug)]
pub struct ResponseBody {
    upstream: Option<UpstreamBody>,
    _turn: Option<Turn>,
}

// === impl ResponseBody ===

impl ResponseBody {
    /// No body.
    pub const fn empty() -> Self {
        Self { upstream: None, _turn: None }
    }

    pub(super) fn new(upstream: UpstreamBody, turn: Turn) -> Self {
        Self { upstream: Some(upstream), _turn: Some(turn) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(upstream).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_trailers() {
                Ok(trailers) => Frame::trailers(headers::inbound_trailers(trailers)),
                Err(frame) => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.upstream.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
