//! A sidecar without listeners, and browsers that are nothing but what they keep.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::server::Server;
use crate::{
    connect_flow::{Answer, ConnectFlow, Outcome, Refused, Settings, begin::Begun},
    credential::{self, Credentials, RefreshPolicy, SessionWish, coordinator::Parts},
    model::{Random, ScopeSet, SessionId, Timestamp, Untraced, clock::TokioClock, observe::Unobserved},
    store::{
        TokenStore,
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
    },
};

pub(super) const CLIENT: &str = "cli_1";
pub(super) const ISSUER: &str = "https://flexslot.test";
pub(super) const APP: &str = "https://app.example.com";
const START: Timestamp = Timestamp::from_secs(1_795_200_000);

/// A sidecar's consent room, before [`Server`].
pub(super) struct World {
    pub(super) flow: ConnectFlow,
    pub(super) credentials: Credentials,
    pub(super) server: Arc<Server>,
}

/// One flow as its browser has it.
pub(super) struct Walk {
    pub(super) session: SessionId,
    pub(super) begun: Begun,
}

/// What the configuration says, unless a test has another.
pub(in crate::connect_flow) fn settings() -> Settings {
    Settings {
        server: Arc::new(Server::default()),
        origin: ISSUER.parse().unwrap(),
        redirect_uri: "http://127.0.0.1:3540/oauth/callback".parse().unwrap(),
        further_uris: Vec::new(),
        public_url: None,
        scopes: ScopeSet::new("decks:read cards:read"),
        issuer: ISSUER.into(),
        return_origins: vec![APP.parse().unwrap()],
        flexslot: Some(ISSUER.parse().unwrap()),
        manage_url: "https://flexslot.test/account/connected-apps".into(),
    }
}

// === impl World ===

impl World {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at(START));
        let random = Random::system();
        let backend = MemoryBackend::new(clock.clone(), &random);
        let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
        let store = TokenStore::open(Arc::new(backend), sealer, random.clone()).await.unwrap();
        let server = Arc::new(Server::default());
        let credentials = Credentials::new(Parts {
            settings: before(ISSUER, &server),
            store,
            spool: None,
            instance: None,
            clock: clock.clone(),
            random: random.clone(),
            observer: Arc::new(Unobserved),
            tracer: Arc::new(Untraced),
        });
        let settings = Settings { server: server.clone(), ..settings() };
        let flow = ConnectFlow::new(credentials.clone(), settings, clock, random);
        Self { flow, credentials, server }
    }

    /// The configuration's upstream becomes another one.
    pub(super) fn move_upstream_to(&self, origin: &str) {
        let server = Arc::new(Server::default());
        self.credentials.reload(before(origin, &server));
        self.flow.reload(Settings { origin: origin.parse().unwrap(), server, ..settings() });
    }

    /// A link for acme that ends on our own page.
    pub(super) async fn link(&self) -> SessionId {
        self.link_for("acme", None, None).await
    }

    /// A link for acme that ends at its app.
    pub(super) async fn link_of_app(&self, return_to: &str) -> SessionId {
        self.link_for("acme", None, Some(return_to)).await
    }

    pub(super) async fn link_for(&self, tenant: &str, scopes: Option<&str>, return_to: Option<&str>) -> SessionId {
        let wish = SessionWish {
            tenant: tenant.parse().unwrap(),
            scopes: scopes.map(ScopeSet::new),
            return_to: return_to.map(str::to_owned),
            client: None,
        };
        self.credentials.open_session(wish).await.unwrap().id
    }

    /// A browser presses the button.
    pub(super) async fn begin(&self, session: &SessionId) -> Walk {
        Walk { session: session.clone(), begun: self.flow.begin(session).await.unwrap() }
    }

    /// A browser comes back with this, and what it keeps.
    pub(super) async fn comes_back(&self, walk: &Walk, answer: &str) -> Outcome {
        self.comes_back_with(walk, answer, Some(walk.begun.binding.expose())).await
    }

    /// The same with something else that it keeps.
    pub(super) async fn comes_back_with(&self, walk: &Walk, answer: &str, binding: Option<&str>) -> Outcome {
        let state = walk.begun.state.expose();
        self.flow.callback(Answer::parse(&format!("state={state}&{answer}")).unwrap(), binding).await
    }

    /// Connects acme as the server's user, by a link of its own.
    pub(super) async fn connect(&self) {
        let walk = self.begin(&self.link().await).await;
        let outcome = self.comes_back(&walk, &allowed("first")).await;
        assert!(matches!(outcome, Outcome::Connected(_)), "{outcome:?}");
    }

    /// As whom acme is connected, or was.
    pub(super) async fn username(&self) -> Option<String> {
        self.credentials.identity(&"acme".parse().unwrap()).await.unwrap().and_then(|identity| identity.username)
    }
}

/// What the configuration says to the room below.
fn before(origin: &str, server: &Arc<Server>) -> credential::Settings {
    credential::Settings {
        origin: origin.parse().unwrap(),
        refresh: RefreshPolicy::default(),
        endpoint: server.clone(),
        server: server.clone(),
        tenants: HashMap::new(),
        cached_tenants: 1000,
    }
}

/// What Flexslot sends back when its user has allowed it.
pub(super) fn allowed(code: &str) -> String {
    format!("code={code}&iss=https%3A%2F%2Fflexslot.test")
}

/// What it sends back with an error.
pub(super) fn failed(error: &str) -> String {
    format!("error={error}&error_description=CANARY&iss=https%3A%2F%2Fflexslot.test")
}

/// Why a flow came to nothing.
#[track_caller]
pub(super) fn refused(outcome: Outcome) -> Refused {
    match outcome {
        Outcome::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

/// Where a flow goes on.
#[track_caller]
pub(super) fn returned(outcome: Outcome) -> String {
    match outcome {
        Outcome::Return(address) => address,
        other => panic!("{other:?}"),
    }
}

/// Lets time pass.
pub(super) async fn minutes(minutes: u64) {
    tokio::time::advance(Duration::from_secs(minutes * 60)).await;
}
