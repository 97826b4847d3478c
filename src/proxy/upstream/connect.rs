//! From an origin to a connection that speaks HTTP: name, address, TCP, tunnel, TLS.

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use http::Uri;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::model::Origin;

use super::{
    error::{ErrorKind, Sent, UpstreamError},
    lookup::Lookups,
    tls::handshake_error,
    tunnel::{OutboundProxy, ProxyScheme},
};

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any [`Io`].
pub type BoxedIo = Box<dyn Io>;

/// Host and port, as dialled. IPv6 literals stand without brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

/// Opens byte streams: the network, handed in.
#[async_trait]
pub trait Dial: fmt::Debug + Send + Sync + 'static {
    /// A stream to `target`.
    ///
    /// # Errors
    ///
    /// Says whether it was the name or the connection that failed.
    async fn dial(&self, target: &Target) -> Result<BoxedIo, DialError>;
}

/// Why no stream could be opened.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Dns(io::Error),
    /// No address takes connections.
    Connect(io::Error),
}

/// The system's resolver and TCP. Addresses are tried alternating between the families, each 250 ms after the one
/// before or as soon as that one failed, and the first connection wins (RFC 8305 section 5).
#[derive(Debug, Clone, Default)]
pub struct TcpDialer {
    lookups: Arc<Lookups>,
}

/// How long an address has before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// Makes connections to one origin.
pub(super) struct Connector {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) target: Target,
    pub(super) proxy: Option<OutboundProxy>,
    /// `None` for `http://`.
    pub(super) tls: Option<Tls>,
    pub(super) timeout: Duration,
    /// Whether the last attempt failed, so that the log tells of an outage once.
    pub(super) failing: AtomicBool,
    /// How many connections have been made, for all pools.
    pub(super) made: AtomicU32,
}

pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

// === impl Target ===

impl Target {
    /// That of a proxy, from its absolute URI; `None` where it has no host or an unknown scheme.
    pub fn of(uri: &Uri) -> Option<Self> {
        let port = match (uri.port_u16(), uri.scheme_str()?) {
            (Some(port), _) => port,
            (None, "https") => 443,
            (None, "http") => 80,
            (None, _) => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port })
    }
}

impl From<&Origin> for Target {
    fn from(origin: &Origin) -> Self {
        let host = origin.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Self { host, port: origin.port() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

// === impl TcpDialer ===

#[async_trait]
impl Dial for TcpDialer {
    async fn dial(&self, target: &Target) -> Result<BoxedIo, DialError> {
        let found = self.lookups.addresses(target).await.map_err(DialError::Dns)?;
        let stream = connect_any(alternate(found.iter().copied())).await.map_err(DialError::Connect)?;
        // A lost option costs latency, not correctness.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }
}

/// The families in turn, beginning with that of the resolver's first answer.
fn alternate(found: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let found: Vec<_> = found.collect();
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut all = VecDeque::with_capacity(first.len() + second.len());
    while !(first.is_empty() && second.is_empty()) {
        all.extend(first.pop_front());
        all.extend(second.pop_front());
    }
    all
}

async fn connect_any(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            finished = attempts.join_next() => match finished {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = error,
                Some(Err(lost)) => failure = lost.into(),
                None => return Err(failure),
            },
            () = sleep(STAGGER), if !addresses.is_empty() => {}
        }
    }
}

// === impl Connector ===

impl Connector {
    /// A new connection, within `connect_timeout` all in all.
    pub(super) async fn connect(&self) -> Result<(BoxedIo, Protocol), UpstreamError> {
        let outcome = self.in_time(self.establish()).await;
        let was_failing = self.failing.swap(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Err(error) if !was_failing => {
                tracing::warn!(%error, look_at = error.look_at(), "Flexslot cannot be reached");
            }
            Ok(_) if was_failing => tracing::info!("Flexslot can be reached again"),
            _ => {}
        }
        outcome
    }

    /// What `step` comes to within `connect_timeout`.
    pub(super) async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        match timeout(self.timeout, step).await {
            Ok(result) => result,
            Err(_) => {
                let detail = format!("nothing within {} ms", self.timeout.as_millis());
                Err(UpstreamError::new(ErrorKind::ConnectTimeout, Sent::NotSent, detail).at(&self.target))
            }
        }
    }

    async fn establish(&self) -> Result<(BoxedIo, Protocol), UpstreamError> {
        let Some(tls) = &self.tls else { return Ok((self.dial(&self.target).await?, Protocol::Http1)) };
        let io = match &self.proxy {
            None => self.dial(&self.target).await?,
            Some(proxy) => {
                let io = self.reach(proxy, tls).await?;
                proxy.tunnel(io, &self.target).await.map_err(|error| error.at(&proxy.target))?
            }
        };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let stream = connector.connect(tls.name.clone(), io).await;
        let stream = stream.map_err(|error| handshake_error(&error).at(&self.target))?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((Box::new(stream), protocol))
    }

    /// The way to the proxy itself, which may need TLS of its own.
    async fn reach(&self, proxy: &OutboundProxy, tls: &Tls) -> Result<BoxedIo, UpstreamError> {
        let io = self.dial(&proxy.target).await?;
        if proxy.scheme == ProxyScheme::Http {
            return Ok(io);
        }
        let mut config = ClientConfig::clone(&tls.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(proxy.target.host.clone())
            .map_err(|error| UpstreamError::connect(ErrorKind::TlsProtocol, &error).at(&proxy.target))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, io).await;
        Ok(Box::new(stream.map_err(|error| handshake_error(&error).at(&proxy.target))?))
    }

    async fn dial(&self, target: &Target) -> Result<BoxedIo, UpstreamError> {
        self.dial.dial(target).await.map_err(|error| {
            let error = match error {
                DialError::Dns(cause) => UpstreamError::connect(ErrorKind::Dns, &cause),
                DialError::Connect(cause) => UpstreamError::connect(ErrorKind::ConnectRefused, &cause),
            };
            error.at(target)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::net::TcpListener;

    use super::{SocketAddr, Target, alternate, connect_any};

    #[test]
    fn the_families_take_turns() {
        let v4 = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let v6 = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        assert_eq!(alternate([v6(1), v6(2), v6(3), v4(4)].into_iter()), [v6(1), v4(4), v6(2), v6(3)]);
        assert_eq!(alternate([v4(1), v4(2), v6(3)].into_iter()), [v4(1), v6(3), v4(2)]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = listener.local_addr().unwrap();
        assert_eq!(connect_any([closed, open].into()).await.unwrap().peer_addr().unwrap(), open);
        assert!(connect_any([closed].into()).await.is_err());
        assert!(connect_any([].into()).await.is_err());
    }

    #[test]
    fn a_target_has_the_schemes_port_and_brackets_only_when_shown() {
        let target = Target::of(&"https://[::1]".parse().unwrap()).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 443));
        assert_eq!(target.to_string(), "[::1]:443");
        assert_eq!(Target::of(&"http://host:81".parse().unwrap()).unwrap().to_string(), "host:81");
    }
}
