//! A byte relay, the floor: one thread copies between each connection and one to the upstream, and looks at nothing.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::OwnedFd,
};

use rustix::{
    event::epoll::{self, Event, EventData, EventFlags},
    io::Errno,
};

use crate::{
    failure::{Failure, Result, Trying},
    process,
};

const BUFFER: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;

/// One of two sockets. They stand beside each other: 0 and 1, 2 and 3, and so on.
#[derive(Debug)]
struct Half {
    stream: TcpStream,
    /// What came from the other one and did not fit into the socket. While there is some, the other one is not read.
    held: Vec<u8>,
}

#[derive(Debug)]
struct Relay {
    epoll: OwnedFd,
    upstream: u16,
    halves: Vec<Option<Half>>,
    buffer: Vec<u8>,
}

/// Relays from one port to another until it is killed.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let ports: Vec<u16> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let [from, upstream] = ports[..] else { return Err(Failure::new("relay FROM TO: two ports")) };
    process::raise_file_limit()?;
    let what = || format!("relaying from port {from}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, from)).trying(what)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).trying(what)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).trying(what)?;
    let mut relay = Relay { epoll, upstream, halves: Vec::new(), buffer: vec![0; BUFFER] };
    let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 256];
    loop {
        let count = match epoll::wait(&relay.epoll, &mut events, None) {
            Err(Errno::INTR) => continue, // strace has looked in
            count => count.trying(what)?,
        };
        for event in &events[..count] {
            let (token, flags) = (event.data.u64(), event.flags);
            match usize::try_from(token) {
                Ok(index) if token != LISTENER => relay.progress(index, flags),
                _ => listener.accept().and_then(|(client, _)| relay.open(client)).trying(what)?,
            }
        }
    }
}

// === impl Relay ===

impl Relay {
    fn open(&mut self, client: TcpStream) -> std::io::Result<()> {
        let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream))?;
        for stream in [client, upstream] {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&self.epoll, &stream, EventData::new_u64(self.halves.len() as u64), EventFlags::IN)?;
            self.halves.push(Some(Half { stream, held: Vec::new() }));
        }
        Ok(())
    }

    /// Closes both sockets when one is closed, or fails.
    fn progress(&mut self, index: usize, flags: EventFlags) {
        let done = match flags.contains(EventFlags::OUT) {
            true => self.flush(index),
            false => self.copy(index),
        };
        if done.is_err() {
            (self.halves[index], self.halves[index ^ 1]) = (None, None);
        }
    }

    fn copy(&mut self, index: usize) -> std::io::Result<()> {
        let Some(from) = &self.halves[index] else { return Ok(()) };
        let length = match (&from.stream).read(&mut self.buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            read => read?,
        };
        let Some(to) = &mut self.halves[index ^ 1] else { return Ok(()) };
        let written = write(&to.stream, &self.buffer[..length])?;
        if written < length {
            to.held.extend_from_slice(&self.buffer[written..length]);
            self.wait_for(index, EventFlags::empty())?;
            self.wait_for(index ^ 1, EventFlags::OUT)?;
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> std::io::Result<()> {
        let Some(to) = &mut self.halves[index] else { return Ok(()) };
        let written = write(&to.stream, &to.held)?;
        to.held.drain(..written);
        if to.held.is_empty() {
            self.wait_for(index, EventFlags::IN)?;
            self.wait_for(index ^ 1, EventFlags::IN)?;
        }
        Ok(())
    }

    fn wait_for(&self, index: usize, flags: EventFlags) -> std::io::Result<()> {
        let Some(half) = &self.halves[index] else { return Ok(()) };
        Ok(epoll::modify(&self.epoll, &half.stream, EventData::new_u64(index as u64), flags)?)
    }
}

/// How much was taken, which may be nothing.
fn write(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
