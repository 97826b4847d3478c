//! Through the whole corridor, before an upstream that takes its time; on paused time.

use std::{
    collections::HashMap,
    future::pending,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, Request};
use http_body_util::Empty;
use rustls::RootCertStore;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::{
    credential::{self, Credentials, RefreshPolicy, TenantPolicy, coordinator::Parts},
    flexslot::{
        AuthorizationRequest, AuthorizationServer, Introspection, Redemption, Revocation, Revoke, TokenAnswer,
        TokenEndpoint, TokenError,
    },
    model::{ProofKey, Random, Secret, Timestamp, Untraced, clock::TokioClock, observe::Unobserved},
    proxy::{
        Caller, Corridor, Facts, Failure, Settings,
        guard::{Guard, Reach},
        replay::{ReplayLimits, ReplayMemory},
        upstream::{BoxedIo, Dial, DialError, ProxySetting, Target, Upstream, UpstreamParams, Upstreams, tls},
    },
    store::{
        TokenStore,
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
    },
};

const ORIGIN: &str = "https://flexslot.test";
const LONG: Duration = Duration::from_secs(60);

/// Packets to this upstream vanish.
#[derive(Debug)]
struct BlackHole;

#[async_trait]
impl Dial for BlackHole {
    async fn dial(&self, _: &Target) -> Result<BoxedIo, DialError> {
        pending().await
    }
}

/// PATs need no token endpoint.
struct NoEndpoint;

#[async_trait]
impl TokenEndpoint for NoEndpoint {
    fn knows(&self, _: &str) -> bool {
        false
    }

    async fn refresh(&self, _: &str, _: &Secret, _: Option<&ProofKey>) -> Result<TokenAnswer, TokenError> {
        unreachable!("no tenant of these tests has a grant")
    }
}

#[async_trait]
impl AuthorizationServer for NoEndpoint {
    fn authorization_url(&self, _: &AuthorizationRequest<'_>) -> Url {
        unreachable!("nobody connects")
    }

    async fn redeem(&self, _: &str, _: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        unreachable!("nobody connects")
    }

    async fn revoke(&self, _: &str, _: Revoke<'_>) -> Result<Revocation, TokenError> {
        unreachable!("nobody disconnects")
    }

    async fn introspect(&self, _: &str, _: &Secret) -> Result<Introspection, TokenError> {
        unreachable!("no tenant of these tests has a grant")
    }
}

fn settings() -> Settings {
    let params = UpstreamParams {
        origin: ORIGIN.parse().unwrap(),
        tls: Arc::new(tls::with_roots(RootCertStore::empty()).unwrap()),
        proxy: ProxySetting::Off,
        connect_timeout: LONG,
        response_timeout: LONG,
        body_idle_timeout: LONG,
        pool_idle_timeout: LONG,
        header_size: 64 * 1024,
    };
    Settings {
        guard: Guard::default(),
        tenant_header: HeaderName::from_static("x-flexslot-tenant"),
        default_tenant: Some("acme".parse().unwrap()),
        upstream: Upstreams::new(&Upstream::with_dialer(params, Arc::new(BlackHole)).unwrap(), 1),
        origin: ORIGIN.parse().unwrap(),
        rewrite_urls: None,
        replay: ReplayLimits { replay_body: 0, request_body: 0, idle_timeout: LONG, memory: ReplayMemory::new(0) },
        in_flight_per_tenant: 1,
    }
}

/// One tenant, acme, with a PAT for the upstream at `origin`.
fn room(origin: &str) -> credential::Settings {
    let policy = TenantPolicy { pat: Some(Secret::new("flx_pat_acme")), ..TenantPolicy::default() };
    credential::Settings {
        origin: origin.parse().unwrap(),
        refresh: RefreshPolicy::default(),
        endpoint: Arc::new(NoEndpoint),
        server: Arc::new(NoEndpoint),
        tenants: HashMap::from([("acme".parse().unwrap(), Arc::new(policy))]),
        cached_tenants: 10,
    }
}

async fn credentials() -> Credentials {
    let (random, clock) = (Random::system(), Arc::new(TokioClock::starting_at(Timestamp::from_secs(1_795_200_000))));
    let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
    let backend = Arc::new(MemoryBackend::new(clock.clone(), &random));
    Credentials::new(Parts {
        settings: room(ORIGIN),
        store: TokenStore::open(backend, sealer, random.clone()).await.unwrap(),
        spool: None,
        instance: None,
        clock,
        random,
        observer: Arc::new(Unobserved),
        tracer: Arc::new(Untraced),
    })
}

const CALLER: Caller<'_> = Caller { reach: Reach::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST)), tenant: None, worker: 0 };

fn request() -> Request<Empty<Bytes>> {
    Request::get("/api/public/v1/decks/").header("host", "localhost").body(Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_upstream_is_its_own_also_when_the_client_goes_away() {
    let corridor = Corridor::new(settings(), credentials().await, Arc::new(Unobserved));
    let mut facts = Facts::since(Instant::now());
    let call = corridor.handle(CALLER, request(), &mut facts);
    let patience = Duration::from_secs(10);
    assert!(timeout(patience, call).await.is_err(), "the client went away first");
    assert_eq!(facts.upstream_time, patience);
}

/// A request that came in before the reload still has the upstream of before, and picks a PAT for the one of afterwards.
#[tokio::test(start_paused = true)]
async fn what_a_reload_has_meant_for_another_upstream_is_not_sent_to_the_one_before() {
    let credentials = credentials().await;
    let corridor = Corridor::new(settings(), credentials.clone(), Arc::new(Unobserved));
    credentials.reload(room("https://elsewhere.test"));
    let mut facts = Facts::since(Instant::now());
    let refused = corridor.handle(CALLER, request(), &mut facts).await.err();
    let Some(Failure::Problem(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.code, facts.upstream_time), ("refresh_unavailable", Duration::ZERO));
}
