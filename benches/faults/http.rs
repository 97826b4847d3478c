//! A small HTTP/1.1 client over a bare socket, which sees how an answer ends as well as how it begins.

use std::{fmt, io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take to come, head or next piece.
const PATIENCE: Duration = Duration::from_secs(40);

/// As much of a body is kept as a problem document has.
const KEPT: usize = 4096;

static ZEROS: [u8; 65536] = [b'0'; 65536];

/// A request to the sidecar.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) tenant: String,
    /// Further fields, each with its line end.
    pub(crate) fields: String,
    pub(crate) body: usize,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The beginning of the body.
    pub(crate) text: Vec<u8>,
    pub(crate) length: u64,
    pub(crate) ended: Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    BrokenOff,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nobody listens.
    Refused,
    /// The connection has ended before the first byte.
    Closed,
    /// Nothing has come for [`PATIENCE`].
    Late,
    Failed(io::Error),
}

/// A connection to the sidecar.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    /// Answers that have come on it.
    pub(crate) answers: u64,
}

// === impl Request ===

impl Request {
    pub(crate) fn get(tenant: &str) -> Self {
        let path = "/api/public/v1/decks/";
        Self { method: "GET", path, tenant: tenant.to_owned(), fields: String::new(), body: 0 }
    }

    pub(crate) fn post(tenant: &str, body: usize) -> Self {
        Self { method: "POST", body, ..Self::get(tenant) }
    }

    /// Tells the upstream what to do with it.
    pub(crate) fn order(self, order: impl fmt::Display) -> Self {
        Self { fields: format!("{}X-Order: {order}\r\n", self.fields), ..self }
    }

    pub(crate) fn head(&self) -> String {
        let Self { method, path, tenant, fields, body } = self;
        let length = if *body > 0 { format!("Content-Length: {body}\r\n") } else { String::new() };
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: {tenant}\r\n{fields}{length}\r\n")
    }
}

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(port: u16) -> Result<Self, Unanswered> {
        let connecting = timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await;
        let stream = connecting.map_err(|_| Unanswered::Late)??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), answers: 0 })
    }

    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Answer, Unanswered> {
        // What does not get through may have been answered all the same.
        let sent = self.send(request).await;
        match self.answer().await {
            Err(Unanswered::Closed) if sent.is_err() => Err(Unanswered::Closed),
            answer => answer,
        }
    }

    pub(crate) async fn send(&mut self, request: &Request) -> io::Result<()> {
        self.stream.write_all(request.head().as_bytes()).await?;
        let mut left = request.body;
        while left > 0 {
            let piece = left.min(ZEROS.len());
            self.stream.write_all(&ZEROS[..piece]).await?;
            left -= piece;
        }
        Ok(())
    }

    /// Reads an answer to its end.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Unanswered> {
        let mut answer = self.head().await?;
        answer.ended = match self.body(&mut answer).await {
            Ok(()) => Ended::Whole,
            Err(_) => Ended::BrokenOff,
        };
        self.answers += 1;
        Ok(answer)
    }

    /// Reads the head of an answer.
    pub(crate) async fn head(&mut self) -> Result<Answer, Unanswered> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head[..end]).into_owned();
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                let status = status.ok_or_else(|| io::Error::other(format!("no status line: {head}")))?;
                return Ok(Answer { status, head, text: Vec::new(), length: 0, ended: Ended::Whole });
            }
            self.more().await?;
        }
    }

    async fn body(&mut self, answer: &mut Answer) -> Result<(), Unanswered> {
        if let Some(length) = answer.field("content-length").and_then(|length| length.parse().ok()) {
            return self.exactly(length, answer).await;
        }
        if answer.field("transfer-encoding").is_none() {
            return Ok(());
        }
        loop {
            let size = self.line().await?;
            let size = u64::from_str_radix(&size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.exactly(size, answer).await?;
            self.line().await?;
        }
    }

    async fn exactly(&mut self, mut left: u64, answer: &mut Answer) -> Result<(), Unanswered> {
        while left > 0 {
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let taken = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let kept = taken.min(KEPT.saturating_sub(answer.text.len()));
            answer.text.extend_from_slice(&self.buffer[..kept]);
            self.buffer.drain(..taken);
            answer.length += taken as u64;
            left -= taken as u64;
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<String, Unanswered> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Unanswered> {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => Err(Unanswered::Late),
            Ok(Ok(0)) => Err(Unanswered::Closed),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

/// The answer to a request on a connection of its own.
pub(crate) async fn ask(port: u16, request: &Request) -> Result<Answer, Unanswered> {
    Connection::open(port).await?.ask(request).await
}

// === impl Answer ===

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The code of a problem that the sidecar made.
    pub(crate) fn code(&self) -> Option<String> {
        self.field("proxy-status").filter(|status| status.contains("error="))?;
        serde_json::from_slice::<serde_json::Value>(&self.text).ok()?["code"].as_str().map(str::to_owned)
    }

    pub(crate) fn is_good(&self) -> bool {
        self.status == 200 && self.ended == Ended::Whole
    }
}

/// As a table says it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(code) = self.code() {
            write!(f, " `{code}`")?;
        }
        match self.ended {
            Ended::Whole => Ok(()),
            Ended::BrokenOff => f.write_str(", broken off"),
        }
    }
}

// === impl Unanswered ===

impl From<io::Error> for Unanswered {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error),
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Closed => f.write_str("closed without an answer"),
            Self::Late => write!(f, "nothing for {} s", PATIENCE.as_secs()),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
