//! A client whose secret is replaced under way.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use crate::{
    flexslot::{
        ClientSource, Endpoints, HttpAuthorizationServer, KnownClients, OAuthClient, StoredClient, StoredClients,
        TokenEndpoint, TokenError,
        clients::MANAGEMENT_TIMEOUT,
        registry::{LONGEST_ROTATION, STORE_RETRY_FOR},
        transport::client_builder,
    },
    model::{ClientDescription, ClientStatus, ClientType, Random, Secret, clock::SystemClock, token::DpopMode},
};

/// A token endpoint that takes one secret, and remembers what it was asked.
struct Server {
    origin: String,
    good: Mutex<&'static str>,
    /// The secret and the refresh token of each request.
    asked: Mutex<Vec<String>>,
}

/// A store with one client.
#[derive(Default)]
struct Store {
    secret: Mutex<Option<&'static str>>,
    /// How often it was looked at.
    looks: Mutex<usize>,
    /// What it has from the second look on.
    next: Mutex<Option<&'static str>>,
    rotating_until: Mutex<Option<Instant>>,
    /// Whether time is to run by itself from the next look on, when nobody waits for an answer any more.
    hurries: AtomicBool,
}

#[async_trait]
impl ClientSource for Store {
    async fn load(&self) -> Result<Vec<StoredClient>, String> {
        *self.looks.lock() += 1;
        if self.hurries.swap(false, Ordering::Relaxed) {
            tokio::time::pause();
        }
        let rotating_until = *self.rotating_until.lock();
        let secret = *self.secret.lock();
        if rotating_until.is_some()
            && let Some(next) = self.next.lock().take()
        {
            (*self.secret.lock(), *self.rotating_until.lock()) = (Some(next), None);
        }
        let client = ClientDescription {
            client_id: "cli_1".into(),
            name: "App".into(),
            client_type: Some(ClientType::Confidential),
            status: ClientStatus::Active,
            redirect_uris: vec![],
            scopes: vec![],
            dpop_bound_access_tokens: false,
            created_at: None,
            last_used_at: None,
            secret_rotated_at: None,
        };
        Ok(secret
            .map(|secret| StoredClient { client, secret: Some(Secret::new(secret)), rotating_until })
            .into_iter()
            .collect())
    }
}

impl Server {
    async fn start(good: &'static str) -> Arc<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self { origin, good: Mutex::new(good), asked: Mutex::default() });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.windows(5).any(|end| end == b"rt_1&" || end == b"=rt_1") {
                    let mut part = [0; 4096];
                    let read = stream.read(&mut part).await.unwrap();
                    request.extend_from_slice(&part[..read]);
                }
                let answer = serving.answer(&String::from_utf8(request).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        server
    }

