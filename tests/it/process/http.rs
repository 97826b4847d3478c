//! A small HTTP/1.1 client over a bare socket: sees every byte, costs little, follows nothing.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{PATIENCE, field};

/// What most tests ask for.
pub(crate) const DECKS: &str = "/api/public/v1/decks/";

/// A connection to a sidecar.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the fields as they came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A GET of `path` below the API, for a tenant.
pub(crate) fn get(path: &str, tenant: &str) -> Vec<u8> {
    request("GET", path, tenant, "", b"")
}

/// A request for a tenant, with further `fields` (each line with its end) and a body.
pub(crate) fn request(method: &str, path: &str, tenant: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: {tenant}\r\n{fields}{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// The answer to one request on a connection of its own.
pub(crate) async fn ask(to: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = Connection::open(to).await.unwrap();
    connection.ask(request).await.unwrap()
}

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        self.answer().await
    }

    /// Whether nothing has come that nobody has read.
    pub(crate) fn is_untouched(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Reads one response, the whole of it.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head().await?;
        let mut body = Vec::new();
        self.body(&answer.head, |bytes| body.extend_from_slice(bytes)).await?;
        answer.body = body;
        Ok(answer)
    }

    /// Reads a response's head.
    pub(crate) async fn head(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head[..end]).into_owned();
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                let status = status.ok_or_else(|| io::Error::other(format!("no status line: {head}")))?;
                return Ok(Answer { status, head, body: Vec::new() });
            }
            self.more().await?;
        }
    }

    /// Reads the body that `head` announces, piece by piece.
    pub(crate) async fn body(&mut self, head: &str, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        if let Some(length) = field(head, "content-length") {
            let mut left = length.parse::<usize>().map_err(io::Error::other)?;
            return self.exactly(&mut left, &mut each).await;
        }
        if field(head, "transfer-encoding").is_none() {
            return Ok(());
        }
        loop {
            let size = self.line().await?;
            let mut left = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
            if left == 0 {
                // The trailer section.
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.exactly(&mut left, &mut each).await?;
            self.line().await?;
        }
    }

    async fn exactly(&mut self, left: &mut usize, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while *left > 0 {
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let taken = self.buffer.len().min(*left);
            each(&self.buffer[..taken]);
            self.buffer.drain(..taken);
            *left -= taken;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await??;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The problem code of an answer that the sidecar made.
    pub(crate) fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}
