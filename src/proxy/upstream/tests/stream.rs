//! Against hyper's own servers: much data, in both directions at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::*;

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 128;

async fn echo(request: Request<Incoming>) -> Result<Response<Incoming>, std::convert::Infallible> {
    Ok(Response::new(request.into_body()))
}

/// Sends eight megabytes, reads them back while sending, and counts.
async fn echoed(upstream: Upstream) {
    let (mut sender, source) = Channel::<Bytes, std::io::Error>::new(1);
    let body = ReplayBody::new(source, &limits(), Start::Now).unwrap();
    let feeding = tokio::spawn(async move {
        for n in 0..CHUNKS {
            sender.send_data(Bytes::from(vec![n as u8; CHUNK])).await.unwrap();
        }
    });
    let mut body = upstream.send(request(Method::POST, "/", body)).await.unwrap().into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        for byte in frame.unwrap().into_data().unwrap() {
            assert_eq!(byte, (read / CHUNK) as u8);
            read += 1;
        }
    }
    assert_eq!(read, CHUNK * CHUNKS);
    feeding.await.unwrap();
}

#[tokio::test]
async fn large_bodies_pass_both_ways_over_http1() {
    let mut world = World::new();
    let echoing = tokio::spawn(echoed(world.upstream.clone()));
    let peer = world.accept().await;
    tokio::spawn(conn::http1::Builder::new().serve_connection(TokioIo::new(peer.0), service_fn(echo)));
    echoing.await.unwrap();
}

#[tokio::test]
async fn large_bodies_pass_both_ways_over_http2_and_a_response_that_nobody_reads_stops_no_other() {
    let mut world = World::with(tls::secure());
    let upstream = world.upstream.clone();
    let unread = tokio::spawn({
        let upstream = upstream.clone();
        let body = ReplayBody::new(Full::new(Bytes::from(vec![0; CHUNK * CHUNKS])), &limits(), Start::Now).unwrap();
        async move { upstream.send(request(Method::POST, "/unread", body)).await }
    });
    let peer = world.accept().await.tls("api.test", &["h2"]).await.unwrap();
    let server = conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(server.serve_connection(TokioIo::new(peer.0), service_fn(echo)));
    let unread = unread.await.unwrap().unwrap();
    echoed(upstream.clone()).await;
    echoed(upstream).await;
    drop(unread);
    assert!(world.no_more_connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_share_few_connections() {
    const CALLERS: usize = 50;
    const EACH: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(params(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    });
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let upstream = upstream.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let response = upstream.send(post("/", "deck")).await.unwrap();
                    assert_eq!(text(response).await.unwrap(), "deck");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let accepted = accepted.load(Ordering::Relaxed);
    assert!(accepted < CALLERS * EACH / 4, "{accepted} connections");
}
