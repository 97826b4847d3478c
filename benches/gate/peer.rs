//! Both sides of the sidecar: an upstream and a client, in plain blocking code.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// Answers every request on every connection alike.
pub(crate) struct Upstream {
    pub(crate) port: u16,
}

/// A sidecar in a process of its own.
pub(crate) struct Sidecar {
    child: Child,
    pub(crate) port: u16,
}

/// What a client such as curl sends.
const REQUEST: &[u8] =
    b"GET /api/public/v1/decks/42?page=2 HTTP/1.1\r\nHost: localhost:3539\r\nUser-Agent: curl/8.5.0\r\n\
    Accept: */*\r\nAccept-Encoding: gzip\r\nX-Flexslot-Tenant: acme\r\n\r\n";

/// The body of an answer, in bytes.
const BODY: usize = 1024;

// === impl Upstream ===

impl Upstream {
    /// Listens until the process ends.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that ends badly ends the measurement by itself.
                thread::spawn(move || answer(stream));
            }
        });
        Ok(Self { port })
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\n\
         Content-Length: {BODY}\r\nConnection: keep-alive\r\nVary: Accept\r\nX-Request-Id: 1f0b2c\r\n\r\n"
    );
    let response = [head.as_bytes(), &[b'x'; BODY]].concat();
    loop {
        read_until_end_of_head(&mut stream)?;
        stream.write_all(&response)?;
    }
}

/// Reads a message's head, which is the last thing that has been sent so far.
fn read_until_end_of_head(stream: &mut TcpStream) -> io::Result<()> {
    let (mut buffer, mut filled) = ([0; 8192], 0);
    while !buffer[..filled].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => filled += more,
        }
    }
    Ok(())
}

// === impl Sidecar ===

impl Sidecar {
    /// Starts one under `tool`, in front of the upstream at `port`.
    pub(crate) fn start(tool: &[&str], program: &Path, port: u16) -> io::Result<Self> {
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other(format!("{0} is not installed: apt-get install {0}", tool[0])),
            _ => error,
        };
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).arg(program).arg("sidecar").arg(port.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(missing)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let port = line.trim().parse().map_err(|_| io::Error::other(format!("the sidecar did not start: {line}")))?;
        Ok(Self { child, port })
    }

    /// Has it end by itself.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        match self.child.wait()? {
            status if status.success() => Ok(()),
            status => Err(io::Error::other(format!("the sidecar ended with {status}"))),
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // One that has ended is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends so many requests, one after the other on one connection. Every answer has to be the upstream's.
pub(crate) fn ask(port: u16, requests: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    for _ in 0..requests {
        stream.write_all(REQUEST)?;
        let mut filled = 0;
        let end = loop {
            let found = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = found {
                break end + 4;
            }
            filled += some(stream.read(&mut buffer[filled..])?)?;
        };
        if !buffer.starts_with(b"HTTP/1.1 200 ") {
            let answer = String::from_utf8_lossy(&buffer[..filled]).into_owned();
            return Err(io::Error::other(format!("not the upstream's answer: {answer}")));
        }
        while filled < end + BODY {
            filled += some(stream.read(&mut buffer[filled..])?)?;
        }
    }
    Ok(())
}

fn some(read: usize) -> io::Result<usize> {
    if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}
