//! The body of every response, with the request's record on board.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::access_log::Record;
use crate::proxy::{ResponseBody, upstream::UpstreamError};

/// What goes to the client. The record ends with the body.
#[derive(Debug)]
pub struct Outgoing {
    content: Content,
    record: Option<Box<Record>>,
}

/// Where the bytes come from.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are the upstream's, and a box would be one more for each")]
pub enum Content {
    Own(Full<Bytes>),
    Upstream(ResponseBody),
}

// === impl Outgoing ===

impl Outgoing {
    /// A body whose end completes `record`.
    pub fn new(content: Content, record: Option<Box<Record>>) -> Self {
        let mut body = Self { content, record };
        if body.is_end_stream() {
            body.complete();
        }
        body
    }

    fn complete(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.complete();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let frame = match &mut self.content {
            Content::Own(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
            Content::Upstream(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        match &frame {
            None => self.complete(),
            Some(Ok(frame)) => {
                if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
                    record.bytes_sent += data.len() as u64;
                }
                if self.is_end_stream() {
                    self.complete();
                }
            }
            Some(Err(error)) => {
                if let Some(mut record) = self.record.take() {
                    record.facts.cause = Some(error.to_string());
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(body) => body.is_end_stream(),
            Content::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(body) => body.size_hint(),
            Content::Upstream(body) => body.size_hint(),
        }
    }
}
