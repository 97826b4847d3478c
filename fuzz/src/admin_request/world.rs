//! An admin listener with something to see.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use flexslot_proxy::{
    admin::{
        self, Admin, Live,
        health::{Phase, Readiness},
        metrics::Metrics,
        trace::Traces,
    },
    connect_flow::{self, ConnectFlow},
    credential::{self, Credentials, RefreshPolicy, SessionWish, coordinator::Parts},
    model::{BaseUrl, Clock, RedirectUri, ScopeSet, Secret, SessionId, Unobserved, Untraced},
    proxy::guard::{Guard, Pages},
    server::{admin_front::AdminFront, request_id::RequestIds},
};
use tokio::sync::watch;

use super::super::{
    message::find,
    request::heard,
    stage::{
        CLIENT, Clockwork, ORIGIN, START, World, caller::Connection, flexslot::Door, sidecar::connect, store::Mood,
    },
};

pub const HOME: &str = "http://127.0.0.1:3540";
pub const APP: &str = "https://app.example.com";
pub const ISSUER: &str = ORIGIN;
pub const TOKEN: &str = "the-admin-token";

/// Counts for all of them, because it takes its time to make.
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new().expect("metrics")));

/// The listener, and what is behind it.
pub struct Room {
    front: Arc<AdminFront>,
    credentials: Credentials,
    stop: watch::Sender<bool>,
}

fn settings() -> admin::Settings {
    let home: RedirectUri = format!("{HOME}/oauth/callback").parse().expect("a URI");
    admin::Settings {
        token: Secret::new(TOKEN),
        port: 3540,
        public_url: None,
        connect_at: BaseUrl::from(home.origin().clone()),
        return_origins: vec![APP.parse().expect("an origin")],
        client_id: Some(CLIENT.into()),
        redirect_uri: home,
        manage_url: format!("{ISSUER}/account/connected-apps"),
    }
}

fn connecting(door: Arc<Door>) -> connect_flow::Settings {
    connect_flow::Settings {
        server: door,
        origin: ORIGIN.parse().expect("an origin"),
        redirect_uri: format!("{HOME}/oauth/callback").parse().expect("a URI"),
        further_uris: Vec::new(),
        public_url: None,
        scopes: ScopeSet::new("decks:read cards:read"),
        issuer: ISSUER.into(),
        return_origins: vec![APP.parse().expect("an origin")],
        flexslot: Some(ISSUER.parse().expect("an origin")),
        manage_url: format!("{ISSUER}/account/connected-apps"),
    }
}

// === impl Room ===

impl Room {
    /// Two tenants, one with a grant and one with a PAT.
    pub async fn open() -> Self {
        let (world, clock) = (World::new().await, Clockwork::new());
        world.flexslot.connect("acme", Duration::from_secs(3600), Duration::ZERO, START).await;
        world.flexslot.set_pat("beta").await;
        let door = Arc::new(Door { flexslot: world.flexslot.clone(), sidecar: 0 });
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let credentials = Credentials::new(Parts {
            settings: credential::Settings {
                origin: ORIGIN.parse().expect("an origin"),
                refresh: RefreshPolicy::default(),
                endpoint: door.clone(),
                server: door.clone(),
                tenants: HashMap::new(),
                cached_tenants: 1000,
            },
            store: world.store(Arc::new(Mood::default())).await,
            spool: None,
            instance: None,
            clock: clock.clone(),
            random: world.random.clone(),
            observer: Arc::new(Unobserved),
            tracer: Arc::new(Untraced),
        });
        let flow = ConnectFlow::new(credentials.clone(), connecting(door), clock.clone(), world.random.clone());
        let readiness = Arc::new(Readiness::default());
        readiness.enter(Phase::Serving);
        let admin = Admin {
            credentials: credentials.clone(),
            metrics: METRICS.clone(),
            readiness,
            traces: Arc::new(Traces::default()),
            settings: Live::new(settings()),
            refusals: Arc::default(),
            clock,
            random: world.random.clone(),
        };
        let routes = admin::router(admin).merge(connect_flow::http::router(flow.clone()));
        let guard = Guard { pages: Pages::Own, ..Guard::default() };
        let front = AdminFront::new(routes, guard, RequestIds::new(&world.random)).connecting(flow);
        Self { front: Arc::new(front), credentials, stop: watch::Sender::new(false) }
    }

    pub fn call(&self) -> Connection {
        connect(Arc::clone(&self.front), self.stop.subscribe())
    }

    /// The input with what only somebody knows who has been here.
    pub async fn filled_in(&self, input: &[u8]) -> Vec<u8> {
        let mut input = input.to_vec();
        let wants = |input: &[u8], names: &[&str]| names.iter().any(|name| find(input, name.as_bytes()).is_some());
        if wants(&input, &["@S@", "@Y@", "@B@"]) {
            let (session, state, cookie) = self.begin().await;
            for (name, value) in [("@S@", session.expose()), ("@Y@", &state), ("@B@", &cookie)] {
                input = replaced(&input, name, value);
            }
        }
        if wants(&input, &["@L@", "@C@", "@F@"]) {
            let link = self.credentials.open_sign_in().await.expect("a link").token;
            let (cookie, csrf) = self.sign_in().await;
            for (name, value) in [("@L@", link.expose()), ("@C@", &cookie), ("@F@", &csrf)] {
                input = replaced(&input, name, value);
            }
        }
        input
    }

    /// A session whose flow has begun: its id, the flow's state, and the browser's cookie.
    async fn begin(&self) -> (SessionId, String, String) {
        let tenant = "acme".parse().expect("a name");
        let wish = SessionWish { tenant, scopes: None, return_to: Some(format!("{APP}/back?x=1")), client: None };
        let session = self.credentials.open_session(wish).await.expect("a session").id;
        let path = session.path();
        let answer =
            self.answer(&format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1:3540\r\nconnection: close\r\n\r\n")).await;
        let state = between(&answer, "state=", "&");
        let cookie = between(&answer, "set-cookie: ", ";");
        (session, state, cookie)
    }

    /// A browser that has signed in: its cookie, and what its forms carry.
    async fn sign_in(&self) -> (String, String) {
        let link = self.credentials.open_sign_in().await.expect("a link").token;
        let get = |path: &str, more: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:3540\r\n{more}connection: close\r\n\r\n")
        };
        let signed = self.answer(&get(&format!("/sign-in/{}", link.expose()), "")).await;
        let cookie = between(&signed, "set-cookie: ", ";");
        let page = self.answer(&get("/", &format!("cookie: {cookie}\r\n"))).await;
        (cookie, between(&page, "name=\"csrf\" value=\"", "\""))
    }

    async fn answer(&self, request: &str) -> String {
        let connection = self.call();
        connection.say(request.to_owned());
        String::from_utf8_lossy(&heard(&connection).await).into_owned()
    }
}

fn between(text: &str, before: &str, after: &str) -> String {
    let found =
        text.split_once(before).and_then(|(_, rest)| rest.split([after.chars().next().unwrap_or('\n'), '\r']).next());
    found.unwrap_or_else(|| panic!("no {before} in {text}")).to_owned()
}

fn replaced(input: &[u8], name: &str, value: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), input);
    while let Some(at) = find(rest, name.as_bytes()) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(value.as_bytes());
        rest = &rest[at + name.len()..];
    }
    out.extend_from_slice(rest);
    out
}
