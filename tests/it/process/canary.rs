//! No secret leaves the process: everything that it writes or answers at the most talkative log level is searched.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use flexslot_proxy::{
    app::{self, App, Crew, Surroundings, outbound::Outbound, storage::Storage},
    config::{Config, ConfigSource, Overrides, SystemEnvironment},
    model::{GrantState, Secret},
    sandbox::{Canned, Client, Effect, Endpoint, Fault},
};
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpStream;

use super::{
    http::{Connection, DECKS, ask, get, request},
    world::{CLIENT, Life, World, tenant},
};
use crate::support::{
    Collector,
    process::{Launch, Sidecar},
};

mod servers;

const ECHO: &str = "/api/public/v1/sandbox/echo";

/// Secrets that the test makes up itself.
const CLIENT_SECRET: &str = "flx_cs_canary-4Zr8kQ1vWm6";
const CLIENT_TOKEN: &str = "caller-canary-9Xb2LpT7sNd";
const CALLERS_OWN: &str = "own-authorization-canary-Yt5Hc3";
const CALLERS_COOKIE: &str = "own-cookie-canary-Rw8Jf0";
const CALLERS_QUERY: &str = "own-query-canary-Nd4Kz7";
const CALLERS_BODY: &str = "own-body-canary-Bq1Sm9";
const COLLECTORS: &str = "collector-header-canary-Fx3Uw8";
const ANSWERED_BADLY: &str = "flx_rt_badly-answered-canary-Gk6Qe2";

/// What must not be found, by name.
#[derive(Default)]
struct Secrets(BTreeMap<String, String>);

/// What left the process, by name.
#[derive(Default)]
struct Leavings(BTreeMap<String, Vec<u8>>);

// === impl Secrets ===

impl Secrets {
    fn add(&mut self, name: impl Into<String>, secret: &str) {
        self.0.insert(name.into(), secret.trim().to_owned());
    }

    /// The tokens that the store has for a tenant now.
    async fn add_tokens_of(&mut self, world: &World, tenant: &str) {
        let (GrantState::Connected(grant) | GrantState::Uncertain(grant, _)) = world.stored(tenant).await else {
            return;
        };
        let version = grant.version;
        self.add(format!("{tenant}'s access token {version}"), grant.tokens.access.expose());
        self.add(format!("{tenant}'s refresh token {version}"), grant.tokens.refresh.expose());
    }

    /// Every form in which one of them could have left.
    fn forms(&self) -> Vec<(String, Vec<u8>)> {
        self.0.iter().flat_map(|(name, secret)| forms(name, secret)).collect()
    }
}

fn forms(name: &str, secret: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let listed = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut forms = vec![
        (format!("{name}, plain"), secret.to_owned()),
        // A part gives away enough; prefixes of Flexslot's own are no secret.
        (format!("{name}, its end"), secret[secret.len() - 12..].to_owned()),
        (format!("{name}, its middle"), secret[secret.len() / 2 - 4..secret.len() / 2 + 8].to_owned()),
        (format!("{name}, hexadecimal"), hex.clone()),
        (format!("{name}, HEXADECIMAL"), hex.to_uppercase()),
        (format!("{name}, as numbers"), listed),
        (format!("{name}, percent-encoded"), utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()),
    ];
    // Base64 at each of the three places where it can begin in a longer text; the digits at the ends depend on the
    // neighbours.
    for shift in 0..3 {
        for (alphabet, engine) in [("", &STANDARD), ("url-safe ", &URL_SAFE)] {
            let encoded = engine.encode([&b"xx"[..shift], bytes].concat());
            let inner = encoded.trim_end_matches('=');
            let inner = inner[(shift * 8).div_ceil(6)..inner.len() - 1].to_owned();
            forms.push((format!("{name}, {alphabet}base64 {shift}"), inner));
        }
    }
    forms.into_iter().map(|(form, text)| (form, text.into_bytes())).collect()
}

// === impl Leavings ===

