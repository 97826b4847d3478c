//! What a connection has to send: a request's head, and its body as it comes.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::super::{
    connect::BoxedIo,
    form::{Extent, put_field},
};
use crate::proxy::replay::ReplayBody;

/// The sending half of a connection. Not to be printed: it holds credentials.
pub(super) struct Outbox {
    queue: Queue,
    upload: Option<Upload>,
    listener: Listener,
    /// Something was written, and may not be out yet: TLS takes more than the socket does.
    owes: bool,
}

/// A body of which something is still to come.
struct Upload {
    body: ReplayBody,
    coding: Coding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
}

/// Bytes on their way: small ones in one buffer, a large piece of content as it came, and the end of its chunk.
#[derive(Default)]
struct Queue {
    small: BytesMut,
    large: Bytes,
    end: &'static [u8],
}

/// Whether the upstream still takes what is sent. One that answers before it has read an upload may close at once (RFC
/// 9112 section 9.6): then writing fails while its answer waits to be read. What is written from there on goes nowhere,
/// and reading says how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listener {
    There,
    Gone,
}

/// Why sending cannot go on.
#[derive(Debug)]
pub(super) enum SendFault {
    /// The body came to no good end, which it tells by itself, or to another than it announced.
    Body,
    Io(io::Error),
}

/// Content up to this size is copied behind what frames it; what is larger goes out as it came.
const SMALL: usize = 8 * 1024;

// === impl Outbox ===

impl Outbox {
    pub(super) fn new() -> Self {
        Self { queue: Queue::default(), upload: None, listener: Listener::There, owes: false }
    }

    /// Puts a request in, with the head that `write` writes. Whatever there was before [is sent](Self::is_sent).
    pub(super) fn put(&mut self, write: impl FnOnce(&mut BytesMut), body: ReplayBody, extent: Extent) {
        write(&mut self.queue.small);
        let coding = match extent {
            Extent::Open => Coding::Chunked,
            Extent::Length(length) => Coding::Length(length),
            Extent::Unsaid => Coding::Length(0),
        };
        self.upload = (!body.is_absent()).then_some(Upload { body, coding });
    }

    /// Whether nothing is left to send.
    pub(super) fn is_sent(&self) -> bool {
        self.upload.is_none() && !self.owes && !self.queue.has_remaining()
    }

    /// Whether the upstream takes what is sent, as far as is known.
    pub(super) fn is_heard(&self) -> bool {
        self.listener == Listener::There
    }

    /// Gives up the room that a large head took.
    pub(super) fn rest(&mut self) {
        if self.queue.small.capacity() > 2 * SMALL {
            self.queue = Queue::default();
        }
    }

    /// Sends what there is, and what comes, until all [is sent](Self::is_sent), or taken from the client for nobody.
    pub(super) fn poll(&mut self, io: &mut BoxedIo, cx: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        loop {
            self.fill(cx).map_err(|BadBody| SendFault::Body)?;
            if self.queue.has_remaining() && self.listener == Listener::Gone {
                // It may have been full, and then nobody has asked the body for more.
                self.queue = Queue::default();
            } else if self.queue.has_remaining() {
                ready!(self.poll_write(io, cx)).map_err(SendFault::Io)?;
            } else {
                ready!(self.poll_flush(io, cx)).map_err(SendFault::Io)?;
                return if self.upload.is_none() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
        }
    }

    /// Takes of the body what is there, until the queue has enough for one write.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), BadBody> {
        while self.queue.takes_more()
            && let Some(Upload { body, coding }) = &mut self.upload
        {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Err(_))) => return Err(BadBody),
                Poll::Ready(None) => {
                    self.queue.finish(*coding, None)?;
                    self.upload = None;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(content) => self.queue.put(coding, content)?,
                    Err(frame) => {
                        self.queue.finish(*coding, frame.into_trailers().ok())?;
                        self.upload = None;
                    }
                },
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, io: &mut BoxedIo, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.owes = true;
        let written = ready!(pin!(io.write_buf(&mut self.queue)).poll(cx));
        Poll::Ready(match self.heard(written)? {
            Some(0) => Err(io::ErrorKind::WriteZero.into()),
            _ => Ok(()),
        })
    }

    fn poll_flush(&mut self, io: &mut BoxedIo, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.owes && self.listener == Listener::There {
            let flushed = ready!(Pin::new(io).poll_flush(cx));
            self.heard(flushed)?;
        }
        self.owes = false;
        Poll::Ready(Ok(()))
    }

    /// The outcome of writing; `None` where the upstream has stopped listening.
    fn heard<T>(&mut self, outcome: io::Result<T>) -> io::Result<Option<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match outcome {
            Err(error) if [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&error.kind()) => {
                self.listener = Listener::Gone;
                Ok(None)
            }
            outcome => outcome.map(Some),
        }
    }
}

