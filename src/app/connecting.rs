//! The consent flow, for a command: through a sidecar that runs on the same store, through a listener of the command's
//! own, or through an address that somebody carries over.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{StatusCode, header::LOCATION};

use super::{
    StartFailure, Surroundings, door, outbound::Outbound, serving::Serving, settings, storage::Storage, stored_clients,
};
use crate::{
    config::{Callback, Config},
    connect_flow::{self, Answer, ConnectFlow},
    credential::Credentials,
    model::{ListenAddress, ListenOn, Need, Random, RedirectUri, Secret, SessionId},
    proxy::guard::Guard,
    server::{
        accept::Limits,
        admin_front::AdminFront,
        listen::{self, BindError, Handed, Listener},
        request_id::RequestIds,
    },
    store::StoreError,
};

pub use crate::{
    connect_flow::{Explained, Outcome, Refusal, Refused, begin::Begun, confirm::LastWord, outcome::Confirmation},
    credential::{Connected, NoClient, OpenedSession, Progress, SessionOutcome, SessionWish},
};

/// What a command connects tenants with.
pub struct Connecting {
    pub credentials: Credentials,
    flow: ConnectFlow,
    http: reqwest::Client,
    guard: Guard,
    limits: Limits,
    random: Random,
    /// Bound beforehand, where only that tells the redirect URI's port.
    bound: Vec<Listener>,
}

/// Whoever receives the browser when it comes back from Flexslot.
pub enum Receiver {
    /// A sidecar that runs on the same store.
    Sidecar,
    /// The command.
    Own(OwnListener),
}

/// A listener at the redirect URI, for one consent.
pub struct OwnListener(Serving);

/// How long somebody has to show a session's page.
const LOOK: Duration = Duration::from_secs(5);

/// How long the last page has to reach its browser.
const LAST_PAGE: Duration = Duration::from_secs(5);

// === impl Connecting ===

impl Connecting {
    /// On a store that is open.
    pub async fn new(config: &Config, storage: Storage, around: &Surroundings) -> Result<Self, StartFailure> {
        let bound = match config.oauth.callback {
            Callback::AdminPort(0) => bind(&[(Ipv4Addr::LOCALHOST, 0).into()]).map_err(|error| unlistened(&error))?,
            Callback::AdminPort(_) | Callback::Fixed(_) => Vec::new(),
        };
        let port = bound.first().and_then(Listener::local_addr).map(|address| address.port());
        let outbound = Outbound::new(config)?;
        let stored = stored_clients::loaded(&storage.store, &config.upstream.origin).await;
        let server = outbound.authorization_server(config, &stored, around)?;
        let credentials = door::open(config, storage, around).await?;
        let flow = ConnectFlow::new(
            credentials.clone(),
            settings::connect_flow(config, server, port),
            Arc::clone(&around.clock),
            around.random.clone(),
        );
        Ok(Self {
            credentials,
            flow,
            http: outbound.pages(LOOK)?,
            guard: settings::admin_guard(config),
            limits: settings::connections(config),
            random: around.random.clone(),
            bound,
        })
    }

    /// Where the browser comes back to.
    pub fn redirect_uri(&self) -> RedirectUri {
        self.flow.settings().redirect_uri.clone()
    }

    /// Settles which client asks.
    pub async fn choose_client(&self, wish: SessionWish) -> Result<Result<SessionWish, NoClient>, StoreError> {
        self.credentials.choose_client(wish, &self.redirect_uri()).await
    }

    /// Where a browser begins with a session.
    pub fn link(&self, id: &SessionId) -> String {
        self.flow.settings().link(id)
    }

    /// Finds somebody who receives the session's browser, or has us do it.
    pub async fn receiver(&mut self, id: &SessionId) -> Result<Receiver, StartFailure> {
        let uri = self.redirect_uri();
        if self.bound.is_empty() {
            if self.is_shown(id).await {
                return Ok(Receiver::Sidecar);
            }
            if !uri.is_loopback() {
                let at = uri.origin();
                return Err(StartFailure::new(format!("no sidecar on this store shows the session's page at {at}"))
                    .hint(
                        "start it there, or take --no-browser, which asks for the address that the browser ends on",
                    ));
            }
            self.bound = bind(&addresses(&uri)).map_err(|error| taken(&uri, &error))?;
        }
        let routes = connect_flow::http::router(self.flow.clone());
        let ids = RequestIds::new(&self.random);
        let front = AdminFront::new(routes, self.guard.clone(), ids).connecting(self.flow.clone());
        let listeners = std::mem::take(&mut self.bound);
        Ok(Receiver::Own(OwnListener(Serving::start(listeners, self.limits, Arc::new(front), LAST_PAGE))))
    }

