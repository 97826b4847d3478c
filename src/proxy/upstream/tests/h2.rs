//! HTTP/2, with frames written by hand (RFC 9113 section 4.1), so that a peer can also misbehave.

mod limits;

use tokio_rustls::server::TlsStream;

use super::*;
use crate::proxy::upstream::{ErrorKind, Sent};

type H2Peer = Peer<TlsStream<DuplexStream>>;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` and `:status: 204` as HPACK (RFC 7541).
const OK: &[u8] = &[0x88];
const NO_CONTENT: &[u8] = &[0x89];

struct Seen {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl World {
    async fn accept_h2(&mut self) -> H2Peer {
        self.accept_h2_with(&[]).await
    }

    async fn accept_h2_with(&mut self, settings: &[u8]) -> H2Peer {
        let mut peer = self.accept().await.tls("api.test", &["h2", "http/1.1"]).await.unwrap();
        peer.reads("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        peer.frame(SETTINGS, 0, 0, settings).await;
        peer
    }
}

impl H2Peer {
    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.says(frame).await;
    }

    /// The next frame about a request.
    async fn seen(&mut self) -> Seen {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.unwrap();
            let [_, a, b, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; usize::from(u16::from_be_bytes([a, b]))];
            self.0.read_exact(&mut payload).await.unwrap();
            if kind == SETTINGS && flags == 0 {
                self.frame(SETTINGS, 1, 0, &[]).await;
            }
            if matches!(kind, DATA | HEADERS | RST_STREAM) {
                return Seen { kind, flags, stream: u32::from_be_bytes(stream), payload };
            }
        }
    }

    /// The stream of the next request.
    async fn request(&mut self) -> u32 {
        let seen = self.seen().await;
        assert_eq!(seen.kind, HEADERS);
        seen.stream
    }

    async fn answers(&mut self, stream: u32, status: &[u8]) {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, status).await;
    }
}

#[tokio::test]
async fn all_requests_share_one_connection_and_one_attempt_to_make_it() {
    let mut world = World::with(tls::secure());
    let sending: Vec<_> = (0..3).map(|_| world.send(get("/"))).collect();
    let mut peer = world.accept_h2().await;
    for _ in 0..3 {
        let stream = peer.request().await;
        peer.answers(stream, NO_CONTENT).await;
    }
    for sending in sending {
        assert_eq!(sending.await.unwrap().unwrap().status(), 204);
    }
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn all_who_wait_for_a_connection_learn_of_its_failure_at_once() {
    let mut world = World::with(tls::secure());
    let sending: Vec<_> = (0..3).map(|_| world.send(get("/"))).collect();
    drop(world.accept().await);
    for sending in sending {
        assert!(matches!(sending.await.unwrap().unwrap_err().kind, ErrorKind::TlsProtocol));
    }
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_shared_attempt_with_it() {
    let mut world = World::with(tls::secure());
    let (gone, stays) = (world.send(get("/")), world.send(get("/")));
    settle().await;
    gone.abort();
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    peer.answers(stream, NO_CONTENT).await;
    assert_eq!(stays.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_with_its_body() {
    let mut world = World::with(tls::secure());
    let sending = world.send(post("/", "deck"));
    let mut peer = world.accept_h2().await;
    let first = peer.request().await;
    assert_eq!(peer.seen().await.payload, b"deck");
    peer.frame(RST_STREAM, 0, first, &7u32.to_be_bytes()).await;
    let second = peer.request().await;
    let data = peer.seen().await;
    assert_eq!((data.payload.as_slice(), data.flags & END_STREAM), (&b"deck"[..], END_STREAM));
    assert!(second > first);
    peer.answers(second, NO_CONTENT).await;
    assert_eq!(sending.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn a_stream_that_is_reset_for_another_reason_is_not_sent_again() {
    let mut world = World::with(tls::secure());
    let sending = world.send(get("/"));
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    peer.frame(RST_STREAM, 0, stream, &2u32.to_be_bytes()).await;
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Terminated));
    assert_eq!(error.sent, Sent::MaybeSent);
}

#[tokio::test]
async fn a_request_above_the_last_stream_of_a_goaway_goes_to_a_new_connection() {
    let mut world = World::with(tls::secure());
    let sending = world.send(post("/", "deck"));
    let mut old = world.accept_h2().await;
    old.request().await;
    // Last stream 0, NO_ERROR, and words that are none of our business.
    old.frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0 bye").await;
    let mut new = world.accept_h2().await;
    let stream = new.request().await;
    assert_eq!(new.seen().await.payload, b"deck");
    new.answers(stream, NO_CONTENT).await;
    assert_eq!(sending.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn what_an_upstream_writes_into_a_goaway_does_not_get_into_errors() {
    let mut world = World::with(tls::secure());
    let sending = world.send(get("/"));
    let mut peer = world.accept_h2().await;
    peer.request().await;
    peer.frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x02 bye").await;
    let error = sending.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("connection error received") && !error.contains("bye"), "{error}");
}

#[tokio::test]
async fn after_a_goaway_what_is_under_way_ends_well_and_what_is_new_goes_elsewhere() {
    let mut world = World::with(tls::secure());
    let under_way = world.send(get("/"));
    let mut old = world.accept_h2().await;
    let stream = old.request().await;
    old.frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
    settle().await;
    let new = world.send(get("/"));
    let mut peer = world.accept_h2().await;
    let second = peer.request().await;
    peer.answers(second, NO_CONTENT).await;
    assert_eq!(new.await.unwrap().unwrap().status(), 204);
    old.answers(stream, NO_CONTENT).await;
    assert_eq!(under_way.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn a_bodiless_get_is_sent_once_more_when_the_reused_connection_closes() {
    let mut world = World::with(tls::secure());
    let first = world.send(get("/"));
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    peer.answers(stream, NO_CONTENT).await;
    first.await.unwrap().unwrap();
    let again = world.send(get("/"));
    let with_body = request(Method::GET, "/", post("/", "x").into_body());
    let never_again = [world.send(post("/", "x")), world.send(with_body)];
    for _ in 0..3 {
        while peer.seen().await.kind != HEADERS {}
    }
    drop(peer);
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    peer.answers(stream, NO_CONTENT).await;
    assert_eq!(again.await.unwrap().unwrap().status(), 204);
    for sending in never_again {
        let error = sending.await.unwrap().unwrap_err();
        assert_eq!(error.sent, Sent::MaybeSent);
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_in_the_middle_of_its_body_never_looks_whole() {
    for reason in [0u32, 2, 8] {
        let mut world = World::with(tls::secure());
        let sending = world.send(get("/"));
        let mut peer = world.accept_h2().await;
        let stream = peer.request().await;
        peer.frame(HEADERS, END_HEADERS, stream, OK).await;
        peer.frame(DATA, 0, stream, b"part").await;
        let response = sending.await.unwrap().unwrap();
        peer.frame(RST_STREAM, 0, stream, &reason.to_be_bytes()).await;
        assert!(text(response).await.is_err(), "reset with {reason}");
    }
}

#[tokio::test]
async fn a_whole_body_ends_well_with_and_without_trailers() {
    for trailers in [false, true] {
        let mut world = World::with(tls::secure());
        let sending = world.send(get("/"));
        let mut peer = world.accept_h2().await;
        let stream = peer.request().await;
        peer.frame(HEADERS, END_HEADERS, stream, OK).await;
        peer.frame(DATA, if trailers { 0 } else { END_STREAM }, stream, b"whole").await;
        if trailers {
            // A literal field: x: y.
            peer.frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\0\x01x\x01y").await;
        }
        let collected = sending.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().is_some(), trailers);
        assert_eq!(collected.to_bytes(), "whole");
    }
}

#[tokio::test]
async fn a_response_that_is_dropped_resets_its_stream_and_nothing_else() {
    let mut world = World::with(tls::secure());
    let sending = world.send(get("/"));
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    peer.frame(HEADERS, END_HEADERS, stream, OK).await;
    drop(sending.await.unwrap().unwrap());
    let seen = peer.seen().await;
    assert_eq!((seen.kind, seen.stream), (RST_STREAM, stream));
    let _next = world.send(get("/"));
    peer.request().await;
}

#[tokio::test]
async fn a_header_over_the_limit_is_an_invalid_response() {
    let mut world = World::with(UpstreamParams { header_size: 4096, ..tls::secure() });
    let sending = world.send(get("/"));
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    let mut block = OK.to_vec();
    // Twenty fields of 250 bytes: a literal each, new name.
    for _ in 0..20 {
        block.extend(b"\0\x01x\x7f\x7b");
        block.extend([b'y'; 250]);
    }
    peer.answers(stream, &block).await;
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::HttpProtocol), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let mut world = World::with(tls::secure());
    let sending = world.send(get("/"));
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    peer.answers(stream, NO_CONTENT).await;
    sending.await.unwrap().unwrap();
    let idle = tokio::time::Instant::now();
    peer.sees_the_end().await;
    assert_eq!(idle.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_gets_old_and_another_takes_its_place() {
    let mut world = World::with(tls::secure());
    let began = tokio::time::Instant::now();
    let first = world.send(get("/first"));
    let mut peer = world.accept_h2().await;
    let stream = peer.request().await;
    peer.answers(stream, NO_CONTENT).await;
    first.await.unwrap().unwrap();
    settle().await;
    while began.elapsed() < Duration::from_secs(16 * 60) {
        // Before a ping is due, which this peer would not answer.
        tokio::time::advance(Duration::from_secs(10)).await;
        let sending = world.send(get("/busy"));
        settle().await;
        if let Ok((_, next)) = world.connections.try_recv() {
            assert!(began.elapsed() > Duration::from_secs(12 * 60), "{:?}", began.elapsed());
            drop(next);
            return peer.sees_the_end().await;
        }
        let stream = peer.request().await;
        peer.answers(stream, NO_CONTENT).await;
        sending.await.unwrap().unwrap();
        settle().await;
    }
    panic!("the connection lives for ever");
}
