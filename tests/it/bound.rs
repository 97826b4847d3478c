//! Tokens that are bound to a key: what an upstream sees of it, and what it costs when it wants another proof.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use flexslot_proxy::{
    model::GrantState,
    sandbox::{Canned, Effect, Endpoint, Fault, Nonces, ProofRules},
};

use crate::support::{CLIENT, Call, GrantOf, Reach, Received, Reply, Script, Upstream, World};

/// What the proof of a request claims.
fn claims(received: &Received) -> Value {
    let proof = received.field("dpop").expect("a proof");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn nonces(upstream: &Upstream) -> Vec<Option<String>> {
    let nonce = |received: &Received| claims(received).get("nonce").map(|nonce| nonce.as_str().unwrap().to_owned());
    upstream.seen().iter().map(nonce).collect()
}

fn fine(headers: &str) -> Script {
    Script::say(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\n{{}}"))
}

fn demanding(nonce: &str) -> Script {
    refusing("use_dpop_nonce", &format!("DPoP-Nonce: {nonce}\r\n"))
}

fn refusing(error: &str, headers: &str) -> Script {
    Script::say(format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: DPoP error=\"{error}\", algs=\"ES256\"\r\n{headers}Content-Length: 0\r\n\r\n"
    ))
}

/// An upstream that demands a nonce of who does not bring `n1`.
async fn strict() -> Upstream {
    Upstream::start(|head, _| if has_nonce(head, "n1") { fine("DPoP-Nonce: n1\r\n") } else { demanding("n1") }).await
}

fn has_nonce(head: &str, nonce: &str) -> bool {
    let proof = head.lines().find_map(|line| line.strip_prefix("dpop: ")).expect("a proof");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap().get("nonce").is_some_and(|found| found == nonce)
}

async fn decks(world: &World) -> Reply {
    world.get("/decks/?page=1").tenant("acme").send().await
}

async fn world(upstream: &Upstream) -> World {
    let world = World::before(upstream).await;
    world.tenant("acme").with_grant(GrantOf::an_hour().bound()).await;
    world
}

#[tokio::test]
async fn every_request_has_a_proof_of_its_own() {
    let upstream = Upstream::content().await;
    let world = world(&upstream).await;
    for _ in 0..3 {
        let call =
            world.get("/decks/?page=1").tenant("acme").header("dpop", "mine").header("authorization", "Bearer x");
        call.send().await.is(200);
    }
    let seen = upstream.seen();
    let names: BTreeSet<_> = seen.iter().map(|received| claims(received)["jti"].to_string()).collect();
    assert_eq!(names.len(), 3);
    for received in &seen {
        assert!(received.field("authorization").is_some_and(|value| value.starts_with("DPoP ")));
        let claims = claims(received);
        assert_eq!(
            (&claims["htm"], &claims["htu"]),
            (&"GET".into(), &format!("{}/api/public/v1/decks/", upstream.origin).into())
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn a_nonce_that_is_demanded_costs_one_send_more_and_is_kept() {
    let upstream = strict().await;
    let world = world(&upstream).await;
    for _ in 0..2 {
        let reply = decks(&world).await;
        assert_eq!((reply.is(200).header("dpop-nonce"), reply.header("proxy-status")), (None, None));
    }
    assert_eq!(nonces(&upstream), [None, Some("n1".into()), Some("n1".into())]);
    world.finish().await;
}

#[tokio::test]
async fn a_nonce_that_comes_with_an_answer_is_the_next_ones() {
    let upstream = Upstream::start(|_, before| fine(&format!("DPoP-Nonce: n{before}\r\n"))).await;
    let world = world(&upstream).await;
    for _ in 0..3 {
        decks(&world).await.is(200);
    }
    assert_eq!(nonces(&upstream), [None, Some("n0".into()), Some("n1".into())]);
    world.finish().await;
}

#[tokio::test]
async fn a_body_is_sent_again_with_the_nonce() {
    let upstream = strict().await;
    let world = world(&upstream).await;
    let body = Bytes::from(vec![7; 100_000]);
    world.post("/decks/").tenant("acme").body(body.clone()).send().await.is(200);
    let [first, second] = &upstream.seen()[..] else { panic!("two sends") };
    assert_eq!((&first.body[..], &second.body[..]), (&body[..], &body[..]));
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_is_not_kept_is_left_to_the_apps_own_retry() {
    let upstream = strict().await;
    let world = World::plan().upstream(&upstream).config("limits.replay_body = \"1KiB\"").start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour().bound()).await;
    let send = async || world.post("/decks/").tenant("acme").body(Bytes::from(vec![7; 100_000])).send().await;
    let refused = send().await;
    assert_eq!(
        refused.is(401).header("proxy-status"),
        Some("flexslot-proxy; received-status=401; details=\"dpop_proof_refused\"")
    );
    send().await.is(200);
    assert_eq!(upstream.seen().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn who_is_never_content_is_not_asked_for_ever() {
    let upstream = Upstream::start(|_, before| demanding(&format!("n{before}"))).await;
    let world = world(&upstream).await;
    let refused = decks(&world).await;
    assert!(refused.is(401).header("proxy-status").is_some_and(|status| status.contains("dpop_proof_refused")));
    assert_eq!(nonces(&upstream), [None, Some("n0".into())]);
    world.finish().await;
}

#[tokio::test]
async fn a_refused_proof_that_would_be_the_same_is_not_sent_again() {
    let upstream = Upstream::start(|_, _| refusing("invalid_dpop_proof", "")).await;
    let world = world(&upstream).await;
    decks(&world).await.is(401);
    assert_eq!(upstream.seen().len(), 1);
    world.finish().await;
}

/// The upstream's clock shows another year; its answers say so.
#[tokio::test]
async fn a_proof_follows_the_upstreams_clock() {
    const DATE: &str = "Date: Fri, 20 Nov 2020 18:40:00 GMT\r\n";
    let upstream = Upstream::start(|_, before| match before {
        0 => refusing("invalid_dpop_proof", DATE),
        _ => fine(DATE),
    })
    .await;
    let world = world(&upstream).await;
    decks(&world).await.is(200);
    let dated = claims(&upstream.seen()[1])["iat"].as_i64().unwrap();
    assert!((1_605_897_600..1_605_897_660).contains(&dated), "{dated}");
    world.finish().await;
}

/// A bearer token has nothing to prove: its 401 goes to the app as it is.
#[tokio::test]
async fn a_demand_for_a_proof_of_a_bearer_token_is_passed_on() {
    let upstream = Upstream::start(|_, _| demanding("n1")).await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let refused = decks(&world).await;
    assert_eq!((refused.status, refused.header("proxy-status")), (401, None));
    assert_eq!(upstream.only().field("dpop"), None);
    world.finish().await;
}

// === before the strict stand-in ===

/// A world whose client's tokens are bound, with a tenant whose are.
async fn strict_world(of: GrantOf) -> World {
    let world = World::start().await;
    world.sandbox.set_dpop_bound(CLIENT, true).unwrap();
    world.tenant("acme").with_grant(of.bound()).await;
    world
}

async fn key_of(world: &World) -> String {
    let GrantState::Connected(grant) = world.stored("acme").await.grant else { panic!("connected") };
    grant.tokens.key.expect("a key").thumbprint().to_owned()
}

/// No proof was refused, and none was like another.
fn all_proofs_were_good(world: &World) {
    let counts = world.sandbox.counters();
    assert_eq!((counts.proofs_refused.len(), counts.proof_replays), (0, 0), "{counts:?}");
}

#[tokio::test]
async fn the_key_outlives_refreshes_and_the_process() {
    let mut world = World::with("store.url = \"sqlite:flexslot-proxy.db\"").await;
    world.sandbox.set_dpop_bound(CLIENT, true).unwrap();
    world.tenant("acme").with_grant(GrantOf::expired().bound()).await;
    let key = key_of(&world).await;
    decks(&world).await.is(200);
    world.restart().await;
    decks(&world).await.is(200);
    assert_eq!(key_of(&world).await, key);
    all_proofs_were_good(&world);
    world.finish().await;
}

#[tokio::test]
async fn nonces_that_rotate_and_a_clock_that_is_ten_minutes_off_cost_nobody_anything() {
    for minutes in [10, -10] {
        let world = strict_world(GrantOf::expired()).await;
        world.sandbox.set_clock_offset(minutes * 60_000);
        let rules = ProofRules { token_nonces: Nonces::Rotated, api_nonces: Nonces::Rotated, ..ProofRules::default() };
        world.sandbox.set_proof_rules(rules);
        for _ in 0..20 {
            decks(&world).await.is(200);
        }
        let counts = world.sandbox.counters();
        // The first proof of each server's has no nonce; from then on each has the newest.
        assert_eq!((counts.proofs_refused.values().sum::<u64>(), counts.refreshes), (2, 1), "{counts:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_is_found_out_without_nonces() {
    let world = strict_world(GrantOf::an_hour()).await;
    world.sandbox.set_clock_offset(600_000);
    for _ in 0..3 {
        decks(&world).await.is(200);
    }
    assert_eq!(world.sandbox.counters().proofs_refused.values().sum::<u64>(), 1);
    world.finish().await;
}

/// The two reasons to send again are apart: one for the nonce, one for the token.
#[tokio::test]
async fn an_upload_that_meets_a_demand_and_a_refused_token_arrives_once() {
    let world = strict_world(GrantOf::an_hour()).await;
    world.sandbox.set_proof_rules(ProofRules { api_nonces: Nonces::Demanded, ..ProofRules::default() });
    let refused = Canned::unauthorized();
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Answer(refused)).once());
    let body = Bytes::from(vec![7; 100_000]);
    let reply = world.post("/sandbox/echo").tenant("acme").body(body).send().await;
    assert_eq!(reply.is(200).header("proxy-status"), None);
    let statuses: Vec<_> = world.seen().iter().map(|seen| seen.status.unwrap()).collect();
    assert_eq!(statuses, [401, 401, 200]);
    assert_eq!(world.sandbox.counters().refreshes, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_token_alone_is_of_no_use() {
    let world = strict_world(GrantOf::an_hour()).await;
    decks(&world).await.is(200);
    let GrantState::Connected(grant) = world.stored("acme").await.grant else { panic!("connected") };
    let flexslot = world.sidecar_upstream();
    for scheme in ["Bearer", "DPoP"] {
        let authorization = format!("{scheme} {}", grant.tokens.access.expose());
        let call = Call::new(Reach::Tcp(flexslot), Method::GET, "/api/public/v1/decks/");
        call.header("authorization", &authorization).send().await.is(401);
    }
    world.finish().await;
}

/// A grant that another program held, without its key: the refresh token of a public client is bound as well.
#[tokio::test]
async fn what_a_public_client_was_given_is_of_no_use_without_its_key() {
    let world = World::start().await;
    world.sandbox.set_dpop_bound(CLIENT, true).unwrap();
    world.tenant("acme").with_grant(GrantOf::an_hour().bound().without_its_key()).await;
    let reply = decks(&world).await;
    reply.is_problem(503, "oauth_misconfigured");
    world.finish().await;
}