    fn answer(&self, request: &str) -> String {
        let basic = request.lines().find_map(|line| line.strip_prefix("authorization: Basic "));
        let pair = basic.map(|basic| String::from_utf8(BASE64_STANDARD.decode(basic).unwrap()).unwrap());
        let secret = pair.as_deref().and_then(|pair| pair.strip_prefix("cli_1:")).unwrap_or("none").to_owned();
        let (status, body) = match secret == *self.good.lock() {
            true => {
                ("200 OK", r#"{"access_token":"at","token_type":"Bearer","expires_in":3600,"refresh_token":"rt_2"}"#)
            }
            false => ("401 Unauthorized", r#"{"error":"invalid_client"}"#),
        };
        self.asked.lock().push(secret);
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }
}

fn endpoint(
    server: &Server,
    of_file: Option<&str>,
    store: &Arc<Store>,
) -> (HttpAuthorizationServer, Arc<StoredClients>) {
    let patience = Duration::from_secs(60);
    // Nothing here speaks TLS, and a client wants to know how all the same.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().unwrap().with_root_certificates(RootCertStore::empty());
    let http = client_builder(patience, patience).tls_backend_preconfigured(tls.with_no_client_auth()).no_proxy();
    let http = http.build().unwrap();
    let at = || server.origin.parse().unwrap();
    let endpoints = Endpoints { authorize: at(), token: at(), revoke: at(), introspect: at() };
    let clients = of_file.map(|secret| OAuthClient {
        name: None,
        client_id: "cli_1".into(),
        client_secret: Some(Secret::new(secret)),
        redirect_uri: None,
        scopes: None,
        dpop: DpopMode::Auto,
    });
    let stored = Arc::new(StoredClients::new(Arc::clone(store) as _));
    let configured = clients.into_iter().collect();
    let known = KnownClients { configured, stored: Arc::clone(&stored), dpop: DpopMode::Auto };
    (HttpAuthorizationServer::new(http, endpoints, known, patience, Arc::new(SystemClock), Random::system()), stored)
}

async fn refresh(endpoint: &HttpAuthorizationServer) -> Result<(), TokenError> {
    endpoint.refresh("cli_1", &Secret::new("rt_1"), None).await.map(drop)
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_looked_up_once_and_the_token_presented_once_more() {
    let server = Server::start("new").await;
    let store = Arc::new(Store { secret: Mutex::new(Some("old")), ..Store::default() });
    let (endpoint, stored) = endpoint(&server, None, &store);
    stored.load().await;
    *store.secret.lock() = Some("new");
    assert_eq!(refresh(&endpoint).await, Ok(()));
    assert_eq!((server.asked(), *store.looks.lock()), (vec!["old".to_owned(), "new".to_owned()], 2));
    assert_eq!(refresh(&endpoint).await, Ok(()));
    assert_eq!((server.asked(), *store.looks.lock()), (vec!["new".to_owned()], 2), "from now on it is known");
}

#[tokio::test]
async fn a_secret_that_nobody_replaced_is_refused_for_good() {
    let server = Server::start("elsewhere").await;
    let store = Arc::new(Store { secret: Mutex::new(Some("old")), ..Store::default() });
    let (endpoint, stored) = endpoint(&server, None, &store);
    stored.load().await;
    assert!(
        matches!(refresh(&endpoint).await, Err(TokenError::Misconfigured(what)) if what.contains("invalid_client"))
    );
    assert_eq!((server.asked(), *store.looks.lock()), (vec!["old".to_owned()], 2));
}

#[tokio::test]
async fn of_the_files_secret_and_the_stores_the_one_that_was_taken_comes_first() {
    let server = Server::start("stored").await;
    let store = Arc::new(Store { secret: Mutex::new(Some("stored")), ..Store::default() });
    let (endpoint, stored) = endpoint(&server, Some("of-file"), &store);
    stored.load().await;
    assert_eq!(refresh(&endpoint).await, Ok(()));
    assert_eq!(server.asked(), ["of-file", "stored"]);
    assert_eq!(refresh(&endpoint).await, Ok(()));
    assert_eq!(server.asked(), ["stored"]);
    *server.good.lock() = "of-file";
    assert_eq!(refresh(&endpoint).await, Ok(()));
    assert_eq!(server.asked(), ["stored", "of-file"]);
}

#[tokio::test]
async fn a_secret_on_its_way_is_waited_for() {
    let server = Server::start("new").await;
    let until = Instant::now() + Duration::from_secs(600);
    let store = Arc::new(Store {
        secret: Mutex::new(Some("old")),
        next: Mutex::new(Some("new")),
        rotating_until: Mutex::new(Some(until)),
        ..Store::default()
    });
    let (endpoint, stored) = endpoint(&server, None, &store);
    stored.load().await;
    endpoint.settled("cli_1").await;
    assert_eq!(refresh(&endpoint).await, Ok(()));
    assert_eq!(server.asked(), ["new"]);
}

/// Nobody has to mend anything, and no token was looked at.
#[tokio::test]
async fn a_secret_that_is_long_on_its_way_leaves_the_request_unsent() {
    let server = Server::start("new").await;
    let store = Arc::new(Store { secret: Mutex::new(Some("old")), ..Store::default() });
    let (endpoint, stored) = endpoint(&server, None, &store);
    stored.load().await;
    *store.rotating_until.lock() = Some(Instant::now() + Duration::from_secs(600));
    store.hurries.store(true, Ordering::Relaxed);
    let refused = refresh(&endpoint).await;
    assert!(matches!(&refused, Err(TokenError::NotSent(what)) if what.contains("is being replaced")), "{refused:?}");
    assert_eq!(server.asked(), ["old"]);
}

#[test]
fn a_rotation_is_waited_for_as_long_as_it_may_take() {
    assert!(LONGEST_ROTATION >= MANAGEMENT_TIMEOUT + STORE_RETRY_FOR);
}

#[tokio::test(start_paused = true)]
async fn who_died_in_the_middle_of_a_rotation_is_not_waited_for_for_ever() {
    let store = Arc::new(Store {
        secret: Mutex::new(Some("old")),
        rotating_until: Mutex::new(Some(Instant::now() + LONGEST_ROTATION)),
        ..Store::default()
    });
    let stored = StoredClients::new(store);
    stored.load().await;
    let began = Instant::now();
    stored.settled("cli_1").await;
    assert_eq!(began.elapsed(), LONGEST_ROTATION);
    stored.settled("of nobody").await;
    assert_eq!(began.elapsed(), LONGEST_ROTATION, "other clients are not waited for");
}
