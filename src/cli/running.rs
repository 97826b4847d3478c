//! A sidecar that runs, asked over its admin listener by TCP or a unix socket.

use std::{fmt, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, HOST},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::Failure;
use crate::{
    admin::client::{Ends, Nonce, ProofDocument, can_be_proven},
    app::admin_token,
    config::{Config, Engine},
    model::{ListenAddress, ListenOn, Random, Secret, listen::from_here},
};

/// Where a sidecar is asked, and by whom.
pub(super) struct Running {
    addresses: Vec<ListenAddress>,
    /// For what wants authentication.
    token: Option<Secret>,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
}

/// Why there was no answer.
enum Unheard {
    /// Nothing listens at the address.
    Nobody(io::Error),
    /// Something does, and this is what it does not do.
    Strange(String),
    /// Something does, and has not shown that it has the admin token.
    Unproven,
}

/// How a sidecar is reached.
#[derive(Debug, Clone, Copy)]
enum Host {
    Tcp(SocketAddr),
    Unix,
}

type Sender = http1::SendRequest<Empty<Bytes>>;

/// What is read of a problem document.
#[derive(Deserialize)]
struct Told {
    detail: String,
}

/// How long one address may take to connect and to answer. A sidecar needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read; the longest that is made is a page of 1,000 cards.
const LONGEST: usize = 16 << 20;

/// Does `work` on a runtime that is up in a moment: probes come every few seconds.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("the command cannot start: {error}")))?.block_on(work)
}

// === impl Running ===

impl Running {
    /// The sidecar that listens on these addresses.
    pub(super) fn at(listeners: &[ListenOn]) -> Result<Self, Failure> {
        let addresses: Vec<_> = listeners.iter().map(|listener| called(&listener.address)).collect();
        if addresses.iter().any(|address| matches!(address, ListenAddress::Tcp(address) if address.port() == 0)) {
            return Err(Failure::new("the admin listener's port is 0 in this configuration: any free one")
                .hint("name the one that the sidecar's log line `flexslot-proxy is listening` tells: --admin-listen 127.0.0.1:PORT"));
        }
        Ok(Self { addresses, token: None })
    }

    /// The sidecar of this configuration, for what wants the admin token.
    pub(super) fn of(config: &Config) -> Result<Self, Failure> {
        if config.admin.listeners.is_empty() {
            return Err(Failure::new("the admin listener is off in this configuration, and a sidecar is asked there")
                .hint("set admin.listen, or name the listener with --admin-listen"));
        }
        let running = Self::at(&config.admin.listeners)?;
        let token = admin_token::find(config)?.ok_or_else(|| no_token(&config.store.engine))?;
        Ok(Self { token: Some(token), ..running })
    }

    /// Asks with GET; the first address at which somebody listens counts.
    pub(super) async fn get(&self, target: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, target).await
    }

    /// Asks without a body.
    pub(super) async fn ask(&self, method: Method, target: &str) -> Result<Answer, Failure> {
        let mut nobody = Vec::new();
        for address in &self.addresses {
            match timeout(PATIENCE, self.ask_at(address, &method, target)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Unheard::Nobody(error))) => nobody.push(format!("{address}: {error}")),
                Ok(Err(Unheard::Strange(what))) => {
                    return Err(Failure::new(format!("what listens on {address} {what}"))
                        .hint("another program may have the port; --admin-listen names another address"));
                }
                Ok(Err(Unheard::Unproven)) => {
                    let what = "does not show that it has the admin token of this configuration, and is not sent it";
                    return Err(Failure::new(format!("what listens on {address} {what}"))
                        .hint("run this with the sidecar's own --config and --store; if that is so, another program has the port"));
                }
                Err(_) => {
                    return Err(Failure::new(format!("what listens on {address} has not answered for {PATIENCE:?}")));
                }
            }
        }
        let failure = Failure::new(format!("no sidecar listens where it is asked ({})", nobody.join("; ")));
        Err(failure
            .hint("start it; or name its configuration with --config, or its admin listener with --admin-listen"))
    }

    async fn ask_at(&self, address: &ListenAddress, method: &Method, target: &str) -> Result<Answer, Unheard> {
        match address {
            ListenAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(Unheard::Nobody)?;
                let caller = stream.local_addr().map_err(Unheard::Nobody)?;
                let ends = Ends { listener: *address, caller };
                self.exchange(stream, (Host::Tcp(*address), Some(ends)), method, target).await
            }
            ListenAddress::Unix { path, .. } => {
                let stream = UnixStream::connect(path).await.map_err(Unheard::Nobody)?;
                self.exchange(stream, (Host::Unix, None), method, target).await
            }
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        (host, ends): (Host, Option<Ends>),
        method: &Method,
        target: &str,
    ) -> Result<Answer, Unheard>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(not_http)?;
        let connection = tokio::spawn(connection);
        let mut request = request(host, method, target)?;
        if let Some(token) = &self.token {
            // On this very connection, whose other end cannot become another.
            if let Some(ends) = ends {
                prove(&mut sender, (host, ends), token).await?;
            }
            request.headers_mut().insert(AUTHORIZATION, bearer(token)?);
        }
        let answer = send(&mut sender, request).await?;
        connection.abort();
        Ok(answer)
    }
}