/// A body that is not what it announced, or broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BadBody;

// === impl Queue ===

impl Queue {
    fn takes_more(&self) -> bool {
        self.large.is_empty() && self.end.is_empty() && self.small.len() < SMALL
    }

    /// Puts content in, in its coding.
    fn put(&mut self, coding: &mut Coding, content: Bytes) -> Result<(), BadBody> {
        let length = content.len() as u64;
        match coding {
            // It would end the body.
            Coding::Chunked if length == 0 => return Ok(()),
            Coding::Chunked => {
                self.small.put_slice(format!("{length:x}\r\n").as_bytes());
                self.end = b"\r\n";
            }
            Coding::Length(left) => *left = left.checked_sub(length).ok_or(BadBody)?,
        }
        if content.len() > SMALL {
            self.large = content;
        } else {
            self.small.put_slice(&content);
            self.small.put_slice(std::mem::take(&mut self.end));
        }
        Ok(())
    }

    /// The end of the body.
    fn finish(&mut self, coding: Coding, trailers: Option<HeaderMap>) -> Result<(), BadBody> {
        match (coding, trailers) {
            (Coding::Chunked, trailers) => {
                self.small.put_slice(b"0\r\n");
                for (name, value) in &trailers.unwrap_or_default() {
                    put_field(&mut self.small, name, value.as_bytes());
                }
                self.small.put_slice(b"\r\n");
                Ok(())
            }
            // Only chunks have room for trailers (RFC 9112 section 7.1.2).
            (Coding::Length(0), _) => Ok(()),
            (Coding::Length(_), _) => Err(BadBody),
        }
    }
}

impl Buf for Queue {
    fn remaining(&self) -> usize {
        self.small.len() + self.large.len() + self.end.len()
    }

    fn chunk(&self) -> &[u8] {
        [&self.small[..], &self.large, self.end].into_iter().find(|part| !part.is_empty()).unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let parts = [&self.small[..], &self.large, self.end].into_iter().filter(|part| !part.is_empty());
        slices.iter_mut().zip(parts).map(|(slice, part)| *slice = IoSlice::new(part)).count()
    }

    fn advance(&mut self, count: usize) {
        let small = count.min(self.small.len());
        self.small.advance(small);
        let large = (count - small).min(self.large.len());
        self.large.advance(large);
        if self.large.is_empty() {
            // An empty one still holds what it was a part of.
            self.large = Bytes::new();
        }
        self.end = &self.end[count - small - large..];
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes};
    use http::HeaderMap;

    use super::{BadBody, Coding, Queue, SMALL};

    /// All that is queued, taken in steps of so many bytes.
    fn taken(mut queue: Queue, step: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while queue.has_remaining() {
            let chunk = queue.chunk()[..step.min(queue.chunk().len())].to_vec();
            queue.advance(chunk.len());
            taken.extend(chunk);
        }
        taken
    }

    #[test]
    fn chunks_are_framed_whether_they_are_copied_or_not() {
        for size in [1, SMALL, SMALL + 1] {
            for step in [1, 7, usize::MAX] {
                let mut queue = Queue::default();
                queue.put(&mut Coding::Chunked, Bytes::from(vec![b'x'; size])).unwrap();
                queue.put(&mut Coding::Chunked, Bytes::new()).unwrap();
                let framed = [format!("{size:x}\r\n").as_bytes(), &vec![b'x'; size], b"\r\n"].concat();
                assert!(taken(queue, step) == framed, "{size} bytes in steps of {step}");
            }
        }
    }

    #[test]
    fn all_parts_go_out_in_one_write() {
        let mut queue = Queue::default();
        queue.put(&mut Coding::Chunked, Bytes::from(vec![b'x'; SMALL + 1])).unwrap();
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        assert_eq!(queue.chunks_vectored(&mut slices), 3);
        assert!(!queue.takes_more(), "until it is out");
    }

    #[test]
    fn a_body_is_as_long_as_it_was_announced() {
        let (mut queue, mut coding) = (Queue::default(), Coding::Length(4));
        queue.put(&mut coding, Bytes::from_static(b"dec")).unwrap();
        assert_eq!(queue.finish(coding, None), Err(BadBody), "too short");
        assert_eq!(queue.put(&mut coding, Bytes::from_static(b"ks")), Err(BadBody), "too long");
        queue.put(&mut coding, Bytes::from_static(b"k")).unwrap();
        queue.finish(coding, Some(HeaderMap::new())).unwrap();
        assert_eq!(taken(queue, 2), b"deck");
    }

    #[test]
    fn trailers_end_the_chunks() {
        let mut queue = Queue::default();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        queue.finish(Coding::Chunked, Some(trailers)).unwrap();
        assert_eq!(taken(queue, usize::MAX), b"0\r\nx-sum: 1\r\n\r\n");
    }
}