    /// Whether the session's page is shown where its link leads: only a sidecar that finds the session in its store
    /// does so. Looking consumes nothing.
    async fn is_shown(&self, id: &SessionId) -> bool {
        let link = self.link(id);
        let Ok(mut response) = self.http.get(&link).send().await else { return false };
        // A web server between us may name another host than browsers do, and is asked once more then.
        let home = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).filter(|to| to.starts_with(&link));
        if response.status() == StatusCode::TEMPORARY_REDIRECT
            && let Some(home) = home
        {
            let Ok(again) = self.http.get(home).send().await else { return false };
            response = again;
        }
        response.status() == StatusCode::OK && response.headers().contains_key(connect_flow::http::SHOWN)
    }

    /// Begins a flow whose answer somebody carries over.
    pub async fn begin(&self, id: &SessionId) -> Result<Begun, Refused> {
        self.flow.begin(id).await
    }

    /// Takes the query of the address that the browser ended on, as if it had come here.
    pub async fn answer(&self, begun: &Begun, query: &Secret) -> Outcome {
        let Some(answer) = Answer::parse(query.expose()) else {
            return Outcome::Refused(Refused { why: Refusal::NoAnswer, tenant: None, again: None });
        };
        // As a cookie's name does.
        let binding = (answer.state == begun.state).then(|| begun.binding.expose());
        self.flow.callback(answer, binding).await
    }

    /// Takes the last word of who has begun the flow.
    pub async fn confirm(&self, id: &SessionId, begun: &Begun, word: LastWord) -> Outcome {
        self.flow.confirm(id, &[begun.binding.expose()], word).await
    }

    /// Why it came to nothing, and what to do.
    pub fn explain(&self, why: &Refusal) -> Explained {
        self.flow.explain(why)
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").field("flow", &self.flow).finish_non_exhaustive()
    }
}

/// The addresses of a redirect URI on this machine. What `localhost` means is the browser's to say.
fn addresses(uri: &RedirectUri) -> Vec<SocketAddr> {
    let port = uri.origin().port();
    let (four, six) = ((Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into());
    match uri.origin().host() {
        "[::1]" => vec![six],
        "localhost" => vec![four, six],
        _ => vec![four],
    }
}

/// Only the first has to be there: a host may be without IPv6.
fn bind(addresses: &[SocketAddr]) -> Result<Vec<Listener>, BindError> {
    let needs = std::iter::once(Need::Required).chain(std::iter::repeat(Need::IfPresent));
    let on =
        |(address, need): (&SocketAddr, Need)| ListenOn { need, ..ListenOn::required(ListenAddress::Tcp(*address)) };
    listen::bind_all(&addresses.iter().zip(needs).map(on).collect::<Vec<_>>(), &mut Handed::default(), None)
}

fn unlistened(error: &BindError) -> StartFailure {
    StartFailure::new(error.to_string()).hint("take --no-browser, which needs no listener")
}

fn taken(uri: &RedirectUri, error: &BindError) -> StartFailure {
    match error.source.kind() {
        io::ErrorKind::AddrInUse => StartFailure::new(format!(
            "the browser has to come back to {uri}, and what listens there is no sidecar on this store"
        ))
        .hint("stop it, or take --no-browser, which needs no listener"),
        _ => unlistened(error),
    }
}

// === impl Receiver ===

impl Receiver {
    /// Lets the last page reach its browser.
    pub async fn finish(self) {
        if let Self::Own(OwnListener(serving)) = self {
            let _ = serving.stop().await;
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidecar => "Sidecar",
            Self::Own(_) => "Own",
        })
    }
}

impl fmt::Debug for OwnListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnListener")
    }
}
