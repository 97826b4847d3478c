use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, EXPECT, TRAILER},
};

use super::*;
use crate::proxy::{
    replay::Replay,
    upstream::{ErrorKind, InvalidUpstream, Sent},
};

#[tokio::test]
async fn sends_the_target_byte_for_byte_with_the_upstreams_host() {
    let mut world = World::new();
    let mut request = get("http://localhost:3539/cards/Fire%20%2f%2F?q=%41&&x");
    request.headers_mut().insert("host", HeaderValue::from_static("localhost:3539"));
    let sending = world.send(request);
    let mut peer = world.accept().await;
    assert_eq!(peer.head().await, "GET /cards/Fire%20%2f%2F?q=%41&&x HTTP/1.1\r\nhost: api.localhost:8080\r\n\r\n");
    peer.says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let response = sending.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_connection_serves_again_when_its_response_has_been_read() {
    let mut world = World::new();
    let sending = world.send(get("/1"));
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    assert_eq!(text(sending.await.unwrap().unwrap()).await.unwrap(), "ok");
    settle().await;
    let sending = world.send(get("/2"));
    assert!(peer.head().await.starts_with("GET /2 "));
    peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    sending.await.unwrap().unwrap();
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn a_connection_serves_again_when_trailers_have_been_read() {
    let mut world = World::new();
    let sending = world.send(get("/1"));
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n").await;
    let mut body = sending.await.unwrap().unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    drop(body);
    settle().await;
    let _sending = world.send(get("/2"));
    assert!(peer.head().await.starts_with("GET /2 "));
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn a_response_whose_end_is_not_clear_is_not_valid() {
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: 300\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Content-Length: 13, 13",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:",
    ] {
        let mut world = World::new();
        let sending = world.send(get("/"));
        let mut peer = world.accept().await;
        peer.head().await;
        peer.says(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n3\r\nabc\r\n0\r\n\r\n")).await;
        assert!(matches!(sending.await.unwrap().unwrap_err().kind, ErrorKind::HttpProtocol), "{fields}");
        peer.sees_the_end().await;
    }
}

#[tokio::test]
async fn the_connection_that_was_used_last_is_used_first() {
    let mut world = World::new();
    let (one, two) = (world.send(get("/1")), world.send(get("/2")));
    let (mut first, mut second) = (world.accept().await, world.accept().await);
    for (peer, sending) in [(&mut first, one), (&mut second, two)] {
        peer.head().await;
        peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
        settle().await;
        drop(sending);
    }
    let _sending = world.send(get("/3"));
    assert!(second.head().await.starts_with("GET /3 "));
}

#[tokio::test]
async fn bodiless_responses_end_with_their_header() {
    for (method, head) in [
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let mut world = World::new();
        let sending = world.send(request(method, "/", ReplayBody::empty()));
        let mut peer = world.accept().await;
        peer.head().await;
        peer.says(head).await;
        let response = sending.await.unwrap().unwrap();
        assert!(http_body::Body::is_end_stream(response.body()));
        settle().await;
        let _again = world.send(get("/again"));
        assert!(peer.head().await.starts_with("GET /again "));
    }
}

#[tokio::test]
async fn the_body_decides_the_framing() {
    let mut world = World::new();
    let mut known = post("/known", "deck");
    known.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("9"));
    known.headers_mut().insert("transfer-encoding", HeaderValue::from_static("gzip"));
    let _sending = world.send(known);
    let mut peer = world.accept().await;
    assert_eq!(peer.head().await, "POST /known HTTP/1.1\r\nhost: api.localhost:8080\r\ncontent-length: 4\r\n\r\n");
    peer.reads("deck").await;

    let (mut sender, body) = upload(Start::Now);
    let _sending = world.send(request(Method::GET, "/unknown", body));
    let mut peer = world.accept().await;
    assert!(peer.head().await.contains("\r\ntransfer-encoding: chunked\r\n"));
    sender.send_data("deck".into()).await.unwrap();
    peer.reads("4\r\ndeck\r\n").await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let mut world = World::new();
    let (mut sender, body) = upload(Start::Now);
    let mut request = request(Method::POST, "/", body);
    request.headers_mut().insert(TRAILER, HeaderValue::from_static("x-sum"));
    let sending = world.send(request);
    let mut peer = world.accept().await;
    peer.head().await;
    sender.send_data("a".into()).await.unwrap();
    sender.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())])).await.unwrap();
    drop(sender);
    peer.reads("1\r\na\r\n0\r\nx-sum: 1\r\n\r\n").await;
    peer.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nx-back: 2\r\n\r\n").await;
    let collected = sending.await.unwrap().unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-back"], "2");
}

