//! A keep-alive connection with at most one request under way.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::fd::OwnedFd,
    time::Instant,
};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::answer::{Answer, Progress};
use crate::{
    failure::{Failure, Result, Trying},
    work::{Work, piece},
};

#[derive(Debug)]
pub(super) struct Connection {
    port: u16,
    stream: TcpStream,
    token: u64,
    answer: Answer,
    sent: u64,
    waits_to_write: bool,
    /// When the request that is under way was due.
    pub(super) due: Instant,
}

/// The bytes of a request: those at its front as they are, and pieces for what is longer than that.
#[derive(Debug)]
pub(super) struct Message {
    front: Vec<u8>,
    length: u64,
}

/// Bodies up to this size go out in one piece with their head, as clients send them.
const SMALL: u64 = 65536;

// === impl Message ===

impl Message {
    pub(super) fn new(work: Work, authorized: bool) -> Self {
        let mut front = work.head(authorized).into_bytes();
        let length = front.len() as u64 + work.sends();
        if work.sends() <= SMALL {
            front.extend_from_slice(piece(0, work.sends()));
        }
        Self { front, length }
    }

    /// What is to be sent after `sent` bytes; empty at the end.
    fn rest(&self, sent: u64) -> &[u8] {
        let front = self.front.len() as u64;
        match usize::try_from(sent) {
            Ok(at) if sent < front => &self.front[at..],
            _ if sent < self.length => piece(sent - front, self.length - front),
            _ => &[],
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Connects; `epoll` calls it `token`.
    pub(super) fn open(port: u16, token: u64, work: Work, epoll: &OwnedFd) -> Result<Self> {
        let stream = connect(port, token, epoll)?;
        let (answer, due) = (Answer::of(work.receives()), Instant::now());
        Ok(Self { port, stream, token, answer, sent: 0, waits_to_write: false, due })
    }

    /// Sends the request once more on a new connection, as any client does whose kept-alive one was closed before its
    /// answer began (RFC 9112 section 9.3.1).
    pub(super) fn again(&mut self, message: &Message, epoll: &OwnedFd) -> Result<()> {
        // Closing the old one takes it out of the epoll.
        self.stream = connect(self.port, self.token, epoll)?;
        (self.sent, self.waits_to_write) = (0, false);
        self.write(message, epoll)
    }

    /// Begins a request that has been due since then.
    pub(super) fn begin(&mut self, message: &Message, due: Instant, epoll: &OwnedFd) -> Result<()> {
        (self.sent, self.due) = (0, due);
        self.write(message, epoll)
    }

    /// Writes as much as the socket takes, and waits for it to take more where that was not all.
    pub(super) fn write(&mut self, message: &Message, epoll: &OwnedFd) -> Result<()> {
        let what = || "sending a request".to_owned();
        let mut blocked = false;
        while !blocked && self.sent < message.length {
            match (&self.stream).write(message.rest(self.sent)) {
                Ok(length) => self.sent += length as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => blocked = true,
                Err(error) => return Err(error).trying(what),
            }
        }
        if blocked != self.waits_to_write {
            let interest = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.stream, EventData::new_u64(self.token), interest).trying(what)?;
            self.waits_to_write = blocked;
        }
        Ok(())
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Progress> {
        match (&self.stream).read(buffer) {
            Ok(0) if self.answer.is_begun() => Err(Failure::new("an answer broke off")),
            Ok(0) => Ok(Progress::Closed),
            Ok(length) => match self.answer.take(&buffer[..length])? {
                Progress::Complete if self.waits_to_write => Err(Failure::new("an answer before the request's end")),
                progress => Ok(progress),
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Progress::More),
            Err(error) => Err(error).trying(|| "reading an answer".into()),
        }
    }
}

fn connect(port: u16, token: u64, epoll: &OwnedFd) -> Result<TcpStream> {
    let what = || format!("connecting to port {port}");
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).trying(what)?;
    stream.set_nodelay(true).trying(what)?;
    stream.set_nonblocking(true).trying(what)?;
    epoll::add(epoll, &stream, EventData::new_u64(token), EventFlags::IN).trying(what)?;
    Ok(stream)
}
