//! The rooms of one sidecar, without listeners.

use std::{
    any::Any,
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use flexslot_proxy::{
    admin::trace::Traces,
    credential::{self, Credentials, RefreshPolicy, coordinator::Parts},
    model::{Clock, Peer, Random, Unobserved, Untraced},
    proxy::{
        self, Corridor,
        guard::{Guard, Reach},
        replay::{ReplayLimits, ReplayMemory},
        upstream::{ProxySetting, Upstream, UpstreamParams, Upstreams, tls},
        urls::{Bodies, Rewriting},
    },
    server::{
        accept::{Answers, ConnInfo, serve_stream},
        access_log::{Audience, Lines},
        dispatch::{self, Front},
        request_id::RequestIds,
        wire::{WireLimits, WireState},
    },
    store::TokenStore,
};
use http::HeaderName;
use rustls::{ClientConfig, RootCertStore};
use tokio::{io::duplex, sync::watch};

use super::{ORIGIN, caller::Connection, flexslot::Door, upstream};

/// Trusts nobody. One for all, because it takes its time to make.
static TLS: LazyLock<Arc<ClientConfig>> =
    LazyLock::new(|| Arc::new(tls::with_roots(RootCertStore::empty()).expect("a configuration")));

/// What a connection may cost.
pub const LIMITS: WireLimits = WireLimits {
    header_size: 16 * 1024,
    header_timeout: Duration::from_secs(10),
    keep_alive_timeout: Duration::from_secs(75),
    write_timeout: Duration::from_secs(30),
};

/// What a sidecar is made of.
pub struct Plan {
    pub door: Door,
    pub store: TokenStore,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    pub upstream: upstream::Upstream,
    /// Whose URLs are rewritten, where they are.
    pub rewrites: Option<Bodies>,
}

/// A running sidecar.
pub struct Sidecar {
    pub credentials: Credentials,
    front: Arc<Front>,
    stop: watch::Sender<bool>,
    _draining: watch::Sender<bool>,
    _background: Box<dyn Any>,
}

// === impl Plan ===

impl Plan {
    pub async fn start(self) -> Sidecar {
        let Self { door, store, clock, random, upstream, rewrites } = self;
        let door = Arc::new(door);
        let settings = credential::Settings {
            origin: ORIGIN.parse().expect("an origin"),
            refresh: RefreshPolicy::default(),
            endpoint: door.clone(),
            server: door,
            tenants: HashMap::new(),
            cached_tenants: 1000,
        };
        let (spool, instance, observer) = (None, None, Arc::new(Unobserved));
        let parts = Parts {
            settings,
            store,
            spool,
            instance,
            clock: clock.clone(),
            random: random.clone(),
            observer,
            tracer: Arc::new(Untraced),
        };
        let credentials = Credentials::new(parts);
        let background = credentials.start().await.expect("a store that is there");
        let corridor = Corridor::new(corridor(upstream, rewrites), credentials.clone(), Arc::new(Unobserved));
        let (draining, drained) = watch::channel(false);
        let front = Front::new(dispatch::Parts {
            corridor: Arc::new(corridor),
            ids: RequestIds::new(&random),
            clock,
            told: Audience { observer: Arc::new(Unobserved), traces: Arc::new(Traces::default()), lines: Lines::Off },
            tracer: Arc::new(Untraced),
            capacity: 100,
            draining: drained,
        });
        let stop = watch::Sender::new(false);
        Sidecar { credentials, front: Arc::new(front), stop, _draining: draining, _background: Box::new(background) }
    }
}

fn corridor(dial: upstream::Upstream, rewrites: Option<Bodies>) -> proxy::Settings {
    let origin: flexslot_proxy::model::Origin = ORIGIN.parse().expect("an origin");
    let params = UpstreamParams {
        origin: origin.clone(),
        tls: TLS.clone(),
        proxy: ProxySetting::Off,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(60),
        body_idle_timeout: Duration::from_secs(60),
        pool_idle_timeout: Duration::from_secs(25),
        header_size: 16 * 1024,
    };
    let upstream = Upstream::with_dialer(params, Arc::new(dial)).expect("an upstream");
    proxy::Settings {
        guard: Guard { upstream: Some(origin.clone()), ..Guard::default() },
        tenant_header: HeaderName::from_static("x-flexslot-tenant"),
        default_tenant: None,
        upstream: Upstreams::new(&upstream, 1),
        rewrite_urls: rewrites.map(|bodies| Rewriting { upstream: origin.clone(), bodies }),
        origin,
        replay: ReplayLimits {
            replay_body: 2048,
            request_body: 64 * 1024,
            idle_timeout: Duration::from_secs(60),
            memory: ReplayMemory::new(8192),
        },
        in_flight_per_tenant: 4,
    }
}

// === impl Sidecar ===

impl Sidecar {
    /// A new connection of a caller on this machine.
    pub fn call(&self) -> Connection {
        connect(Arc::clone(&self.front), self.stop.subscribe())
    }
}

/// A new connection of a caller on this machine to whatever answers.
pub fn connect<S: Answers>(service: Arc<S>, stopping: watch::Receiver<bool>) -> Connection {
    let (ours, theirs) = duplex(64 * 1024);
    let reach = Reach::Tcp(Ipv4Addr::LOCALHOST.into());
    let here = (Ipv4Addr::LOCALHOST, 3539).into();
    let peer = Peer::Tcp { ours: here, theirs: here };
    let info = ConnInfo { reach, peer, share: None, tenant: None, worker: 0, wire: Arc::new(WireState::default()) };
    tokio::spawn(serve_stream(theirs, info, LIMITS, service, stopping));
    Connection::new(ours)
}
