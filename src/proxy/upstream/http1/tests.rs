//! The same answers, read by hyper's client and by ours. What ours takes for a whole response, hyper does too, with the same
//! content; and of good answers ours refuses none.

use std::{sync::Weak, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{Added, Form, Lease, Lives, Outgoing};
use crate::proxy::{replay::ReplayBody, upstream::UpstreamBody};

/// What a client makes of an answer.
#[derive(Debug, Clone, PartialEq)]
enum Read {
    Refused,
    /// It broke off after its header.
    Broken,
    Whole(Box<Whole>),
}

#[derive(Debug, Clone, PartialEq)]
struct Whole {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    content: Bytes,
    trailers: Option<HeaderMap>,
}

/// An answer as bytes, and where they are cut.
#[derive(Debug, Clone)]
struct Answer {
    method: Method,
    bytes: Vec<u8>,
    cuts: Vec<usize>,
}

// === both readers ===

async fn by_ours(answer: &Answer) -> Read {
    let (io, peer) = duplex(64 * 1024);
    let served = tokio::spawn(serve(peer, answer.clone()));
    let (form, target) = (Form::of(&"http://localhost".parse().unwrap()).unwrap(), "/".parse().unwrap());
    let request = Outgoing { method: &answer.method, target: &target, headers: &HeaderMap::new() };
    let lives = Lives { idle: Duration::from_secs(1), age: Duration::from_secs(1) };
    let lease = Lease::new(Box::new(io), 64 * 1024, lives, Weak::new());
    let sent = lease.send(&form, (&request, &Added::default()), ReplayBody::empty()).await;
    let read = match sent {
        Err(_) => Read::Refused,
        Ok(response) => {
            let (head, content) = response.into_parts();
            whole(head, UpstreamBody::http1(content, Duration::from_secs(1))).await
        }
    };
    served.abort();
    read
}

async fn by_hyper(answer: &Answer) -> Read {
    let (io, peer) = duplex(64 * 1024);
    let served = tokio::spawn(serve(peer, answer.clone()));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    let driven = tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = answer.method.clone();
    let read = match sender.send_request(request).await {
        Err(_) => Read::Refused,
        Ok(response) => {
            let (head, content) = response.into_parts();
            whole(head, content).await
        }
    };
    driven.abort();
    served.abort();
    read
}

async fn whole<B: http_body::Body<Data = Bytes> + Unpin>(head: http::response::Parts, body: B) -> Read {
    let Ok(collected) = body.collect().await else { return Read::Broken };
    let trailers = collected.trailers().cloned();
    let content = collected.to_bytes();
    let (status, version, headers) = (head.status, head.version, head.headers);
    Read::Whole(Box::new(Whole { status, version, headers, content, trailers }))
}

/// The upstream: takes a request, and answers piece by piece.
async fn serve(mut peer: DuplexStream, answer: Answer) {
    let mut request = BytesMut::new();
    while !request.ends_with(b"\r\n\r\n") {
        peer.read_buf(&mut request).await.unwrap();
    }
    let mut begin = 0;
    for end in answer.cuts.into_iter().chain([answer.bytes.len()]) {
        // A reader that has seen enough may hang up.
        let _ = peer.write_all(&answer.bytes[begin..end]).await;
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        begin = end;
    }
}

fn both(answer: &Answer) -> (Read, Read) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { (by_ours(answer).await, by_hyper(answer).await) })
}

// === answers ===

fn fields() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "Content-Type: application/json\r\n",
        "ETag: \"x\"\r\n",
        "x-a: 1\r\nX-A:\t2 \r\n",
        "x-empty:\r\n",
        "x-text: caf\u{e9}\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
    ]);
    prop::collection::vec(field, 0..4).prop_map(|fields| fields.concat())
}

/// The fields that frame content, and the content in its coding.
fn framed() -> impl Strategy<Value = (String, Vec<u8>)> {
    let content = || "[a-z\r\n]{0,40}";
    let chunk = (content(), prop::sample::select(vec!["", ";x", ";x=y", ";x=\"y z\""]));
    let trailers = prop::sample::select(vec!["", "x-sum: 1\r\n", "x-sum: 1\r\nx-b: 2\r\n"]);
    prop_oneof![
        content().prop_map(|content| (format!("Content-Length: {}\r\n", content.len()), content.into_bytes())),
        (prop::collection::vec(chunk, 0..4), trailers).prop_map(|(chunks, trailers)| {
            let chunks = chunks.into_iter().filter(|(content, _)| !content.is_empty());
            let chunks = chunks.map(|(content, more)| format!("{:X}{more}\r\n{content}\r\n", content.len()));
            let coded = format!("{}0\r\n{trailers}\r\n", chunks.collect::<String>());
            ("Transfer-Encoding: chunked\r\n".to_owned(), coded.into_bytes())
        }),
        content().prop_map(|content| (String::new(), content.into_bytes())),
    ]
}

fn good() -> impl Strategy<Value = Answer> {
    let method = prop::sample::select(vec![Method::GET, Method::GET, Method::HEAD, Method::POST]);
    let interim = prop::sample::select(vec![
        "",
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
    ]);
    let status = prop::sample::select(vec!["200 OK", "200", "404 Not Found", "204 No Content", "304 Not Modified"]);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (method, interim, status, fields(), framed(), cuts).prop_map(|(method, interim, status, fields, framed, cuts)| {
        let (framing, content) = framed;
        // Nobody sends content where there is none.
        let content = if method == Method::HEAD || status.starts_with("204") || status.starts_with("304") {
            Vec::new()
        } else {
            content
        };
        let head = format!("{interim}HTTP/1.1 {status}\r\n{fields}{framing}\r\n");
        let bytes = [head.as_bytes(), &content].concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        Answer { method, bytes, cuts }
    })
}

/// Good ones with a fault or two: bytes taken out, put in, or others; and the end too early.
fn spoilt() -> impl Strategy<Value = Answer> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n :;,0179afx\0".to_vec())];
    let fault = (any::<prop::sample::Index>(), 0..2_usize, prop::collection::vec(byte, 0..2));
    (good(), prop::collection::vec(fault, 1..3), any::<Option<prop::sample::Index>>()).prop_map(
        |(mut answer, faults, end)| {
            for (place, taken, put) in faults {
                let place = place.index(answer.bytes.len());
                let end = (place + taken).min(answer.bytes.len());
                answer.bytes.splice(place..end, put);
            }
            if let Some(end) = end {
                answer.bytes.truncate(end.index(answer.bytes.len() + 1));
            }
            answer.cuts.retain(|&cut| cut <= answer.bytes.len());
            answer
        },
    )
}

proptest! {
    #[test]
    fn good_answers_are_read_as_hyper_reads_them(answer in good()) {
        let (ours, hypers) = both(&answer);
        prop_assert_eq!(&ours, &hypers, "{}", answer.bytes.escape_ascii());
        prop_assert!(matches!(ours, Read::Whole(_)), "{}", answer.bytes.escape_ascii());
    }

    #[test]
    fn what_is_taken_for_whole_hyper_reads_alike(answer in spoilt()) {
        let (ours, hypers) = both(&answer);
        if matches!(ours, Read::Whole(_)) {
            prop_assert_eq!(ours, hypers, "{}", answer.bytes.escape_ascii());
        }
    }
}
