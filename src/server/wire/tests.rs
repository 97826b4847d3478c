//! Raw bytes against the reader, hyper and a small service: each is refused with its status, or seen as exactly the
//! requests that it is.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{MAX_TARGET, Refusal, WireLimits};
use crate::{
    model::Peer,
    proxy::guard::Reach,
    server::{
        accept::{Came, ConnInfo},
        connection::{self, Observed},
    },
};

pub(in crate::server) const LIMITS: WireLimits = WireLimits {
    header_size: 4096,
    header_timeout: Duration::from_secs(10),
    keep_alive_timeout: Duration::from_secs(75),
    write_timeout: Duration::from_secs(60),
};

/// What the service saw of a request that was let through: method, target, body.
type Seen = Arc<Mutex<Vec<String>>>;

async fn answer(request: Request<Incoming>, seen: Seen) -> Response<Full<Bytes>> {
    let bare = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response.headers_mut().insert("refused-by", HeaderValue::from_static("service"));
        response
    };
    let came = Arc::clone(request.extensions().get::<Arc<Came>>().expect("every request has one"));
    if let Some(refusal) = came.refusal {
        return bare(refusal.status());
    }
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/slow" {
        sleep(Duration::from_secs(100)).await;
    }
    match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().map_or(0, http::HeaderMap::len);
            let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            let trailers = if trailers > 0 { format!(" +{trailers}") } else { String::new() };
            let upgrade: Vec<_> =
                parts.headers.get_all(header::UPGRADE).iter().map(|to| to.to_str().unwrap()).collect();
            let upgrade = if upgrade.is_empty() { String::new() } else { format!("^{}", upgrade.join("^")) };
            seen.lock().push(format!("{} {} {body}{trailers}{upgrade}", parts.method, parts.uri));
            Response::new(Full::from("ok"))
        }
        Err(_) if came.on.wire.is_body_fault() => bare(StatusCode::BAD_REQUEST),
        Err(_) => bare(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

struct Conversation {
    client: DuplexStream,
    seen: Seen,
    server: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// A connection whose pipe holds `capacity` bytes, so that no read or write is longer.
fn connect(capacity: usize) -> Conversation {
    let (client, server) = duplex(capacity);
    let (stop, stopping) = watch::channel(false);
    let info = ConnInfo {
        peer: Peer::Unix { uid: 0 },
        share: None,
        reach: Reach::Unix,
        tenant: None,
        worker: 0,
        wire: Arc::default(),
    };
    let seen = Seen::default();
    let shared = Arc::clone(&seen);
    let service = move |request: Request<Incoming>| answer(request, Arc::clone(&shared));
    let server = tokio::spawn(connection::serve(server, Observed::new(Arc::new(service), info), LIMITS, stopping));
    Conversation { client, seen, server, stop }
}

impl Conversation {
    /// Sends all of `raw`, leaves the connection open, and reads until the server closes it.
    async fn say(self, raw: &[u8]) -> (Vec<u16>, Vec<String>) {
        let (mut reader, mut writer) = tokio::io::split(self.client);
        let raw = raw.to_vec();
        let writing = tokio::spawn(async move {
            let _closed_early = writer.write_all(&raw).await;
            writer
        });
        let mut answers = Vec::new();
        let read = timeout(Duration::from_secs(1000), reader.read_to_end(&mut answers));
        read.await.expect("the server closes").expect("and does not reset");
        let _writer = writing.await.unwrap();
        self.server.await.unwrap();
        drop(self.stop);
        (statuses(&answers), std::mem::take(&mut self.seen.lock()))
    }
}

/// The statuses of complete answers. hyper's own refusals do not count: nothing that it refuses may reach it.
fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    let answers = text.split("HTTP/1.").skip(1).map(|answer| {
        assert!(answer.ends_with("\r\n\r\nok") || answer.contains("\r\nrefused-by: service\r\n"), "{answer}");
        answer[2..5].parse().expect("a status")
    });
    answers.collect()
}

/// Says `raw` in one piece and byte by byte.
async fn expect(raw: &[u8], expected_statuses: &[u16], expected_seen: &[&str]) {
    for capacity in [1 << 20, 1] {
        let (statuses, seen) = connect(capacity).say(raw).await;
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(200)]).into_owned();
        assert_eq!(
            (&statuses[..], &seen[..]),
            (expected_statuses, &expected_seen.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
            "capacity {capacity}: {shown:?}"
        );
    }
}

