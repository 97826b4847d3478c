//! The clients that people really use, in front of the running binary.

use std::fs;

use sha2::{Digest, Sha256};

use super::world::{Life, Tenant, World};
use crate::support::process::{Exit, Launch, Sidecar};

const DOWNLOAD: usize = 8 << 20;
const ECHO: &str = "/api/public/v1/sandbox/echo";

/// A tenant whose token Flexslot refuses, so that the first request of a client is sent twice by the sidecar.
async fn world() -> (World, Tenant, Sidecar) {
    let world = World::new().await;
    let acme = world.connect("acme", Life::Fresh).await;
    world.sandbox.expire_access(acme.grant).unwrap();
    let sidecar = world.start().await;
    fs::write(world.path("body"), body()).unwrap();
    (world, acme, sidecar)
}

/// As long as a body may be that is sent again.
fn body() -> Vec<u8> {
    (0..1_u32 << 20).map(|at| (at % 251) as u8).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn downloaded() -> String {
    hash(&vec![b'.'; DOWNLOAD])
}

async fn run(world: &World, program: &str, args: &[&str]) -> Exit {
    let launch = Launch::program(world.dir.path(), program, args).with_path_and_home();
    let exit = launch.spawn_installed().exited().await;
    assert!(exit.status.success(), "{program} {args:?}; scripts/test installs what it needs:\n{}", exit.stderr);
    exit
}

/// The upload that met a 401 arrived whole at the second try.
fn assert_echoes(text: &str) {
    let told: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(told["body"]["sha256"], hash(&body()), "{told}");
    assert_eq!(told["method"], "POST");
}

fn assert_one_refresh(world: &World, acme: &Tenant) {
    let view = world.sandbox.grant(acme.grant).unwrap();
    assert_eq!((view.refreshes, view.replays), (1, 0));
}

/// Calls with `flags`, and uploads with `upload` besides.
async fn curl(flags: &[&str], upload: &[&str], version: &str) {
    let (world, acme, sidecar) = world().await;
    let url = |path: &str| format!("http://{}{path}", sidecar.proxy);
    let common = ["-sS", "--fail-with-body", "-m", "60", "-H", "X-Flexslot-Tenant: acme", "-w", "\n%{http_version}"];
    let call = async |more: &[&str], path: &str| {
        let args: Vec<_> =
            common.iter().chain(flags).chain(more).copied().chain([url(path).as_str()]).map(str::to_owned).collect();
        let exit = run(&world, "curl", &args.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let (answer, spoken) = exit.stdout.rsplit_once('\n').map(|(a, v)| (a.to_owned(), v.to_owned())).unwrap();
        assert_eq!(spoken, version, "{flags:?}");
        answer
    };
    assert_echoes(&call(&[upload, &["--data-binary", "@body"]].concat(), ECHO).await);
    assert_one_refresh(&world, &acme);
    let decks: serde_json::Value = serde_json::from_str(&call(&[], "/api/public/v1/decks/").await).unwrap();
    assert!(!decks.is_null());
    call(&["-o", "download"], &format!("/api/public/v1/sandbox/stream?size={DOWNLOAD}")).await;
    assert_eq!(hash(&fs::read(world.path("download")).unwrap()), downloaded());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_over_http_1() {
    curl(&["--http1.1"], &[], "1.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_that_expects_a_100_continue() {
    curl(&["--http1.1"], &["-H", "Expect: 100-continue"], "1.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_with_a_chunked_upload() {
    curl(&["--http1.1"], &["-H", "Transfer-Encoding: chunked"], "1.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_over_http_2_by_prior_knowledge() {
    curl(&["--http2-prior-knowledge"], &[], "2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_that_offers_an_upgrade_to_http_2_is_served_over_http_1() {
    curl(&["--http2"], &[], "1.1").await;
}

const PYTHON: &str = r#"
import hashlib, json, sys
import requests

base, echo, size = sys.argv[1], sys.argv[2], sys.argv[3]
session = requests.Session()
session.headers["X-Flexslot-Tenant"] = "acme"
with open("body", "rb") as body:
    posted = session.post(base + echo, data=body.read(), timeout=60)
posted.raise_for_status()
listed = session.get(base + "/api/public/v1/decks/", timeout=60)
listed.raise_for_status()
listed.json()
digest = hashlib.sha256()
with session.get(base + "/api/public/v1/sandbox/stream?size=" + size, stream=True, timeout=60) as download:
    download.raise_for_status()
    for chunk in download.iter_content(65536):
        digest.update(chunk)
print(json.dumps({"posted": posted.text, "downloaded": digest.hexdigest()}))
"#;

const NODE: &str = r#"
const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");
const [base, echo, size] = process.argv.slice(1);
const headers = { "X-Flexslot-Tenant": "acme" };
const call = async (path, init) => {
  const answer = await fetch(base + path, { headers, ...init });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer;
};
(async () => {
  const posted = await (await call(echo, { method: "POST", body: readFileSync("body") })).text();
  await (await call("/api/public/v1/decks/")).json();
  const digest = createHash("sha256");
  for await (const chunk of (await call(`/api/public/v1/sandbox/stream?size=${size}`)).body) digest.update(chunk);
  console.log(JSON.stringify({ posted, downloaded: digest.digest("hex") }));
})().catch((error) => { console.error(error); process.exit(1); });
"#;

/// A program of three calls in one language.
async fn program(runtime: &str, flag: &str, text: &str) {
    let (world, acme, sidecar) = world().await;
    let (base, size) = (format!("http://{}", sidecar.proxy), DOWNLOAD.to_string());
    let exit = run(&world, runtime, &[flag, text, &base, ECHO, &size]).await;
    let told: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert_echoes(told["posted"].as_str().unwrap());
    assert_eq!(told["downloaded"], downloaded());
    assert_one_refresh(&world, &acme);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_requests() {
    program("python3", "-c", PYTHON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_fetch() {
    program("node", "-e", NODE).await;
}