impl Leavings {
    fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.entry(name.into()).or_default().extend(bytes.into());
    }

    /// Everything below a directory, but for the files that hold secrets on purpose.
    fn add_files(&mut self, dir: &Path, but: &[&str]) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.add_files(&path, but);
            } else if !but.iter().any(|name| path.ends_with(name)) {
                self.add(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }

    /// The ids of all requests that were answered.
    fn request_ids(&self) -> Vec<String> {
        let answers = String::from_utf8_lossy(&self.0["responses"]).to_ascii_lowercase();
        let id = |line: &str| line.strip_prefix("flexslot-proxy-request-id:").map(|id| id.trim().to_owned());
        answers.lines().filter_map(id).collect()
    }

    fn assert_clean_of(&self, secrets: &Secrets) {
        let forms = secrets.forms();
        let mut found = Vec::new();
        for (place, bytes) in &self.0 {
            let text = String::from_utf8_lossy(bytes);
            let leaked = forms.iter().filter(|(_, form)| text.contains(std::str::from_utf8(form).unwrap()));
            found.extend(leaked.map(|(form, _)| format!("{form}, in {place}: {}", around(&text, form, secrets))));
        }
        assert!(found.is_empty(), "secrets have left:\n{}", found.join("\n"));
    }
}

/// The line of a finding, for whoever has to mend it. The secrets are a test's.
fn around<'t>(text: &'t str, form: &str, secrets: &Secrets) -> &'t str {
    let forms = secrets.forms();
    let needle = forms.iter().find(|(name, _)| name == form).map(|(_, form)| std::str::from_utf8(form).unwrap());
    text.lines().find(|line| needle.is_some_and(|needle| line.contains(needle))).unwrap_or_default()
}

