//! Large bodies pass through; they do not pile up.

use std::net::SocketAddr;

use flexslot_proxy::sandbox::Endpoint;
use sha2::{Digest, Sha256};

use super::{
    http::{Answer, Connection, ask, get},
    world::{Life, World},
};
use crate::support::{process::Sidecar, until};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 32 * MIB;
const ALLOWED: u64 = 16 * MIB;
const PIECE: usize = 64 * 1024;

const ECHO: &str = "/api/public/v1/sandbox/echo";

/// How a body says where it ends.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    Chunked,
}

/// A sidecar that has served before, in front of a tenant with a grant.
async fn warm() -> (World, super::world::Tenant, Sidecar) {
    let world = World::new().await;
    let acme = world.connect("acme", Life::Fresh).await;
    let sidecar = world.start().await;
    for _ in 0..20 {
        assert_eq!(ask(sidecar.proxy, &get(ECHO, "acme")).await.status, 200);
    }
    (world, acme, sidecar)
}

/// Runs `work` and judges by how much the resident memory has grown at its highest.
#[allow(clippy::print_stdout, reason = "a figure for people to read")]
async fn growth<T>(what: &str, sidecar: &Sidecar, work: impl Future<Output = T>) -> T {
    sidecar.process.forget_peak();
    let before = sidecar.process.memory("VmRSS");
    let done = work.await;
    let grown = sidecar.process.memory("VmHWM").saturating_sub(before);
    println!("memory, {what}: {:.1} MiB more than before ({:.1} MiB)", mib(grown), mib(before));
    assert!(grown < ALLOWED, "{what}: grew by {:.1} MiB", mib(grown));
    done
}

#[allow(clippy::cast_precision_loss, reason = "for people to read")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

fn piece(number: usize) -> Vec<u8> {
    (0..PIECE).map(|at| u8::try_from((at / 7 + number) % 251).unwrap()).collect()
}

/// Sends the body while the answer is awaited; answers it with the hash of what was sent. A sidecar may answer, and
/// close, before it has taken everything.
async fn upload(to: SocketAddr, framing: Framing) -> (Answer, String) {
    let mut connection = Connection::open(to).await.unwrap();
    let announced = match framing {
        Framing::Length => format!("Content-Length: {SIZE}\r\n"),
        Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    let head = format!("POST {ECHO} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n{announced}\r\n");
    connection.send(head.as_bytes()).await.unwrap();
    let mut hash = Sha256::new();
    for number in 0..usize::try_from(SIZE).unwrap() / PIECE {
        let piece = piece(number);
        hash.update(&piece);
        let framed = match framing {
            Framing::Length => piece,
            Framing::Chunked => [format!("{PIECE:x}\r\n").into_bytes(), piece, b"\r\n".to_vec()].concat(),
        };
        if connection.send(&framed).await.is_err() {
            break;
        }
    }
    if let Framing::Chunked = framing {
        let _ = connection.send(b"0\r\n\r\n").await;
    }
    let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (connection.answer().await.unwrap(), hash)
}

fn assert_echoes(answer: &Answer, hash: &str) {
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, told["body"]["length"].as_u64()), (200, Some(SIZE)));
    assert_eq!(told["body"]["sha256"], hash);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_download_passes_in_bounded_memory() {
    let (_world, _, sidecar) = warm().await;
    let mut received = 0;
    let download = async {
        let mut connection = Connection::open(sidecar.proxy).await.unwrap();
        let target = format!("/api/public/v1/sandbox/stream?size={SIZE}&chunk=65536");
        connection.send(&get(&target, "acme")).await.unwrap();
        let head = connection.head().await.unwrap();
        connection.body(&head.head, |bytes| received += bytes.len() as u64).await.unwrap();
    };
    growth("32 MiB download", &sidecar, download).await;
    assert_eq!(received, SIZE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_nobody_takes_waits_at_flexslot() {
    let (_world, _, sidecar) = warm().await;
    let process = &sidecar.process;
    let download = async {
        let mut connection = Connection::open(sidecar.proxy).await.unwrap();
        let target = format!("/api/public/v1/sandbox/stream?size={SIZE}&chunk=65536");
        connection.send(&get(&target, "acme")).await.unwrap();
        let head = connection.head().await.unwrap();
        // Nothing is taken until the sidecar's memory has stood still for a while.
        let (mut last, mut still) = (0, 0);
        until("the sidecar stops reading", async || {
            let now = process.memory("VmRSS");
            still = if now == last { still + 1 } else { 0 };
            last = now;
            still == 100
        })
        .await;
        let mut received = 0;
        connection.body(&head.head, |bytes| received += bytes.len() as u64).await.unwrap();
        assert_eq!(received, SIZE);
    };
    growth("32 MiB download by a client that does not read at first", &sidecar, download).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_passes_in_bounded_memory() {
    for framing in [Framing::Length, Framing::Chunked] {
        let (_world, _, sidecar) = warm().await;
        let what = format!("32 MiB upload, {framing:?}");
        let (answer, hash) = growth(&what, &sidecar, upload(sidecar.proxy, framing)).await;
        assert_echoes(&answer, &hash);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_that_meets_a_401_passes_it_on_and_the_next_one_works() {
    for framing in [Framing::Length, Framing::Chunked] {
        let (world, acme, sidecar) = warm().await;
        world.sandbox.expire_access(acme.grant).unwrap();
        let what = format!("32 MiB upload that meets a 401, {framing:?}");
        let (answer, _) = growth(&what, &sidecar, upload(sidecar.proxy, framing)).await;
        assert_eq!(answer.status, 401, "{}", answer.head);
        let (answer, hash) = upload(sidecar.proxy, framing).await;
        assert_echoes(&answer, &hash);
        let counts = world.sandbox.counters();
        assert_eq!((counts.refreshes, counts.with_status(Endpoint::Resource, 401)), (1, 1));
    }
}
