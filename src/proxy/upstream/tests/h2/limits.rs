//! How many streams the upstream allows on a connection, and how many connections follow from that.

use super::*;

/// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2).
const TWO_STREAMS: &[u8] = &[0, 3, 0, 0, 0, 2];

#[tokio::test(start_paused = true)]
async fn a_full_connection_keeps_nobody_waiting_and_all_end_when_they_have_idled() {
    let mut world = World::with(tls::secure());
    let sending: Vec<_> = (0..9).map(|_| world.send(get("/"))).collect();
    let mut peers = Vec::new();
    for requests in [2, 2, 2, 2, 1] {
        let mut peer = world.accept_h2_with(TWO_STREAMS).await;
        let mut streams = Vec::new();
        for _ in 0..requests {
            streams.push(peer.request().await);
        }
        peers.push((peer, streams));
    }
    assert!(world.no_more_connections());
    for (peer, streams) in &mut peers {
        for stream in streams {
            peer.answers(*stream, NO_CONTENT).await;
        }
    }
    for sending in sending {
        assert_eq!(sending.await.unwrap().unwrap().status(), 204);
    }
    let idle = tokio::time::Instant::now();
    for (peer, _) in &mut peers {
        peer.sees_the_end().await;
    }
    assert_eq!(idle.elapsed().as_secs(), 25);
}

#[tokio::test]
async fn a_stream_that_is_free_again_is_used_before_another_connection_is_made() {
    let mut world = World::with(tls::secure());
    let _under_way = [world.send(get("/")), world.send(get("/"))];
    let mut peer = world.accept_h2_with(TWO_STREAMS).await;
    peer.request().await;
    let second = peer.request().await;
    peer.answers(second, NO_CONTENT).await;
    settle().await;
    let _next = world.send(get("/"));
    peer.request().await;
    settle().await;
    assert!(world.no_more_connections());
}

#[tokio::test]
async fn a_limit_that_is_lowered_later_counts_from_the_next_request_on() {
    let mut world = World::with(tls::secure());
    let _first = world.send(get("/"));
    let mut old = world.accept_h2().await;
    old.request().await;
    old.frame(SETTINGS, 0, 0, TWO_STREAMS).await;
    settle().await;
    let _second = world.send(get("/"));
    old.request().await;
    settle().await;
    let _third = world.send(get("/"));
    world.accept_h2_with(TWO_STREAMS).await.request().await;
}

#[tokio::test]
async fn when_no_further_connection_can_be_had_a_request_waits_for_a_stream() {
    let mut world = World::with(tls::secure());
    let sending: Vec<_> = (0..3).map(|_| world.send(get("/"))).collect();
    let mut peer = world.accept_h2_with(TWO_STREAMS).await;
    let streams = [peer.request().await, peer.request().await];
    drop(world.accept().await);
    for stream in streams {
        peer.answers(stream, NO_CONTENT).await;
    }
    let third = peer.request().await;
    peer.answers(third, NO_CONTENT).await;
    for sending in sending {
        assert_eq!(sending.await.unwrap().unwrap().status(), 204);
    }
}

#[tokio::test]
async fn beyond_the_most_connections_requests_share_the_least_loaded() {
    let mut world = World::with(tls::secure());
    let _sending: Vec<_> = (0..65).map(|_| world.send(get("/"))).collect();
    let mut peers = Vec::new();
    for _ in 0..32 {
        let mut peer = world.accept_h2_with(TWO_STREAMS).await;
        let streams = [peer.request().await, peer.request().await];
        peers.push((peer, streams));
    }
    settle().await;
    assert!(world.no_more_connections());
    let (peer, [first, _]) = &mut peers[0];
    peer.answers(*first, NO_CONTENT).await;
    peer.request().await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_sends_its_settings_is_too_late() {
    let mut world = World::with(tls::secure());
    let sending = world.send(get("/"));
    let _peer = world.accept().await.tls("api.test", &["h2"]).await.unwrap();
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!((error.kind, error.sent), (ErrorKind::ConnectTimeout, Sent::NotSent)));
}
