//! The bodies that pass: streams whose trailers lose what headers lose.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use super::{
    busy::Turn,
    headers,
    upstream::{UpstreamBody, UpstreamError},
    urls::bodies::{self, BodyRewriter},
};

/// Streams the client's body to the upstream. It is as long as the client says, which frames what goes out and decides
/// what is kept.
#[derive(Debug)]
pub(super) struct RequestBody<B> {
    client: B,
    tenant_header: HeaderName,
}

/// Streams the upstream's body to the client. The tenant's turn ends with it.
#[derive(Debug)]
pub struct ResponseBody {
    upstream: Option<(UpstreamBody, HeaderValue)>,
    rewritten: Option<Box<Rewritten>>,
    _turn: Option<Turn>,
}

/// A body on whose way URLs are changed, so that it is not known how long it will be.
#[derive(Debug)]
struct Rewritten {
    rewriter: BodyRewriter,
    /// Came while something was held back.
    trailers: Option<HeaderMap>,
}

// === impl RequestBody ===

impl<B> RequestBody<B> {
    pub(super) const fn new(client: B, tenant_header: HeaderName) -> Self {
        Self { client, tenant_header }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.client).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_trailers() {
                Ok(trailers) => Frame::trailers(headers::outbound_trailers(trailers, &self.tenant_header)),
                Err(frame) => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.client.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.client.size_hint()
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    /// No body.
    pub const fn empty() -> Self {
        Self { upstream: None, rewritten: None, _turn: None }
    }

    /// The answer to a request that was sent with `authorization`.
    pub(super) fn new(upstream: UpstreamBody, authorization: HeaderValue, turn: Turn) -> Self {
        Self { upstream: Some((upstream, authorization)), rewritten: None, _turn: Some(turn) }
    }

    /// The same with its URLs changed.
    pub(super) fn rewritten(self, rewriter: BodyRewriter) -> Self {
        Self { rewritten: Some(Box::new(Rewritten { rewriter, trailers: None })), ..self }
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let Some((upstream, authorization)) = &mut self.upstream else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(upstream).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_trailers() {
                Ok(trailers) => {
                    let mut trailers = headers::inbound_trailers(trailers);
                    headers::withhold(&mut trailers, authorization);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            })
        }))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        loop {
            if let Some(trailers) = self.rewritten.as_mut().and_then(|rewritten| rewritten.trailers.take()) {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            let frame = ready!(self.poll_upstream(cx));
            let Some(rewritten) = &mut self.rewritten else { return Poll::Ready(frame) };
            if let Some(frame) = rewritten.pass(frame) {
                return Poll::Ready(frame);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rewritten.as_ref().is_none_or(|rewritten| rewritten.is_empty())
            && self.upstream.as_ref().is_none_or(|(upstream, _)| upstream.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.rewritten.is_some() && !self.is_end_stream() {
            return SizeHint::default();
        }
        self.upstream.as_ref().map_or(SizeHint::with_exact(0), |(upstream, _)| upstream.size_hint())
    }
}

// === impl Rewritten ===

impl Rewritten {
    /// What the client gets for a frame; `None`: nothing yet.
    fn pass(
        &mut self,
        frame: Option<Result<Frame<Bytes>, UpstreamError>>,
    ) -> Option<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some(Some(Err(error))),
            None if self.rewriter.holds() => return Some(Some(Ok(Frame::data(self.rewriter.end())))),
            None => return Some(None),
        };
        match frame.into_data() {
            Ok(data) => {
                let data = self.rewriter.pass(data);
                (!data.is_empty()).then(|| Some(Ok(Frame::data(data))))
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                bodies::loosen_trailers(&mut trailers);
                if self.rewriter.holds() {
                    self.trailers = Some(trailers);
                    return Some(Some(Ok(Frame::data(self.rewriter.end()))));
                }
                Some(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }

    /// Whether nothing is left of it here.
    fn is_empty(&self) -> bool {
        !self.rewriter.holds() && self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::RequestBody;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use http_body::{Body, Frame};
    use http_body_util::{BodyExt, Full, channel::Channel};

    const HEADER: HeaderName = HeaderName::from_static("x-flexslot-tenant");

    #[test]
    fn a_request_body_stays_as_long_as_the_client_says() {
        let body = RequestBody::new(Full::new(Bytes::from_static(b"abc")), HEADER);
        assert_eq!(body.size_hint().exact(), Some(3));
    }

    #[tokio::test]
    async fn the_trailers_of_a_request_lose_what_headers_lose() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let trailers = [(HEADER, "acme"), (HeaderName::from_static("x-checksum"), "1")];
        let trailers = trailers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        sender.send(Frame::trailers(HeaderMap::from_iter(trailers))).await.unwrap();
        drop(sender);
        let received = RequestBody::new(body, HEADER).collect().await.unwrap();
        assert_eq!(received.trailers().unwrap().keys().collect::<Vec<_>>(), ["x-checksum"]);
    }
}