#[tokio::test]
async fn a_stale_pooled_connection_costs_nothing_but_a_new_one() {
    let mut world = World::new();
    let peer = world.used_connection().await;
    // Closed, and used before any task could notice: hyper gives the request back.
    drop(peer);
    let upstream = world.upstream.clone();
    let (response, ()) = tokio::join!(upstream.send(post("/again", "deck")), async {
        let mut peer = world.accept().await;
        assert!(peer.head().await.starts_with("POST /again "));
        peer.reads("deck").await;
        peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    assert_eq!(response.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_is_passed_over() {
    let mut world = World::new();
    drop(world.used_connection().await);
    settle().await;
    let sending = world.send(post("/again", "deck"));
    let mut peer = world.accept().await;
    peer.head().await;
    peer.reads("deck").await;
    peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_bodiless_get_is_sent_once_more_when_a_reused_connection_closes_before_the_first_byte() {
    let mut world = World::new();
    let mut peer = world.used_connection().await;
    let sending = world.send(get("/again"));
    peer.head().await;
    drop(peer);
    let mut peer = world.accept().await;
    assert!(peer.head().await.starts_with("GET /again "));
    peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_second_attempt_does_not_trust_another_pooled_connection() {
    let mut world = World::new();
    let (one, two) = (world.send(get("/1")), world.send(get("/2")));
    let mut peers = [world.accept().await, world.accept().await];
    for peer in &mut peers {
        peer.head().await;
        peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
        settle().await;
    }
    for sending in [one, two] {
        sending.await.unwrap().unwrap();
    }
    let [_pooled, mut stale] = peers;
    let _sending = world.send(get("/again"));
    stale.head().await;
    drop(stale);
    assert!(world.accept().await.head().await.starts_with("GET /again "));
}

#[tokio::test]
async fn a_get_is_sent_once_more_only_once() {
    let mut world = World::new();
    let mut peer = world.used_connection().await;
    let sending = world.send(get("/again"));
    peer.head().await;
    drop(peer);
    let mut peer = world.accept().await;
    peer.head().await;
    drop(peer);
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Terminated));
    assert_eq!(error.sent, Sent::MaybeSent);
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn a_post_is_not_sent_again_when_a_reused_connection_closes() {
    for bodiless in [true, false] {
        let mut world = World::new();
        let mut peer = world.used_connection().await;
        let body = if bodiless { request(Method::POST, "/", ReplayBody::empty()) } else { post("/", "x") };
        let sending = world.send(body);
        peer.head().await;
        drop(peer);
        let error = sending.await.unwrap().unwrap_err();
        assert_eq!(
            (error.sent, error.proxy_error()),
            (Sent::MaybeSent, crate::model::problem::ProxyError::ConnectionTerminated)
        );
        assert!(world.no_more_connections());
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_not_sent_again() {
    let mut world = World::new();
    let mut peer = world.used_connection().await;
    let (method, body) = (Method::GET, post("/", "x").into_body());
    let sending = world.send(request(method, "/", body));
    peer.head().await;
    drop(peer);
    assert_eq!(sending.await.unwrap().unwrap_err().sent, Sent::MaybeSent);
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn a_get_is_not_sent_again_when_a_fresh_connection_closes() {
    let mut world = World::new();
    let sending = world.send(get("/"));
    world.accept().await.head().await;
    let error = sending.await.unwrap().unwrap_err();
    assert_eq!(error.sent, Sent::MaybeSent);
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn a_get_is_not_sent_again_after_the_first_response_byte() {
    let mut world = World::new();
    let mut peer = world.used_connection().await;
    let sending = world.send(get("/"));
    peer.head().await;
    peer.says("H").await;
    settle().await;
    drop(peer);
    assert_eq!(sending.await.unwrap().unwrap_err().sent, Sent::MaybeSent);
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn an_early_401_is_delivered_during_the_upload_and_the_body_can_be_sent_again() {
    let mut world = World::new();
    let (mut sender, body) = upload(Start::Now);
    let replayer = body.replayer();
    let sending = world.send(request(Method::POST, "/", body));
    let mut peer = world.accept().await;
    peer.head().await;
    sender.send_data("one ".into()).await.unwrap();
    peer.reads("4\r\none \r\n").await;
    peer.says("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
    let refused = sending.await.unwrap().unwrap();
    assert_eq!(replayer.hold(), Replay::StillSending);
    assert_eq!(text(refused).await.unwrap(), "no", "a held upload does not cut the response");

    let sending = world.send(request(Method::POST, "/", replayer.rewind().unwrap()));
    let mut second = world.accept().await;
    second.head().await;
    sender.send_data("two".into()).await.unwrap();
    drop(sender);
    second.reads("4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n").await;
    second.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().unwrap().status(), 204);
    peer.sees_the_end().await;
}

/// A request whose answer has come whole, and whose upload goes on.
async fn answered_early(world: &mut World) -> (Upload, Peer<DuplexStream>) {
    let (mut sender, body) = upload(Start::Now);
    let sending = world.send(request(Method::POST, "/", body));
    let mut peer = world.accept().await;
    peer.head().await;
    sender.send_data("one".into()).await.unwrap();
    peer.reads("3\r\none\r\n").await;
    peer.says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(text(sending.await.unwrap().unwrap()).await.unwrap(), "ok");
    (sender, peer)
}

#[tokio::test]
async fn an_upload_that_outlives_its_response_goes_on_and_then_its_connection_serves_again() {
    let mut world = World::new();
    let (mut sender, mut peer) = answered_early(&mut world).await;
    sender.send_data("two".into()).await.unwrap();
    drop(sender);
    peer.reads("3\r\ntwo\r\n0\r\n\r\n").await;
    settle().await;
    let _sending = world.send(get("/2"));
    assert!(peer.head().await.starts_with("GET /2 "));
    assert!(world.no_more_connections());
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_outlives_its_response_for_too_long_ends_with_its_connection() {
    let mut world = World::new();
    let (_sender, mut peer) = answered_early(&mut world).await;
    let answered = tokio::time::Instant::now();
    peer.sees_the_end().await;
    assert_eq!(answered.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn what_an_upstream_that_has_hung_up_does_not_take_is_taken_from_the_client_all_the_same() {
    let mut world = World::new();
    let (mut sender, body) = upload(Start::Now);
    let sending = world.send(request(Method::POST, "/", body));
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    drop(peer);
    let response = sending.await.unwrap().unwrap();
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        sender.send_data(vec![b'x'; 20_000].into()).await.unwrap();
    }
    drop(sender);
    assert_eq!(text(response).await.unwrap(), "no");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn interim_responses_are_bounded() {
    for (count, good) in [(128, true), (129, false)] {
        let mut world = World::new();
        let sending = world.send(get("/"));
        let mut peer = world.accept().await;
        peer.head().await;
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(count);
        peer.says(format!("{interim}HTTP/1.1 204 No Content\r\n\r\n")).await;
        assert_eq!(sending.await.unwrap().is_ok(), good, "{count}");
    }
}

fn expecting() -> (Upload, Request<ReplayBody>) {
    let (sender, body) = upload(Start::AfterContinue(Duration::from_secs(1)));
    let mut request = request(Method::POST, "/", body);
    request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
    (sender, request)
}

#[tokio::test(start_paused = true)]
async fn expect_continue_brings_a_401_before_anything_of_the_body_is_read() {
    let mut world = World::new();
    let (mut sender, request) = expecting();
    let replayer = request.body().replayer();
    sender.send_data("deck".into()).await.unwrap();
    let sending = world.send(request);
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().unwrap().status(), 401);
    assert_eq!(replayer.hold(), Replay::Ready);
}

#[tokio::test(start_paused = true)]
async fn the_upstreams_100_continue_starts_the_body_and_other_interim_responses_are_swallowed() {
    let mut world = World::new();
    let (mut sender, request) = expecting();
    sender.send_data("deck".into()).await.unwrap();
    let began = tokio::time::Instant::now();
    let sending = world.send(request);
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
    peer.reads("4\r\ndeck\r\n").await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn a_header_over_the_limit_is_an_invalid_response() {
    let mut world = World::with(UpstreamParams { header_size: 8 * 1024, ..params("http://api.localhost") });
    let sending = world.send(get("/"));
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(8 * 1024))).await;
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::HttpProtocol));
    assert!(matches!(error.kind, ErrorKind::Terminated | ErrorKind::HttpProtocol), "{error:?}");
}

#[tokio::test]
async fn what_is_not_http_is_an_invalid_response() {
    for answer in
        ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"]
    {
        let mut world = World::new();
        let sending = world.send(get("/"));
        let mut peer = world.accept().await;
        peer.head().await;
        peer.says(answer).await;
        assert!(matches!(sending.await.unwrap().unwrap_err().kind, ErrorKind::HttpProtocol));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_never_an_end() {
    for head in ["Content-Length: 10\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"] {
        let mut world = World::new();
        let sending = world.send(get("/"));
        let mut peer = world.accept().await;
        peer.head().await;
        peer.says(format!("HTTP/1.1 200 OK\r\n{head}")).await;
        drop(peer);
        let error = text(sending.await.unwrap().unwrap()).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Terminated), "{error}");
    }
}

#[tokio::test]
async fn a_response_that_is_dropped_half_way_closes_its_connection() {
    let mut world = World::new();
    let sending = world.send(get("/"));
    let mut peer = world.accept().await;
    peer.head().await;
    peer.says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart").await;
    drop(sending.await.unwrap().unwrap());
    peer.sees_the_end().await;
}

#[tokio::test]
async fn a_request_that_is_dropped_closes_its_connection() {
    let mut world = World::new();
    let sending = world.send(get("/"));
    let mut peer = world.accept().await;
    peer.head().await;
    sending.abort();
    peer.sees_the_end().await;
}

#[tokio::test]
async fn a_broken_upload_is_told_as_such() {
    let mut world = World::new();
    let (sender, body) = upload(Start::Now);
    let sending = world.send(request(Method::POST, "/", body));
    let mut peer = world.accept().await;
    peer.head().await;
    sender.abort(std::io::ErrorKind::ConnectionReset.into());
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Body(_)) && error.sent == Sent::MaybeSent, "{error:?}");
}

#[tokio::test]
async fn a_host_that_no_certificate_could_name_is_refused() {
    for origin in ["https://a..b", "https://-"] {
        let refused = Upstream::new(params(origin)).unwrap_err();
        assert_eq!(refused, InvalidUpstream::Host, "{origin}");
    }
}
