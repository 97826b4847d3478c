//! What passes over one connection: a request, and its response, both ways at once.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use tokio::{io::AsyncReadExt, task::coop::unconstrained};

use super::{
    super::{
        connect::BoxedIo,
        error::{ErrorKind, Sent, UpstreamError},
        form,
    },
    content::{Content, CutShort},
    framing::{Framing, Persistence},
    head::{HeadReader, Malformed},
    outbox::{Outbox, SendFault},
};
use crate::proxy::replay::{ReplayBody, Replayer};

/// A connection, and how far it is with its request.
pub(super) struct Connection {
    io: BoxedIo,
    inbox: BytesMut,
    /// How much is read at a time.
    appetite: usize,
    /// Bytes that have come in so far, under TLS.
    received: u64,
    outbox: Outbox,
    reader: HeadReader,
    content: Content,
    persistence: Persistence,
    header_size: usize,
    /// How many interim responses have come for the request.
    interim: u32,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Fault {
    /// The request's body came to no good end.
    Body,
    /// The connection ended, or failed.
    Ended(UpstreamError),
    /// What came is no response.
    Invalid(UpstreamError),
}

/// How much is read at a time, at least and at most.
const APPETITE: usize = 8 * 1024;
const MAX_APPETITE: usize = 64 * 1024;

/// The most interim responses to one request.
const MAX_INTERIM: u32 = 128;

/// With less room than this, a buffer is made larger before it is read into.
const MIN_ROOM: usize = 4 * 1024;

// === impl Connection ===

impl Connection {
    /// Heads of responses, and their trailer sections, may have `header_size` bytes.
    pub(super) fn new(io: BoxedIo, header_size: usize) -> Self {
        Self {
            io,
            inbox: BytesMut::new(),
            appetite: APPETITE,
            received: 0,
            outbox: Outbox::new(),
            reader: HeadReader::new(header_size),
            content: Content::over(),
            persistence: Persistence::Persists,
            header_size,
            interim: 0,
        }
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// The content of the response, as far as it is to come.
    pub(super) const fn content(&self) -> &Content {
        &self.content
    }

    /// Whether all of the request has been sent.
    pub(super) fn is_sent(&self) -> bool {
        self.outbox.is_sent()
    }

    /// Whether the last request has been sent and answered, and another one may follow.
    pub(super) fn is_free(&self) -> bool {
        self.persistence == Persistence::Persists
            && self.content.is_over()
            && self.inbox.is_empty()
            && self.outbox.is_sent()
            && self.outbox.is_heard()
    }

    /// Gives up the room that a large request or response took.
    pub(super) fn rest(&mut self) {
        if self.appetite > APPETITE || self.inbox.capacity() > 2 * APPETITE {
            (self.inbox, self.appetite) = (BytesMut::new(), APPETITE);
        }
        self.outbox.rest();
    }

    /// Looks whether a free connection is still there, without waiting for anything. One on which something has come that
    /// nobody asked for is as good as gone.
    pub(super) fn is_there(&mut self) -> bool {
        // Whoever looks at many connections in one turn has used it up, and would find all the others silent.
        let look = pin!(unconstrained(poll_fn(|cx| self.poll_read(cx))));
        look.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Begins with a request. The connection is free.
    pub(super) fn put(&mut self, write: impl FnOnce(&mut BytesMut), body: ReplayBody, extent: form::Extent) {
        self.interim = 0;
        self.outbox.put(write, body, extent);
    }

    /// Sends the request, and waits for its response's header. An upload need not be over by then.
    pub(super) fn poll_response(
        &mut self,
        method: &Method,
        replayer: &Replayer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Fault>> {
        if let Poll::Ready(Err(fault)) = self.poll_send(cx) {
            return Poll::Ready(Err(fault));
        }
        let response = ready!(self.poll_head(replayer, cx))?;
        let framing = Framing::of(method, &response)?;
        self.content = Content::new(framing, self.header_size);
        self.persistence = Persistence::of(&response, framing);
        Poll::Ready(Ok(response))
    }

    /// Goes on with the upload.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.outbox.poll(&mut self.io, cx).map_err(|fault| match fault {
            SendFault::Body => Fault::Body,
            SendFault::Io(error) => Fault::Ended(ended(error.to_string())),
        })
    }

