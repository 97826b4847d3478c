//! Token requests whose tokens are to be bound to a key, before a server that says what it is told to.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{client, endpoints, known};
use crate::{
    flexslot::{
        HttpAuthorizationServer, OAuthClient, TokenAnswer, TokenEndpoint, TokenError, transport::client_builder,
    },
    model::{ProofKey, Random, Secret, SystemClock, TokenType, token::DpopMode},
};

const BOUND: &str = r#"200 {"access_token":"a","refresh_token":"r2","token_type":"DPoP","expires_in":3600}"#;
const BEARER: &str = r#"200 {"access_token":"a","refresh_token":"r2","token_type":"Bearer","expires_in":3600}"#;
const NO_PROOF: &str = r#"400 {"error":"invalid_dpop_proof"}"#;

/// A token endpoint that answers in turn, and keeps what it was asked.
struct Scripted {
    server: HttpAuthorizationServer,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Each answer is a status, header lines with `\n` behind each, and a body from its first brace on.
    async fn new(mode: DpopMode, answers: &[&str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answers, asked) =
            (answers.iter().map(|&answer| answer.to_owned()).collect::<Vec<_>>(), Arc::clone(&requests));
        tokio::spawn(async move {
            for answer in answers {
                let (stream, _) = listener.accept().await.unwrap();
                let request = serve(stream, &answer).await;
                asked.lock().unwrap().push(request);
            }
        });
        let patience = Duration::from_secs(60);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let http = client_builder(patience, patience).tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        let clients = known(vec![OAuthClient { dpop: mode, ..client(None) }]);
        let clock = Arc::new(SystemClock);
        Self {
            server: HttpAuthorizationServer::new(http, endpoints(&origin), clients, patience, clock, Random::system()),
            requests,
        }
    }

    async fn refresh(&self, key: Option<&ProofKey>) -> Result<TokenAnswer, TokenError> {
        self.server.refresh("cli_1", &Secret::new("r1"), key).await
    }

    /// What the proof of each request claimed, and which key it showed; `None` where there was none.
    fn proofs(&self) -> Vec<Option<(Value, Value)>> {
        self.requests.lock().unwrap().iter().map(|request| proof_in(request)).collect()
    }
}

async fn serve(mut stream: TcpStream, answer: &str) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"client_id=cli_1") {
        let read = stream.read_buf(&mut request).await.unwrap();
        assert_ne!(read, 0, "the request ends early: {}", String::from_utf8_lossy(&request));
    }
    let (head, body) = answer.split_at(answer.find('{').unwrap());
    let (status, headers) = head.split_once(' ').unwrap();
    let headers = headers.replace('\n', "\r\n");
    let answer =
        format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}

fn proof_in(request: &str) -> Option<(Value, Value)> {
    let proof = request.lines().find_map(|line| line.strip_prefix("dpop: "))?;
    let part = |at| {
        serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').nth(at).unwrap()).unwrap())
    };
    let header = part(0).unwrap();
    Some((part(1).unwrap(), header["jwk"].clone()))
}

fn public(key: &ProofKey) -> Value {
    serde_json::from_str(key.public_jwk()).unwrap()
}

#[tokio::test]
async fn a_grant_without_a_key_is_asked_for_without_a_proof() {
    let scripted = Scripted::new(DpopMode::Auto, &[BEARER]).await;
    let answer = scripted.refresh(None).await.unwrap();
    assert_eq!((answer.token_type, answer.key), (TokenType::Bearer, None));
    assert_eq!(scripted.proofs(), [None]);
}

#[tokio::test]
async fn a_server_that_demands_a_proof_gets_one_and_is_remembered() {
    let scripted = Scripted::new(DpopMode::Auto, &[NO_PROOF, BOUND, BOUND]).await;
    let first = scripted.refresh(None).await.unwrap();
    let key = first.key.unwrap();
    let second = scripted.refresh(None).await.unwrap();
    let proofs = scripted.proofs();
    assert_eq!(proofs[0], None);
    let (claims, shown) = proofs[1].as_ref().unwrap();
    assert_eq!((&claims["htm"], shown), (&Value::from("POST"), &public(&key)));
    assert!(claims["htu"].as_str().unwrap().ends_with("/token") && claims.get("ath").is_none());
    // The next grant's key is another.
    assert_ne!(second.key, Some(key));
    assert_eq!(proofs[2].as_ref().unwrap().1, public(&second.key.unwrap()));
}

#[tokio::test]
async fn a_grants_own_key_is_kept() {
    let scripted = Scripted::new(DpopMode::Auto, &[BOUND]).await;
    let key = ProofKey::generate();
    assert_eq!(scripted.refresh(Some(&key)).await.unwrap().key, Some(key.clone()));
    assert_eq!(scripted.proofs()[0].as_ref().unwrap().1, public(&key));
}

#[tokio::test]
async fn a_nonce_that_is_demanded_is_sent_once() {
    let demand = |nonce: &str| format!("400 DPoP-Nonce: {nonce}\n{{\"error\":\"use_dpop_nonce\"}}");
    let (one, two) = (demand("n1"), demand("n2"));
    let scripted =
        Scripted::new(DpopMode::Always, &[&one, &format!("200 DPoP-Nonce: n3\n{}", &BOUND[4..]), BOUND, &one, &two])
            .await;
    scripted.refresh(None).await.unwrap();
    scripted.refresh(None).await.unwrap();
    // A server that is never content is not asked for ever; it may be content another time.
    let error = scripted.refresh(None).await.unwrap_err();
    assert!(matches!(&error, TokenError::RefusedForNow { what, .. } if what.contains("use_dpop_nonce")), "{error}");
    let nonces: Vec<_> = scripted.proofs().into_iter().map(|proof| proof.unwrap().0.get("nonce").cloned()).collect();
    let expected = [None, Some("n1"), Some("n3"), Some("n3"), Some("n1")];
    assert_eq!(nonces, expected.map(|nonce| nonce.map(Value::from)));
}

#[tokio::test]
async fn a_proof_that_came_from_a_wrong_clock_is_made_anew() {
    let dated = format!("400 Date: Fri, 20 Nov 2020 18:40:00 GMT\n{}", &NO_PROOF[4..]);
    let scripted = Scripted::new(DpopMode::Always, &[&dated, BOUND]).await;
    scripted.refresh(None).await.unwrap();
    let dated = scripted.proofs()[1].as_ref().unwrap().0["iat"].as_i64().unwrap();
    assert!((1_605_897_600..1_605_897_660).contains(&dated), "{dated}");
}

#[tokio::test]
async fn a_proof_that_would_be_the_same_is_not_sent_again() {
    let scripted = Scripted::new(DpopMode::Always, &[NO_PROOF]).await;
    assert!(matches!(scripted.refresh(None).await, Err(TokenError::Misconfigured(_))));
    assert_eq!(scripted.proofs().len(), 1);
}

#[tokio::test]
async fn dpop_off_makes_a_demand_a_fault_of_the_configuration() {
    let scripted = Scripted::new(DpopMode::Off, &[NO_PROOF]).await;
    let error = scripted.refresh(Some(&ProofKey::generate())).await.unwrap_err();
    assert!(matches!(&error, TokenError::Misconfigured(what) if what.contains("oauth.dpop")), "{error}");
    assert_eq!(scripted.proofs(), [None]);
}