/// What a command is told that finds no admin token. A sidecar with nothing but `FLEXSLOT_PAT` keeps its token in memory,
/// and a command beside it, which has no such variable, looks where a sidecar's database would be.
fn no_token(engine: &Engine) -> Failure {
    let failure = Failure::new("there is no admin token where this configuration keeps it");
    match engine {
        Engine::Memory => failure.hint(
            "a sidecar whose store is memory: keeps its own in memory, out of reach; start it with --store sqlite:PATH, and \
             give this the same, or set admin.token",
        ),
        Engine::Sqlite { .. } | Engine::Server { .. } => failure.hint(
            "a sidecar makes one at its start; run this as its user, and with its --config and --store; one whose store is \
             memory: (FLEXSLOT_PAT and no file) keeps it in memory, out of reach: start that with --store sqlite:PATH",
        ),
    }
}

/// Has the other end show that it is a sidecar with `token`, which it is sent only then. The directory of a unix socket says
/// whose it is.
async fn prove(sender: &mut Sender, (host, ends): (Host, Ends), token: &Secret) -> Result<(), Unheard> {
    if !can_be_proven(token) {
        return Ok(());
    }
    let nonce = Nonce::random(&Random::system());
    let asked = request(host, &Method::GET, &format!("/v1/proof?nonce={}", nonce.as_str()))?;
    let answer = send(sender, asked).await?;
    match answer.document::<ProofDocument>() {
        Ok(proof) if proof.is_of(token, &nonce, ends) => Ok(()),
        _ => Err(Unheard::Unproven),
    }
}

async fn send(sender: &mut Sender, request: Request<Empty<Bytes>>) -> Result<Answer, Unheard> {
    sender.ready().await.map_err(not_http)?;
    let (head, body) = sender.send_request(request).await.map_err(not_http)?.into_parts();
    let body = Limited::new(body, LONGEST).collect().await;
    let body = body.map_err(|error| Unheard::Strange(format!("breaks off its answer: {error}")))?.to_bytes();
    Ok(Answer { status: head.status, body })
}

fn request(host: Host, method: &Method, target: &str) -> Result<Request<Empty<Bytes>>, Unheard> {
    let request = Request::builder().method(method).uri(target).header(HOST, host.to_string()).body(Empty::new());
    request.map_err(|error| Unheard::Strange(error.to_string()))
}

fn bearer(token: &Secret) -> Result<HeaderValue, Unheard> {
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut bearer =
        bearer.map_err(|_| Unheard::Strange("cannot be sent an admin token that holds a line end".to_owned()))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

fn not_http(error: hyper::Error) -> Unheard {
    Unheard::Strange(format!("does not speak HTTP: {error}"))
}

// === impl Host ===

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("localhost"),
        }
    }
}

/// The address by which a listener on this host is called.
fn called(address: &ListenAddress) -> ListenAddress {
    match address {
        ListenAddress::Tcp(address) => ListenAddress::Tcp(from_here(*address)),
        unix @ ListenAddress::Unix { .. } => unix.clone(),
    }
}

// === impl Answer ===

/// What is answered may be a link that signs in.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// The document that it holds.
    pub(super) fn document<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| {
            Failure::new(format!("the answer ({}) is not a sidecar's of this version", self.status))
                .hint("see which program listens there, and which version it is")
        })
    }

    /// The same where the sidecar has done what it was asked; else what it says, and what mends it.
    pub(super) fn granted(self) -> Result<Self, Failure> {
        match self.status {
            status if status.is_success() => Ok(self),
            StatusCode::UNAUTHORIZED => Err(Failure::new("the sidecar refuses the admin token of this configuration")
                .hint("run this with the sidecar's own --config and --store; a token that was changed by hand needs a reload")),
            status => {
                let what = self.detail().unwrap_or_else(|| "it does not say why".to_owned());
                Err(Failure::new(format!("the sidecar answers {status}: {what}")))
            }
        }
    }

    /// The body as it came.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// What a problem document says.
    pub(super) fn detail(&self) -> Option<String> {
        serde_json::from_slice::<Told>(&self.body).ok().map(|told| told.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenAddress, ListenOn, Running};

    fn tcp(address: &str) -> ListenAddress {
        ListenAddress::Tcp(address.parse().unwrap())
    }

    #[test]
    fn a_port_that_nobody_knows_is_asked_for() {
        assert!(Running::at(&[ListenOn::required(tcp("127.0.0.1:0"))]).is_err());
    }
}