/// Asks, as a caller that sends credentials of its own too, and keeps what the sidecar says.
async fn call(leavings: &mut Leavings, sidecar: &Sidecar, method: &str, path: &str, tenant: &str) -> u16 {
    let fields = format!(
        "Proxy-Authorization: Bearer {CLIENT_TOKEN}\r\nAuthorization: Bearer {CALLERS_OWN}\r\nCookie: s={CALLERS_COOKIE}\r\n"
    );
    let body = if method == "POST" { CALLERS_BODY } else { "" };
    let answer = ask(sidecar.proxy, &request(method, path, tenant, &fields, body.as_bytes())).await;
    leavings.add("responses", format!("{}\r\n", answer.head));
    // What Flexslot says passes as it is; the sandbox's echo tells no secrets either.
    leavings.add("responses", answer.body);
    answer.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_leaves_the_process_carries_a_secret() {
    let (mut secrets, mut leavings) = (Secrets::default(), Leavings::default());
    let mut world = World::with_client(Client::confidential(CLIENT, Secret::new(CLIENT_SECRET))).await;
    let collector = Collector::start().await;
    world
        .set("traces", &format!("endpoint = {:?}", collector.http.origin))
        .set("traces", "headers = { authorization = { file = \"collector-header\" } }")
        .set("server", "client_token = { file = \"client-token\" }")
        .set("oauth", "client_secret = { file = \"client-secret\" }")
        .set("refresh", "min_interval = \"0s\"")
        .set("refresh", "timeout = \"5s\"")
        .set("log", "level = \"trace,access=trace\"")
        .append("[[tenants]]\nname = \"filed\"\npat = { env = \"FILED_PAT\" }\n");
    let filed = world.sandbox.add_pat("filed");
    for (name, secret) in [
        ("the client secret", CLIENT_SECRET),
        ("the client token", CLIENT_TOKEN),
        ("the caller's own authorization", CALLERS_OWN),
        ("the caller's own cookie", CALLERS_COOKIE),
        ("the caller's query", CALLERS_QUERY),
        ("the caller's body", CALLERS_BODY),
        ("what goes with traces", COLLECTORS),
        ("a token that was answered badly", ANSWERED_BADLY),
        ("the PAT of proxy.toml", filed.expose()),
        ("the PAT of the store", world.give_pat("stored").await.expose()),
    ] {
        secrets.add(name, secret);
    }
    world.write_secret("client-token", CLIENT_TOKEN);
    world.write_secret("client-secret", CLIENT_SECRET);
    world.write_secret("collector-header", COLLECTORS);
    let tenants = ["expired", "refused", "revoked", "unclear", "misled", "lost"];
    for (tenant, life) in tenants.into_iter().zip([Life::Expired, Life::Fresh].into_iter().cycle()) {
        world.connect(tenant, life).await;
        secrets.add_tokens_of(&world, tenant).await;
    }
    let key = fs::read_to_string(world.path("key")).unwrap();
    let bytes = STANDARD.decode(key.trim()).unwrap();
    secrets.add("the encryption key", &key);
    secrets
        .add("the encryption key in hexadecimal", &bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());

    world.write_config();
    let sidecar = world.launch().env("FILED_PAT", filed.expose()).listening().await;
    leavings.add("command line", fs::read(format!("/proc/{}/cmdline", sidecar.process.id())).unwrap());

    // PATs, and a PAT that Flexslot no longer knows.
    for tenant in ["filed", "stored"] {
        assert_eq!(call(&mut leavings, &sidecar, "GET", DECKS, tenant).await, 200);
    }
    world.sandbox.revoke_pat(&filed);
    for _ in 0..4 {
        assert_eq!(call(&mut leavings, &sidecar, "GET", DECKS, "filed").await, 401);
    }
    // Refreshed before, after a 401, and in vain.
    let grants = world.sandbox.grants();
    let grant = |user: &str| grants.iter().find(|grant| grant.user == user).unwrap().id.parse().unwrap();
    let asked = format!("{DECKS}?page={CALLERS_QUERY}");
    assert_eq!(call(&mut leavings, &sidecar, "GET", &asked, "expired").await, 200);
    world.sandbox.expire_access(grant("refused")).unwrap();
    assert_eq!(call(&mut leavings, &sidecar, "POST", ECHO, "refused").await, 200);
    world.sandbox.revoke_grant(grant("revoked")).unwrap();
    assert_eq!(call(&mut leavings, &sidecar, "GET", DECKS, "revoked").await, 401);
    // Answers that cannot be read, and that say too much.
    let badly = |status, body: String| Fault::new(Endpoint::Token, Effect::Answer(Canned::new(status).body(body)));
    for (tenant, status, body) in [
        ("unclear", StatusCode::OK, format!(r#"{{"refresh_token":"{ANSWERED_BADLY}","access_token":["#)),
        ("unclear", StatusCode::INTERNAL_SERVER_ERROR, format!("no {ANSWERED_BADLY} here")),
        ("misled", StatusCode::BAD_REQUEST, format!(r#"{{"error":"{ANSWERED_BADLY}"}}"#)),
        (
            "misled",
            StatusCode::UNAUTHORIZED,
            format!(r#"{{"error":"invalid_client","error_description":"{ANSWERED_BADLY}"}}"#),
        ),
    ] {
        world.sandbox.expire_access(grant(tenant)).unwrap();
        world.sandbox.fault(badly(status, body).once().user(tenant));
        let status = call(&mut leavings, &sidecar, "GET", DECKS, tenant).await;
        assert!([401, 503].contains(&status), "{tenant}: {status}");
    }
    world.sandbox.clear_faults();
    // A transport error, on both sides.
    world.sandbox.expire_access(grant("lost")).unwrap();
    world.sandbox.fault(Fault::cut(Endpoint::Token, flexslot_proxy::sandbox::Moment::AfterProcessing).once());
    call(&mut leavings, &sidecar, "GET", DECKS, "lost").await;
    world.sandbox.fault(Fault::cut(Endpoint::Resource, flexslot_proxy::sandbox::Moment::BeforeProcessing).times(2));
    assert_eq!(call(&mut leavings, &sidecar, "GET", DECKS, "expired").await, 502);
    // Problems that the sidecar makes.
    for (method, path, tenant) in [
        ("GET", "/api/public/v1/oauth/token", "expired"),
        ("GET", "/api/public/v1/a/../b", "expired"),
        ("GET", "/elsewhere", "expired"),
        ("GET", DECKS, "nobody"),
        ("GET", DECKS, "not a name"),
        ("TRACE", DECKS, "expired"),
    ] {
        assert!(call(&mut leavings, &sidecar, method, path, tenant).await >= 400);
    }
    for line in [
        format!("GET {DECKS} HTTP/1.1\r\nHost: localhost\r\nProxy-Authorization: Bearer {CLIENT_TOKEN}x\r\n\r\n"),
        format!("GET {DECKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer {CLIENT_TOKEN}\r\n\r\n"),
        format!("GET {DECKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {CLIENT_TOKEN}\0\r\n\r\n"),
    ] {
        let answer = ask(sidecar.proxy, line.as_bytes()).await;
        assert!(answer.status >= 400, "{line}");
        leavings.add("responses", answer.head.into_bytes());
        leavings.add("responses", answer.body);
    }
    over_http2(&mut leavings, &sidecar).await;
    let admin_token = fs::read_to_string(world.path("admin-token")).unwrap();
    secrets.add("the admin token", &admin_token);
    let traces = leavings.request_ids().into_iter().map(|id| format!("/v1/requests/{id}"));
    let paths: Vec<_> =
        ["/metrics", "/healthz", "/readyz", "/nothing"].map(str::to_owned).into_iter().chain(traces).collect();
    assert!(paths.len() > 20, "every request has left a trace: {paths:?}");
    let as_operator = format!("Authorization: Bearer {}\r\n", admin_token.trim());
    for path in paths {
        let asks = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{as_operator}\r\n");
        let answer = ask(sidecar.admin, asks.as_bytes()).await;
        assert!(answer.status == 200 || path == "/nothing", "{path}: {}", answer.head);
        leavings.add(format!("admin {path}"), [answer.head.into_bytes(), answer.body].concat());
    }
    for tenant in tenants {
        secrets.add_tokens_of(&world, tenant).await;
    }
    assert!(secrets.0.len() > 20, "the refreshed tokens are among what is searched for");

    // What lies on the disk while it runs, and after the end.
    let on_purpose = ["key", "client-token", "client-secret", "admin-token", "collector-header"];
    leavings.add_files(world.dir.path(), &on_purpose);
    let exit = sidecar.stop().await;
    leavings.add_files(world.dir.path(), &on_purpose);
    for line in ["the token was refreshed", "the grant is disconnected", "\"target\":\"access\""] {
        assert!(exit.stderr.contains(line), "the log tells of what happened: {line}");
    }
    leavings.add("standard error", exit.stderr);
    leavings.add("standard output", exit.stdout);
    let names: BTreeSet<_> = collector.spans().iter().map(|seen| seen.name().to_owned()).collect();
    for name in ["GET", "POST", "pick", "wait for refresh", "refresh", "store get"] {
        assert!(names.contains(name), "the traces tell of what happened: {name}");
    }
    for received in collector.http.seen() {
        assert!(received.field("authorization") == Some(COLLECTORS), "the one place where that belongs");
        leavings.add("exported traces", received.body);
    }
    refused_starts(&mut leavings, &world).await;
    leavings.assert_clean_of(&secrets);
}

/// A request that carries the caller's token over HTTP/2, whose implementation has log lines of its own.
async fn over_http2(leavings: &mut Leavings, sidecar: &Sidecar) {
    let stream = TcpStream::connect(sidecar.proxy).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://localhost{DECKS}"))
        .header("x-flexslot-tenant", "expired")
        .header("proxy-authorization", format!("Bearer {CLIENT_TOKEN}"))
        .header("authorization", format!("Bearer {CALLERS_OWN}"))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    leavings.add("responses", format!("{:?}", response.headers()));
}

/// What is said of secrets that are no good.
async fn refused_starts(leavings: &mut Leavings, world: &World) {
    for (file, text) in [("key", CLIENT_SECRET), ("client-secret", "a\nb"), ("client-token", "")] {
        let good = fs::read_to_string(world.path(file)).unwrap();
        world.write_secret(file, text);
        let check = Launch::sidecar(world.dir.path(), &["check", "--config", "proxy.toml"]);
        let exit = check.env("FILED_PAT", "flx_pat_canary").run().await;
        leavings.add(format!("check with another {file}"), exit.stderr + &exit.stdout);
        world.write_secret(file, &good);
    }
    let exit = Launch::sidecar(world.dir.path(), &["check", "--config", "proxy.toml"]).run().await;
    leavings.add("check", exit.stderr + &exit.stdout);
    let exit = Launch::sidecar(world.dir.path(), &["tenant", "list", "--config", "proxy.toml"]).run().await;
    leavings.add("tenant list", exit.stderr + &exit.stdout);
}

#[tokio::test]
async fn what_a_panic_could_print_shows_no_secret() {
    let mut world = World::with_client(Client::confidential(CLIENT, Secret::new(CLIENT_SECRET))).await;
    world
        .set("server", "client_token = { file = \"client-token\" }")
        .set("oauth", "client_secret = { file = \"client-secret\" }")
        .append("[[tenants]]\nname = \"filed\"\npat = { file = \"client-token\" }\n")
        .write_config();
    world.write_secret("client-token", CLIENT_TOKEN);
    world.write_secret("client-secret", CLIENT_SECRET);
    world.connect("acme", Life::Fresh).await;
    let pat = world.give_pat("acme").await;
    let mut secrets = Secrets::default();
    secrets.add("the client secret", CLIENT_SECRET);
    secrets.add("the client token", CLIENT_TOKEN);
    secrets.add("the PAT", pat.expose());
    secrets.add("the encryption key", &fs::read_to_string(world.path("key")).unwrap());
    secrets.add_tokens_of(&world, "acme").await;

    let source = ConfigSource::File(world.path("proxy.toml"));
    let config = Config::load(&source, &Overrides::default(), &SystemEnvironment).unwrap();
    let around = Surroundings::system();
    let metrics = app::metrics().unwrap();
    let storage = Storage::open(&config.store, &around, Arc::clone(&metrics) as _).await.unwrap();
    let stored = Arc::new(flexslot_proxy::flexslot::StoredClients::none());
    let endpoint = Outbound::new(&config).unwrap().authorization_server(&config, &stored, &around).unwrap();
    let settings = app::settings::credential(&config, endpoint);
    let mut leavings = Leavings::default();
    leavings.add("the configuration", format!("{config:?} {config:#?}"));
    leavings.add("the credential room's settings", format!("{settings:?}"));
    leavings.add("the store", format!("{storage:?}"));
    leavings.add("a tenant's record", format!("{:?}", storage.store.load(&tenant("acme")).await.unwrap()));
    leavings.add("the app", format!("{:?}", App::build(config, storage, &around, (Crew::here(), metrics)).unwrap()));
    leavings.assert_clean_of(&secrets);
}

#[test]
fn the_search_finds_what_it_is_for() {
    let mut secrets = Secrets::default();
    secrets.add("it", CLIENT_SECRET);
    let hidden = |text: String| {
        let mut leavings = Leavings::default();
        leavings.add("there", text);
        std::panic::catch_unwind(|| leavings.assert_clean_of(&secrets)).is_err()
    };
    for before in ["", "a", "ab", "abc", "flx_client_1:"] {
        let basic = STANDARD.encode(format!("{before}{CLIENT_SECRET} and more"));
        assert!(hidden(format!("Authorization: Basic {basic}")), "{before}");
    }
    assert!(hidden(format!("{:?}", CLIENT_SECRET.as_bytes())));
    assert!(hidden(CLIENT_SECRET[8..].to_owned()));
    assert!(!hidden("flx_cs_[redacted]".to_owned()));
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_leaves_nothing_of_its_header_in_the_log() {
    let mut world = World::new().await;
    world.set("log", "level = \"trace\"");
    let sidecar = world.start().await;
    let mut connection = Connection::open(sidecar.proxy).await.unwrap();
    connection.send(&get(DECKS, "acme")).await.unwrap();
    connection.answer().await.unwrap();
    connection.send(format!("GET / HTTP/1.1\r\nAuthorization: Bearer {CALLERS_OWN}\r\nHo").as_bytes()).await.unwrap();
    drop(connection);
    let exit = sidecar.stop().await;
    assert!(!exit.stderr.contains("canary"), "{}", exit.stderr);
}
