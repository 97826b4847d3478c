//! A keep-alive connection with at most one request under way.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::fd::OwnedFd,
    time::Instant,
};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::answer::{Answer, Progress};
use crate::failure::{Failure, Result, Trying};

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    answer: Answer,
    /// When the request that is under way was due, and when it was sent.
    pub(super) due: Instant,
    pub(super) sent: Instant,
}

// === impl Connection ===

impl Connection {
    /// Connects; `epoll` calls it `token`. Answers are to have bodies of `body` bytes.
    pub(super) fn open(port: u16, token: u64, body: u64, epoll: &OwnedFd) -> Result<Self> {
        let what = || format!("connecting to port {port}");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).trying(what)?;
        stream.set_nodelay(true).trying(what)?;
        stream.set_nonblocking(true).trying(what)?;
        epoll::add(epoll, &stream, EventData::new_u64(token), EventFlags::IN).trying(what)?;
        let now = Instant::now();
        Ok(Self { stream, answer: Answer::of(body), due: now, sent: now })
    }

    /// Sends a request that has been due since then. It is small, and goes into an empty socket in one piece.
    pub(super) fn begin(&mut self, message: &[u8], due: Instant) -> Result<()> {
        (self.due, self.sent) = (due, Instant::now());
        match (&self.stream).write(message).trying(|| "sending a request".into())? {
            length if length == message.len() => Ok(()),
            length => Err(Failure::new(format!("a socket took {length} bytes of {}", message.len()))),
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Progress> {
        match (&self.stream).read(buffer) {
            Ok(0) if self.answer.is_begun() => Err(Failure::new("an answer broke off")),
            Ok(0) => Ok(Progress::Closed),
            Ok(length) => self.answer.take(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Progress::More),
            Err(error) => Err(error).trying(|| "reading an answer".into()),
        }
    }
}
