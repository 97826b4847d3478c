//! The connection to the server: made when it is needed, shared by all operations, and made anew when it breaks.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisResult, ScriptInvocation,
    aio::MultiplexedConnection,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    address::{Address, Transport},
    fault::Fault,
};
use crate::store::{OpenError, turns::turn};

/// The way to one server.
pub(super) struct Link {
    address: Address,
    /// Set where the address asks for TLS.
    tls: Option<TlsConnector>,
    /// The most that one operation may take, with everything that belongs to it.
    limit: Duration,
    live: Mutex<Option<Arc<Live>>>,
    /// How many there have been.
    connections: AtomicU64,
    /// Held by whoever connects, so that a thousand operations make one connection.
    connecting: tokio::sync::Mutex<()>,
}

/// What the server is asked.
pub(super) enum Ask<'a> {
    Script(&'a ScriptInvocation<'a>),
    Command(&'a Cmd),
}

/// Whether an operation whose connection broke may be sent once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It comes to the same when it is done twice.
    Once,
    /// It may have been done, and a second time would be told that it was not.
    Never,
}

/// A connection, and the task that reads and writes it. The task ends with it, whatever state the network is in.
pub(super) struct Live {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
}

// === impl Link ===

impl Link {
    /// The way to the server at `address`, over `tls` if there is any. It is not asked anything yet.
    pub(super) fn new(address: Address, tls: Option<TlsConnector>, limit: Duration) -> Self {
        let (live, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { address, tls, limit, live, connections: AtomicU64::new(0), connecting }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// How many connections were made so far. An answer that is there came over one of them.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Asks the server, and waits for its answer up to the limit.
    pub(super) async fn ask<T: FromRedisValue>(&self, what: Ask<'_>, repeat: Repeat) -> Result<T, Fault> {
        let deadline = Instant::now() + self.limit;
        let mut repeat = repeat;
        loop {
            let connecting = timeout_at(deadline, self.live(deadline)).await;
            let live = connecting.unwrap_or(Err(Fault::Late(self.limit)))?;
            let fault = match timeout_at(deadline, what.put_to(live.connection.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Fault::from(error),
                Err(_) => Fault::Late(self.limit),
            };
            if fault.ends_connection() {
                self.forget(&live);
            }
            if (&fault, repeat) != (&Fault::Lost, Repeat::Once) {
                return Err(fault);
            }
            repeat = Repeat::Never;
        }
    }

    async fn live(&self, deadline: Instant) -> Result<Arc<Live>, Fault> {
        if let Some(live) = self.working() {
            return Ok(live);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(live) = self.working() {
            return Ok(live);
        }
        let live = Arc::new(self.connect(deadline).await?);
        self.connections.fetch_add(1, Ordering::Relaxed);
        *self.live.lock() = Some(Arc::clone(&live));
        Ok(live)
    }

    /// A connection that the server has closed is known to be of no use before anything is sent over it.
    fn working(&self) -> Option<Arc<Live>> {
        self.live.lock().as_ref().filter(|live| !live.driver.is_finished()).cloned()
    }

    /// Uses `broken` no more. Operations that still wait on it go on waiting, each as long as it may.
    fn forget(&self, broken: &Arc<Live>) {
        let mut live = self.live.lock();
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(live, broken)) {
            *live = None;
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Live, Fault> {
        let found = lookup_host((self.address.host.as_str(), self.address.port)).await.map_err(failed)?;
        self.connect_to_one_of(&found.collect::<Vec<_>>(), deadline).await
    }

    /// To the first that answers. One that is silent, a host's IPv6 address without a route for instance, leaves time
    /// for the others.
    pub(super) async fn connect_to_one_of(&self, found: &[SocketAddr], deadline: Instant) -> Result<Live, Fault> {
        let mut fault = Fault::Connect("its name has no address".into());
        for (tried, address) in found.iter().enumerate() {
            let connecting = timeout(turn(deadline, found.len() - tried), self.connect_to(*address)).await;
            fault = match connecting.unwrap_or(Err(Fault::Late(self.limit))) {
                Err(fault @ (Fault::Connect(_) | Fault::Lost | Fault::Late(_))) => fault,
                answered => return answered,
            };
        }
        Err(fault)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Live, Fault> {
        let tcp = TcpStream::connect(address).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let Some(tls) = &self.tls else { return self.greet(tcp).await };
        let name = ServerName::try_from(self.address.host.clone())
            .map_err(|_| Fault::Connect("the host's name cannot stand in a certificate".into()))?;
        self.greet(tls.connect(name, tcp).await.map_err(|error| Fault::of_handshake(&error))?).await
    }

    /// Says who we are and which database we mean.
    async fn greet(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Live, Fault> {
        // The library would log in as well, but does not say why it was refused.
        let quiet = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (mut connection, driver) = MultiplexedConnection::new_with_config(&quiet, stream, config).await?;
        let live = Live { connection: connection.clone(), driver: tokio::spawn(driver) };
        if let Some(password) = &self.address.password {
            let mut login = redis::cmd("AUTH");
            if let Some(user) = &self.address.user {
                login.arg(user);
            }
            login.arg(password.expose()).exec_async(&mut connection).await?;
        }
        if self.address.database != 0 {
            redis::cmd("SELECT").arg(self.address.database).exec_async(&mut connection).await?;
        }
        redis::cmd("PING").exec_async(&mut connection).await?;
        Ok(live)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

fn failed(error: std::io::Error) -> Fault {
    Fault::Connect(error.to_string())
}

// === impl Ask ===

impl Ask<'_> {
    async fn put_to<T: FromRedisValue>(&self, mut connection: MultiplexedConnection) -> RedisResult<T> {
        match self {
            Self::Script(script) => script.invoke_async(&mut connection).await,
            Self::Command(command) => command.query_async(&mut connection).await,
        }
    }
}

// === impl Live ===

impl Drop for Live {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === TLS ===

/// What the address asks for. `roots` may vouch for the server, or else the system's.
pub(super) async fn tls(address: &Address, roots: Option<RootCertStore>) -> Result<Option<TlsConnector>, OpenError> {
    if address.transport == Transport::Plain {
        return Ok(None);
    }
    let roots = match roots {
        Some(roots) => roots,
        None => tokio::task::spawn_blocking(system_roots).await.unwrap_or_else(|_| RootCertStore::empty()),
    };
    let refused = |what: String| OpenError::Refused {
        what: format!("{address}: {what}"),
        hint: "install the system's CA certificates, or name a file with the server's".into(),
    };
    if roots.is_empty() {
        return Err(refused("there is no certificate authority that TLS could trust".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
