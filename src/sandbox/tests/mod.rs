//! The rules of Flexslot's documentation, each through real HTTP on a loopback listener.

mod authorize;
mod control;
mod dpop;
mod faults;
mod partner;
mod resources;
mod revoke;
mod token;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::{
    Client, Running, SCOPES, Sandbox, Seed, SeedUser, Settings, TokenPair, ids, params::encode, settings::Role,
};
use crate::model::{Random, Secret, Timestamp, clock::TokioClock};

const CLIENT: &str = "flx_client_test";
const SECRET: &str = "flx_cs_test";
const CALLBACK: &str = "https://app.example.com/cb";

/// A running sandbox with the partner `george`, the player `ada`, and a confidential client.
struct Test {
    sandbox: Sandbox,
    running: Running,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

// === impl Test ===

impl Test {
    async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let user = |name: &str, role| SeedUser { name: name.into(), decks: 3, role };
        let client = Client::confidential(CLIENT, Secret::new(SECRET)).redirect_uri(CALLBACK);
        let seed =
            Seed { users: vec![user("george", Role::Partner), user("ada", Role::Player)], clients: vec![client] };
        let clock = Arc::new(TokioClock::starting_at(Timestamp::from_secs(1_795_200_000)));
        let sandbox = Sandbox::new(Settings { seed, ..settings }, clock, Random::system());
        let running = sandbox.spawn(TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();
        Self { sandbox, running }
    }

    /// A grant of george's with every scope.
    fn grant(&self) -> TokenPair {
        self.sandbox.issue_grant("george", CLIENT, &SCOPES.join(" ")).unwrap()
    }

    /// The connection cut without an answer is `None`.
    async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Reply> {
        let stream = TcpStream::connect(self.running.origin().trim_start_matches("http://")).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Reply { status: parts.status, headers: parts.headers, body })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        self.try_send(request).await.expect("an answer")
    }

    /// A form to an OAuth endpoint, with the client's secret by HTTP Basic.
    async fn form(&self, endpoint: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(form(endpoint, fields, true)).await
    }

    async fn refresh(&self, token: &Secret) -> Reply {
        self.form("token", &[("grant_type", "refresh_token"), ("refresh_token", token.expose())]).await
    }

    /// A resource request with a token and perhaps a JSON body.
    async fn call(&self, method: Method, path: &str, token: &Secret, body: Option<Value>) -> Reply {
        self.send(api(method, path, token, body)).await
    }

    async fn get(&self, path: &str, token: &Secret) -> Reply {
        self.call(Method::GET, path, token, None).await
    }

    /// A GET without credentials, of any path.
    async fn browse(&self, target: &str) -> Reply {
        self.send(Request::get(target).header(header::HOST, "sandbox").body(Full::default()).unwrap()).await
    }

    /// The authorization code that the consent of the signed-in user gives.
    async fn code(&self, verifier: &str) -> String {
        let location = self.browse(&authorize_target(&challenge(verifier), &[])).await.location();
        query(&location, "code").expect("a code")
    }
}

// === impl Reply ===

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn location(&self) -> String {
        self.header(header::LOCATION).to_owned()
    }

    /// Status and `error` of an OAuth answer.
    fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["error"].as_str().unwrap_or_default().to_owned())
    }

    fn secret(&self, field: &str) -> Secret {
        Secret::new(self.json()[field].as_str().expect("a token"))
    }
}

fn form(endpoint: &str, fields: &[(&str, &str)], basic: bool) -> Request<Full<Bytes>> {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let mut request = Request::post(format!("/api/public/v1/oauth/{endpoint}"))
        .header(header::HOST, "sandbox")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if basic {
        request = request.header(header::AUTHORIZATION, basic_header(CLIENT, SECRET));
    }
    request.body(fields.join("&").into()).unwrap()
}

fn basic_header(id: &str, secret: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

fn api(method: Method, path: &str, token: &Secret, body: Option<Value>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("/api/public/v1{path}"))
        .header(header::HOST, "sandbox")
        .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.map(|body| body.to_string()).unwrap_or_default().into())
        .unwrap()
}

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn challenge(verifier: &str) -> String {
    ids::base64url(&ids::digest(verifier))
}

/// An authorization request with some parameters replaced, or left out where the value is empty.
fn authorize_target(challenge: &str, changes: &[(&str, &str)]) -> String {
    let mut params = vec![
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("scope", "decks:read cards:read"),
        ("state", "state-1"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        params.retain(|(other, _)| other != name);
        params.push((name, value));
    }
    let query: Vec<String> =
        params.iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| format!("{n}={}", encode(v))).collect();
    format!("/api/public/v1/oauth/authorize?{}", query.join("&"))
}

/// A parameter of a redirect.
fn query(location: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(location).ok()?;
    url.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
}
