//! What happens on the connection: both protocols, streaming, many at once.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::sandbox::{Endpoint, Fault, Moment};

/// Writes `bytes` and reads until the answer's header has come.
pub(super) async fn exchange(test: &Test, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(test.running.origin().trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") && stream.read_buf(&mut answer).await.unwrap() > 0 {}
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn echo_tells_how_a_request_arrived_and_not_its_credential() {
    let test = Test::start().await;
    let token = test.grant().access;
    let body = json_of(1 << 20);
    let reply = test.call(Method::PUT, "/sandbox/echo?a=%2F&b", &token, Some(body.clone())).await;
    assert!(!reply.text().contains(token.expose()));
    let told = reply.json();
    assert_eq!(told["target"], "/api/public/v1/sandbox/echo?a=%2F&b");
    assert_eq!(told["body"]["length"], body.to_string().len());
    assert_eq!(told["body"]["sha256"], ids::hex(&ids::digest(&body.to_string())));
    assert!(
        told["headers"].as_array().unwrap().contains(&serde_json::json!(["authorization", "Bearer flx_at_[redacted]"]))
    );
}

fn json_of(length: usize) -> Value {
    Value::String("x".repeat(length))
}

#[tokio::test]
async fn mirror_sends_the_body_back() {
    let test = Test::start().await;
    let body = json_of(300_000);
    let reply = test.call(Method::POST, "/sandbox/mirror", &test.grant().access, Some(body.clone())).await;
    assert_eq!(reply.text(), body.to_string());
}

#[tokio::test]
async fn stream_ends_with_a_trailer() {
    let test = Test::start().await;
    let token = test.grant().access;
    let request = format!(
        "GET /api/public/v1/sandbox/stream?size=5&chunk=2 HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        token.expose()
    );
    let mut stream = TcpStream::connect(test.running.origin().trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("2\r\n..\r\n2\r\n..\r\n1\r\n.\r\n0\r\nsandbox-trailer: end\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn http_2_by_prior_knowledge_is_served() {
    let test = Test::start().await;
    let stream = TcpStream::connect(test.running.origin().trim_start_matches("http://")).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let token = test.grant().access;
    let request = |path: &str| {
        let (mut parts, body) = api(Method::GET, path, &token, None).into_parts();
        parts.headers.remove(header::HOST);
        parts.uri = format!("{}{}", test.running.origin(), parts.uri).parse().unwrap();
        Request::from_parts(parts, body)
    };
    let reply = sender.send_request(request("/sandbox/echo")).await.unwrap();
    let told: Value = serde_json::from_slice(&reply.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&told["version"], &told["target"]), (&"HTTP/2.0".into(), &"/api/public/v1/sandbox/echo".into()));
    test.sandbox.fault(Fault::cut(Endpoint::Resource, Moment::BeforeProcessing).once());
    assert!(sender.send_request(request("/decks/")).await.is_err());
    // The whole connection is gone, not one stream of it.
    assert!(sender.send_request(request("/decks/")).await.is_err());
}

#[tokio::test]
async fn no_token_gets_into_the_log_or_the_remembered_requests() {
    let test = Test::start().await;
    let mut lines = test.sandbox.subscribe();
    let pair = test.grant();
    test.get("/decks/", &pair.access).await;
    let newer = test.refresh(&pair.refresh).await.secret("refresh_token");
    test.get("/decks/", &pair.access).await;
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(lines.recv().await.unwrap().to_string());
    }
    assert_eq!(said[0], "GET /decks/ 200 george oauth v1");
    assert_eq!(said[1], "token refresh george ok v2");
    assert_eq!(said[2], "GET /decks/ 401 invalid_token (rotated out) george oauth v1");
    let requests = test.sandbox.requests();
    assert_eq!((requests.len(), requests[1].body_length > 0, requests[2].status), (3, true, Some(401)));
    let everything = format!("{said:?} {requests:?} {:?} {}", test.sandbox, serde_json::to_string(&requests).unwrap());
    for secret in [&pair.access, &pair.refresh, &newer] {
        assert!(!everything.contains(secret.expose()));
    }
    assert!(!everything.contains(SECRET) && !everything.contains(&basic_header(CLIENT, SECRET)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stands_ten_thousand_requests_over_five_hundred_connections() {
    let test = Arc::new(Test::start().await);
    let token = test.grant().access;
    let clients: Vec<_> = (0..500)
        .map(|_| {
            let (test, token) = (Arc::clone(&test), token.clone());
            tokio::spawn(async move {
                let stream = TcpStream::connect(test.running.origin().trim_start_matches("http://")).await.unwrap();
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                for _ in 0..20 {
                    let reply = sender.send_request(api(Method::GET, "/decks/", &token, None)).await.unwrap();
                    assert_eq!(reply.status(), 200);
                    reply.into_body().collect().await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let counts = test.sandbox.counters();
    assert_eq!((counts.connections, counts.with_status(Endpoint::Resource, 200)), (500, 10_000));
    assert_eq!(test.sandbox.requests().len(), 1000);
}