fn get(fields: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes()
}

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

#[tokio::test(start_paused = true)]
async fn malformed_request_lines_are_refused() {
    for line in [
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        " GET / HTTP/1.1\r\n",
        "GET\t/ HTTP/1.1\r\n",
        "GET /\tHTTP/1.1\r\n",
        "GET / x HTTP/1.1\r\n",
        "GET /\r\n",
        "GET\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/0.9\r\n",
        "GET / http/1.1\r\n",
        "GET / HTTP/1.1x\r\n",
        "GET / HTTP/01.1\r\n",
        "G@T / HTTP/1.1\r\n",
        "G\0T / HTTP/1.1\r\n",
        "GET /\0 HTTP/1.1\r\n",
        "GET /\x07 HTTP/1.1\r\n",
        "GET /\x7f HTTP/1.1\r\n",
        "GET x HTTP/1.1\r\n",
        "GET * HTTP/1.1\r\n",
        "GET localhost:80 HTTP/1.1\r\n",
        "GET http:///x HTTP/1.1\r\n",
        "GET /<x> HTTP/1.1\r\n",
        "CONNECT / HTTP/1.1\r\n",
        "GET /\r HTTP/1.1\r\n",
        "GET /\rx HTTP/1.1\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n",
        "\nGET / HTTP/1.1\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n",
        "",
        "{}",
    ] {
        if line.is_empty() {
            continue;
        }
        expect(format!("{line}Host: localhost\r\n\r\n").as_bytes(), &[400], &[]).await;
    }
    expect(b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", &[400], &[]).await;
    expect(format!("{} / HTTP/1.1\r\nHost: localhost\r\n\r\n", "M".repeat(65)).as_bytes(), &[400], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn malformed_fields_are_refused() {
    for field in [
        "A: b\n",
        "A: b\r\r\n",
        "A: b\rc\r\n",
        "A : b\r\n",
        "A\t: b\r\n",
        " A: b\r\n",
        ": b\r\n",
        "A\r\n",
        "A b: c\r\n",
        "A@: b\r\n",
        "\u{e9}: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A: b\r\n \r\n",
        "A: \0\r\n",
        "A: b\x01\r\n",
        "A: \x7f\r\n",
        "A: b\x0b\r\n",
        "A: b\x0c\r\n",
        "A: \r\r\n",
        "Host: localhost\r\n",
        "Host: other\r\n",
    ] {
        expect(&get(field), &[400], &[]).await;
    }
    for host in ["a b", "a@b", "a/b", "a?b", "[::1", "[::1]x", "a:b", "a:1:2", ":80", "[]:80x", "a\\b", "a,b:80 "] {
        let legal = host == "a,b:80 ";
        let raw = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (statuses, seen): (&[u16], &[&str]) = if legal { (&[200], &["GET /x "]) } else { (&[400], &[]) };
        expect(raw.as_bytes(), statuses, seen).await;
    }
    expect(b"GET /x HTTP/1.1\r\n\r\n", &[400], &[]).await;
    expect(b"GET /x HTTP/1.1\r\nHost: a\r\nA: b\r\n\n", &[400], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn ambiguous_framing_is_refused() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 3 3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3.0\r\n",
        "Content-Length: \r\n",
        "Content-Length: three\r\n",
        "Content-Length: 18446744073709551619\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 3;\r\n",
        "Content-Length: \"3\"\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
    ] {
        expect(&post(fields, "3\r\nabc\r\n0\r\n\r\n"), &[400], &[]).await;
    }
    expect(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn broken_chunks_are_refused() {
    for body in [
        "\r\nabc\r\n0\r\n\r\n",
        "x\r\nabc",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\r0\r\n\r\n",
        "ffffffffffffffff\r\nabc",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a=\0\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nA : b\r\n\r\n",
        "3\r\nabc\r\n0\r\nA: b\n\r\n",
        "3\r\nabc\r\n0\r\n A: b\r\n\r\n",
        "3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\n\r\n",
        "3_0\r\nabc\r\n0\r\n\r\n",
    ] {
        expect(&chunked(body), &[400], &[]).await;
    }
    expect(&chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(9000))), &[400], &[]).await;
    expect(&chunked(&format!("0\r\nA: {}\r\n\r\n", "x".repeat(5000))), &[400], &[]).await;
    expect(&chunked(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(101))), &[400], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused() {
    let fill = |bytes: usize| "Host: localhost\r\nA: ".len() + 2 + bytes;
    let fits = "x".repeat(LIMITS.header_size - fill(0));
    expect(&get(&format!("A: {fits}\r\n")), &[200], &["GET /x "]).await;
    expect(&get(&format!("A: {fits}x\r\n")), &[431], &[]).await;
    expect(&get(&format!("A: {}", "x".repeat(100_000))), &[431], &[]).await;
    expect(&get(&"A: b\r\n".repeat(99)), &[200], &["GET /x "]).await;
    expect(&get(&"A: b\r\n".repeat(100)), &[431], &[]).await;
    expect(&get(&format!("{}: b\r\n", "a".repeat(1025))), &[431], &[]).await;
    let target =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(length - 1)).into_bytes();
    let (statuses, seen) = connect(1 << 20).say(&target(MAX_TARGET)).await;
    assert_eq!((statuses, seen.len()), (vec![200], 1));
    expect(&target(MAX_TARGET + 1), &[414], &[]).await;
    expect(format!("GET /{}", "x".repeat(MAX_TARGET)).as_bytes(), &[414], &[]).await;
}

#[tokio::test(start_paused = true)]
async fn good_requests_are_seen_as_they_are() {
    for (raw, seen) in [
        (get(""), "GET /x "),
        (get("A:b\r\nB: \tc d\t \r\nC:\r\nD: \u{e9}\r\n"), "GET /x "),
        (post("Content-Length: 3\r\n", "abc"), "POST /x abc"),
        (post("Content-Length:\t03 \r\n", "abc"), "POST /x abc"),
        (post("Content-Length: 0\r\n", ""), "POST /x "),
        (chunked("3\r\nabc\r\n0\r\n\r\n"), "POST /x abc"),
        (chunked("0\r\n\r\n"), "POST /x "),
        (chunked("003;a=\"b;c\"\r\nabc\r\nA\r\n0123456789\r\n000\r\n\r\n"), "POST /x abc0123456789"),
        (chunked("3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n"), "POST /x abc +2"),
        (post("transfer-encoding: CHUNKED\r\n", "1\r\n\r\r\n0\r\n\r\n"), "POST /x \r"),
        (b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n".to_vec(), "OPTIONS * "),
        (b"\r\nGET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".to_vec(), "GET /x "),
        (b"GET http://localhost/x?y HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), "GET http://localhost/x?y "),
        (b"GET /a\\b HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), "GET /a\\b "),
        (b"GET /x HTTP/1.0\r\n\r\n".to_vec(), "GET /x "),
        (
            get("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"),
            "GET /x ^h2c",
        ),
        (get("A: b\r\nupgrade:a/1, b\r\nConnection: close\r\nUPGRADE:  websocket \r\n"), "GET /x ^a/1, b^websocket"),
        (get("Connection: close\r\n"), "GET /x "),
    ] {
        expect(&raw, &[200], &[seen]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_up_to_the_refused_one() {
    let two = [post("Content-Length: 3\r\n", "abc"), b"\r\n".to_vec(), chunked("1\r\nx\r\n0\r\n\r\n")].concat();
    expect(&two, &[200, 200], &["POST /x abc", "POST /x x"]).await;
    let bad = [get(""), chunked("1\r\nx\r\n0\r\n\r\n"), get("A : b\r\n"), get("")].concat();
    expect(&bad, &[200, 200, 400], &["GET /x ", "POST /x x"]).await;
    let slow = [b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), get(" A: b\r\n")].concat();
    expect(&slow, &[200, 400], &["GET /slow "]).await;
    // What a reader that ignores the body's length would take for a request is body.
    let smuggled = post("Content-Length: 39\r\n", "GET /evil HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(&smuggled, &[200], &["POST /x GET /evil HTTP/1.1\r\nHost: localhost\r\n\r\n"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_fragment_is_refused_where_hyper_would_drop_it() {
    for target in ["/x#y", "/#", "/x?y#z", "#", "http://localhost/#"] {
        expect(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes(), &[400], &[]).await;
    }
    assert_eq!(Refusal::Fragment.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_cut_off_is_refused() {
    for raw in ["GET / HTTP/1.1\r\nHost: lo", "GET", "GET / HTTP/1.1\r\nHost: localhost\r\n", "PRI * HTTP/2.0\r\n\r\n"]
    {
        let mut conversation = connect(1 << 20);
        conversation.client.write_all(raw.as_bytes()).await.unwrap();
        conversation.client.shutdown().await.unwrap();
        let mut answers = Vec::new();
        conversation.client.read_to_end(&mut answers).await.unwrap();
        assert_eq!(statuses(&answers), [400], "{raw:?}");
    }
}

/// Sends `raw` and says after how many seconds, with which statuses, the server closes.
async fn closes_after(raw: &str) -> (u64, Vec<u16>) {
    let started = Instant::now();
    let mut conversation = connect(1 << 20);
    conversation.client.write_all(raw.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    conversation.client.read_to_end(&mut answers).await.unwrap();
    (started.elapsed().as_secs(), statuses(&answers))
}

#[tokio::test(start_paused = true)]
async fn silence_is_closed_silently_and_half_a_head_with_408() {
    assert_eq!(closes_after("").await, (10, vec![]));
    assert_eq!(closes_after("GET / HT").await, (10, vec![408]));
    assert_eq!(closes_after("PRI * HT").await, (10, vec![408]));
    assert_eq!(closes_after("GET / HTTP/1.1\r\nHost: a\r\n").await, (10, vec![408]));
    assert_eq!(closes_after("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, (75, vec![200]));
    assert_eq!(closes_after("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n").await, (75, vec![200]));
    assert_eq!(closes_after("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /").await, (10, vec![200, 408]));
    // The time of the answer counts neither as waiting for a head nor as idle.
    assert_eq!(closes_after("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await, (175, vec![200]));
    assert_eq!(closes_after("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /").await, (100, vec![200, 408]));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_late_however_often_it_drips() {
    let mut conversation = connect(1 << 20);
    let started = Instant::now();
    for byte in b"GET / HTTP/1.1" {
        let _closed = conversation.client.write_all(&[*byte]).await;
        sleep(Duration::from_secs(1)).await;
    }
    let mut answers = Vec::new();
    conversation.client.read_to_end(&mut answers).await.unwrap();
    assert_eq!((statuses(&answers), started.elapsed().as_secs()), (vec![408], 14));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_given_up() {
    let conversation = connect(16);
    let mut client = conversation.client;
    client.write_all(&get("")).await.unwrap();
    let started = Instant::now();
    conversation.server.await.unwrap();
    assert_eq!(started.elapsed(), LIMITS.write_timeout);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_idle_connections_at_once_and_busy_ones_after_their_answer() {
    for (raw, expected) in
        [("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1), ("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", 100), ("", 1)]
    {
        let mut conversation = connect(1 << 20);
        let started = Instant::now();
        conversation.client.write_all(raw.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        conversation.stop.send_replace(true);
        conversation.server.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), expected, "{raw:?}");
        let mut answers = Vec::new();
        conversation.client.read_to_end(&mut answers).await.unwrap();
        assert_eq!(statuses(&answers).len(), usize::from(!raw.is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_to_be_told_to_continue_is_told() {
    let mut client = connect(1 << 20);
    client.client.write_all(&post("Content-Length: 3\r\nExpect: 100-continue\r\n", "")).await.unwrap();
    let mut told = [0; 25];
    client.client.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.say(b"abc").await, (vec![200], vec!["POST /x abc".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn http2_is_told_by_its_preface() {
    let conversation = connect(1);
    let io = hyper_util::rt::TokioIo::new(conversation.client);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("http://localhost/x").body(Full::new(Bytes::from("abc"))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(*conversation.seen.lock(), ["POST http://localhost/x abc"]);
    // An idle connection is closed like one of HTTP/1.1.
    let started = Instant::now();
    drop(response);
    let _closed = connection.await.unwrap();
    assert!((75..=76).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}