    /// The header of the final response. `100 Continue` is the one interim response that means something here; the others
    /// end at this hop (RFC 9110 section 15.2).
    fn poll_head(&mut self, replayer: &Replayer, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Fault>> {
        loop {
            while let Some(response) = self.reader.read(&mut self.inbox)? {
                self.interim += 1;
                match response.status() {
                    StatusCode::SWITCHING_PROTOCOLS => {
                        return Poll::Ready(Err(Malformed("101 without having been asked").into()));
                    }
                    status if status.is_informational() && self.interim > MAX_INTERIM => {
                        return Poll::Ready(Err(Malformed("more interim responses than are taken").into()));
                    }
                    StatusCode::CONTINUE => replayer.open_gate(),
                    status if status.is_informational() => {}
                    _ => return Poll::Ready(Ok(response)),
                }
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Err(Fault::Ended(ended("the connection ended before a response")))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::Ended(ended(error.to_string())))),
            }
        }
    }

    /// The next frame of the response's content; `None` at its end, which is known [with the last](Content::is_over)
    /// where that is possible.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        loop {
            match self.content.read(&mut self.inbox) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.content.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Some(Err(malformed.into()))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => {
                    let whole = self.content.close();
                    return Poll::Ready(whole.err().map(|CutShort| Err(ended("the body ended too early"))));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(ended(error.to_string())))),
            }
        }
    }

    /// Reads once; zero bytes are the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.inbox.capacity() - self.inbox.len() < MIN_ROOM {
            self.inbox.reserve(self.appetite);
        }
        let room = self.inbox.capacity() - self.inbox.len();
        let read = ready!(pin!(self.io.read_buf(&mut self.inbox)).poll(cx))?;
        self.received += read as u64;
        // Whoever sends much gets more room at a time.
        if read == room {
            self.appetite = (self.appetite * 2).min(MAX_APPETITE);
        }
        Poll::Ready(Ok(read))
    }
}

fn ended(detail: impl Into<Arc<str>>) -> UpstreamError {
    UpstreamError::new(ErrorKind::Terminated, Sent::MaybeSent, detail)
}

// === impl Malformed ===

impl From<Malformed> for UpstreamError {
    fn from(Malformed(what): Malformed) -> Self {
        Self::new(ErrorKind::HttpProtocol, Sent::MaybeSent, what)
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid(malformed.into())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::Method;
    use tokio::io::{AsyncWriteExt, duplex, join};

    use super::{APPETITE, Connection};
    use crate::proxy::{replay::ReplayBody, upstream::form};

    /// A connection that writes nowhere, as one does whose upstream has shut its side, and reads `answer`.
    async fn answered(answer: &[u8], writes_to: impl tokio::io::AsyncWrite + Send + Unpin + 'static) -> Connection {
        let (theirs, mut upstream) = duplex(1 << 20);
        upstream.write_all(answer).await.unwrap();
        let mut connection = Connection::new(Box::new(join(theirs, writes_to)), 1024);
        let body = ReplayBody::empty();
        let replayer = body.replayer();
        connection.put(|out| out.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n"), body, form::Extent::Unsaid);
        poll_fn(|cx| connection.poll_response(&Method::GET, &replayer, cx)).await.unwrap();
        while poll_fn(|cx| connection.poll_frame(cx)).await.is_some() {}
        connection
    }

    #[tokio::test]
    async fn one_that_is_not_listened_to_any_more_is_not_used_again() {
        let (ours, gone) = duplex(64);
        drop(gone);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert!(!answered(answer, ours).await.is_free());
        assert!(answered(answer, tokio::io::sink()).await.is_free());
    }

    #[tokio::test]
    async fn one_that_rests_has_given_up_what_a_large_response_took() {
        let length = 1 << 19;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let answer = [head.as_bytes(), &vec![b'x'; length]].concat();
        let mut connection = answered(&answer, tokio::io::sink()).await;
        assert!(connection.appetite > APPETITE, "much at a time");
        connection.rest();
        assert_eq!((connection.appetite, connection.inbox.capacity()), (APPETITE, 0));
    }
}
