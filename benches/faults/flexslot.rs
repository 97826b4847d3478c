//! A stand-in of Flexslot that does with each request what the request's `X-Order` says: answers, is slow, refuses the
//! token, breaks off. Its token endpoint is strict, and can be told to fail.

use std::{
    collections::HashSet,
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::{
    failure::{Result, Trying},
    grants::{Grants, Judgement},
    http::find,
    order::Order,
};

/// The listening stand-in; it stops when it is dropped.
pub(crate) struct Flexslot {
    pub(crate) port: u16,
    pub(crate) state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) grants: Grants,
    /// What it shows over TLS; without TLS if nothing.
    pub(crate) certificate: Mutex<Option<Arc<ServerConfig>>>,
    /// Connections at the moment, and how many there have been.
    pub(crate) open: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    /// Bytes of bodies that were sent as fast as the other side takes them.
    pub(crate) flooded: AtomicU64,
    /// The numbers of requests that came whole.
    seen: Mutex<HashSet<u64>>,
}

/// A request as it came.
struct Came {
    head: String,
    body: Vec<u8>,
}

/// Whether the connection goes on.
enum After {
    Next,
    End,
}

static PIECE: [u8; 65536] = [b'x'; 65536];

// === impl Flexslot ===

impl Flexslot {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.trying(|| "the upstream".into())?;
        let port = listener.local_addr().trying(|| "the upstream".into())?.port();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                // Out of descriptors for a moment, at worst.
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::spawn(Arc::clone(&shared).welcome(stream));
            }
        });
        Ok(Self { port, state, task })
    }
}

impl Drop for Flexslot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl State ===

impl State {
    /// Whether a request with this number has come.
    pub(crate) fn saw(&self, number: u64) -> bool {
        self.seen.lock().contains(&number)
    }

    async fn welcome(self: Arc<Self>, stream: TcpStream) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let certificate = self.certificate.lock().clone();
        // However a conversation ends, the other side has seen it.
        let _ = match certificate {
            None => {
                // An end is a reset, so that what breaks off does so without warning.
                let _ = stream.set_nodelay(true).and_then(|()| stream.set_zero_linger());
                self.talk(stream).await
            }
            Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                Ok(stream) => self.talk(stream).await,
                Err(error) => Err(error),
            },
        };
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    async fn talk<IO: AsyncRead + AsyncWrite + Unpin>(&self, mut io: IO) -> io::Result<()> {
        let mut buffer = Vec::new();
        while let Some(came) = read(&mut io, &mut buffer).await? {
            let after = match came.head.split(' ').nth(1).unwrap_or_default() {
                path if path.ends_with("/oauth/token") => self.token(&mut io, &came.body).await?,
                path if path.ends_with("/oauth/introspect") => {
                    let about = self.grants.introspect(&came.body);
                    json(&mut io, 200, "", &about).await?
                }
                _ => self.resource(&mut io, &came).await?,
            };
            if let After::End = after {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn token<IO: AsyncWrite + Unpin>(&self, io: &mut IO, body: &[u8]) -> io::Result<After> {
        let judgement = self.grants.refresh(body);
        match judgement {
            Judgement::Pair { pair, late } => {
                sleep(late).await;
                json(io, 200, "Cache-Control: no-store\r\n", &pair).await
            }
            Judgement::Error(status, fields, body) => json(io, status, fields, &body).await,
            Judgement::Cut => Ok(After::End),
        }
    }

    async fn resource<IO: AsyncWrite + Unpin>(&self, io: &mut IO, came: &Came) -> io::Result<After> {
        let order = field(&came.head, "x-order").map(Order::of).unwrap_or_default();
        let number = field(&came.head, "x-number").and_then(|number| number.parse().ok());
        let token = field(&came.head, "authorization").and_then(|value| value.strip_prefix("Bearer "));
        number.map(|number| self.seen.lock().insert(number));
        if order == Order::Unauthorized {
            self.grants.refuse(token.unwrap_or_default(), number);
        }
        if !self.grants.admits(token.unwrap_or_default()) {
            let challenge = "WWW-Authenticate: Bearer realm=\"flexslot\", error=\"invalid_token\"\r\n";
            return json(io, 401, challenge, r#"{"code":"invalid_token"}"#).await;
        }
        match order {
            Order::Serve | Order::Unauthorized => json(io, 200, "", r#"{"count":0,"results":[]}"#).await,
            Order::Status(status) => json(io, status, "", r#"{"code":"ordered"}"#).await,
            Order::Slow(time) => {
                sleep(time).await;
                json(io, 200, "", r#"{"count":0,"results":[]}"#).await
            }
            Order::Reset => Ok(After::End),
            Order::CutBody => {
                head(io, 200, 2 * PIECE.len() as u64).await?;
                io.write_all(&PIECE).await?;
                io.flush().await?;
                // Else the reset would take back what is on its way.
                sleep(Duration::from_millis(100)).await;
                Ok(After::End)
            }
            Order::Body(length) => self.body(io, length).await,
            Order::Flood => self.body(io, 1 << 40).await,
        }
    }

    async fn body<IO: AsyncWrite + Unpin>(&self, io: &mut IO, length: u64) -> io::Result<After> {
        head(io, 200, length).await?;
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE.len());
            let written = io.write(&PIECE[..most]).await? as u64;
            self.flooded.fetch_add(written, Ordering::Relaxed);
            left -= written;
        }
        io.flush().await?;
        Ok(After::Next)
    }
}

// === the wire ===

/// The next request; `None` at the end of the connection.
async fn read<IO: AsyncRead + Unpin>(io: &mut IO, buffer: &mut Vec<u8>) -> io::Result<Option<Came>> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if io.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let length = field(&head, "content-length").map_or(Ok(0), str::parse::<usize>).map_err(io::Error::other)?;
    if field(&head, "transfer-encoding").is_some() {
        return Err(io::Error::other("every body here has its length announced"));
    }
    let (mut body, mut left) = (Vec::new(), length);
    while left > 0 {
        // Whoever stops in the middle is given up.
        if buffer.is_empty() && timeout(Duration::from_secs(120), io.read_buf(buffer)).await?? == 0 {
            return Ok(None);
        }
        let taken = left.min(buffer.len());
        // Forms are short; of an upload nobody wants to know more.
        body.extend_from_slice(&buffer[..taken.min(4096_usize.saturating_sub(body.len()))]);
        buffer.drain(..taken);
        left -= taken;
    }
    Ok(Some(Came { head, body }))
}

async fn head<IO: AsyncWrite + Unpin>(io: &mut IO, status: u16, length: u64) -> io::Result<()> {
    let head =
        format!("HTTP/1.1 {status} -\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n");
    io.write_all(head.as_bytes()).await
}

async fn json<IO: AsyncWrite + Unpin>(io: &mut IO, status: u16, fields: &str, body: &str) -> io::Result<After> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n");
    io.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
    io.flush().await?;
    Ok(After::Next)
}

/// The value of a field of a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
