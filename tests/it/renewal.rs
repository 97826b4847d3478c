//! Tokens are renewed in time, and a 401 costs one refresh and one retry.

use std::sync::Arc;

use flexslot_proxy::{
    model::GrantState,
    sandbox::{Canned, Effect, Endpoint, Fault},
};
use http::{StatusCode, header};

use crate::support::{GrantOf, Reply, World, in_time, until};

const AFTER_REFRESH: &str = "flexslot-proxy; received-status=401; details=\"unauthorized_after_refresh\"";

async fn decks(world: &World) -> Reply {
    world.get("/decks/").tenant("acme").send().await
}

/// The status and the token's version of every request at the sandbox's API.
fn served(world: &World) -> Vec<(u16, u64)> {
    world.seen().iter().map(|seen| (seen.status.unwrap(), seen.credential.version.unwrap())).collect()
}

fn refreshes(world: &World) -> u64 {
    world.sandbox.counters().token_requests("refresh_token")
}

async fn stored_version(world: &World) -> u64 {
    match world.stored("acme").await.grant {
        GrantState::Connected(grant) => grant.version.number(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_fresh_token_is_used_as_it_is() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    decks(&world).await.is(200);
    assert_eq!((served(&world), refreshes(&world)), (vec![(200, 1)], 0));
    world.finish().await;
}

#[tokio::test]
async fn an_expired_token_is_renewed_first_and_never_sent() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    decks(&world).await.is(200);
    decks(&world).await.is(200);
    assert_eq!((served(&world), refreshes(&world)), (vec![(200, 2), (200, 2)], 1));
    assert_eq!(stored_version(&world).await, 2);
    world.finish().await;
}

#[tokio::test]
async fn an_ageing_token_is_used_and_renewed_in_the_background() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::ageing()).await;
    let gate = world.sandbox.hold(Endpoint::Token);
    decks(&world).await.is(200);
    gate.arrived(1).await;
    decks(&world).await.is(200);
    assert_eq!(served(&world), [(200, 1), (200, 1)]);
    gate.release();
    let renewed = "flexslot_proxy_refreshes_total{outcome=\"refreshed\"}";
    until("the renewal", async || world.metric(renewed).await == 1.0 && stored_version(&world).await == 2).await;
    decks(&world).await.is(200);
    assert_eq!((served(&world)[2], refreshes(&world)), ((200, 2), 1));
    world.finish().await;
}

#[tokio::test]
async fn any_number_of_callers_share_one_renewal() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    let gate = world.sandbox.hold(Endpoint::Token);
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(world.get("/decks/").tenant("acme").send())).collect();
    gate.arrived(1).await;
    gate.release();
    for call in calls {
        call.await.unwrap().is(200);
    }
    assert_eq!((refreshes(&world), world.seen().len()), (1, 100));
    world.finish().await;
}

#[tokio::test]
async fn any_number_of_401s_share_one_renewal() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    let calls: Vec<_> = (0..50).map(|_| tokio::spawn(world.get("/decks/").tenant("acme").send())).collect();
    for call in calls {
        call.await.unwrap().is(200);
    }
    assert_eq!((refreshes(&world), world.sandbox.counters().with_status(Endpoint::Resource, 200)), (1, 50));
    world.finish().await;
}

#[tokio::test]
async fn after_a_401_the_same_request_is_sent_once_more_with_a_new_token() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    let call = world
        .post("/sandbox/echo?a=%2F")
        .tenant("acme")
        .header("x-a", "1")
        .header("traceparent", "00-1-2-01")
        .body("body");
    let reply = call.send().await;
    assert_eq!(reply.is(200).header("flexslot-proxy-credential"), Some("oauth"));
    assert_eq!(reply.header("proxy-status"), None);
    let [first, second] = &world.seen()[..] else { panic!("{:?}", world.seen()) };
    assert_eq!((first.status, second.status), (Some(401), Some(200)));
    assert_eq!((first.credential.version, second.credential.version), (Some(1), Some(2)));
    assert_eq!(
        (&first.method, &first.target, &first.body_sha256),
        (&second.method, &second.target, &second.body_sha256)
    );
    assert_eq!(first.headers, second.headers, "the credential is masked in both");
    assert_eq!(world.metric("flexslot_proxy_retries_total{outcome=\"cured\"}").await, 1.0);
    world.finish().await;
}

#[tokio::test]
async fn a_late_401_gets_the_newer_token_without_another_refresh() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let gate = flexslot_proxy::sandbox::Gate::new();
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Hold(gate.clone())).once());
    let late = tokio::spawn(world.get("/decks/").tenant("acme").send());
    gate.arrived(1).await;
    world.sandbox.expire_access(grant).unwrap();
    decks(&world).await.is(200);
    gate.release();
    late.await.unwrap().is(200);
    assert_eq!(refreshes(&world), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_401_that_no_new_token_cures_is_delivered_and_marked() {
    let world = World::with("refresh.min_interval = \"0s\"").await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.fault(Fault::unauthorized());
    let reply = decks(&world).await;
    assert_eq!((reply.is(401).header("proxy-status"), reply.problem()), (Some(AFTER_REFRESH), None));
    assert_eq!(reply.json()["code"], "invalid_token", "with its own body");
    assert_eq!((served(&world), refreshes(&world)), (vec![(401, 1), (401, 2)], 1));
    assert_eq!(world.metric("flexslot_proxy_unauthorized_after_refresh_total").await, 1.0);
    assert_eq!(world.metric("flexslot_proxy_retries_total{outcome=\"still_unauthorized\"}").await, 1.0);
    let next = decks(&world).await;
    assert_eq!((next.is(401).header("proxy-status"), refreshes(&world)), (None, 1), "401s pass unchanged for a minute");
    world.finish().await;
}

#[tokio::test]
async fn a_401_soon_after_a_refresh_is_delivered_and_marked() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::expired()).await;
    decks(&world).await.is(200);
    world.sandbox.expire_access(grant).unwrap();
    let reply = decks(&world).await;
    assert_eq!((reply.is(401).header("proxy-status"), refreshes(&world)), (Some(AFTER_REFRESH), 1));
    world.finish().await;
}

#[tokio::test]
async fn a_401_about_something_else_is_delivered() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let canned =
        Canned::new(StatusCode::UNAUTHORIZED).header(header::WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\"");
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Answer(canned)));
    let reply = decks(&world).await;
    assert_eq!((reply.is(401).header("proxy-status"), refreshes(&world), world.seen().len()), (None, 0, 1));
    world.finish().await;
}

#[tokio::test]
async fn a_401_without_a_challenge_renews() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Answer(Canned::new(StatusCode::UNAUTHORIZED))).once());
    decks(&world).await.is(200);
    assert_eq!(refreshes(&world), 1);
    world.finish().await;
}

#[tokio::test]
async fn other_refusals_of_the_upstream_pass_unchanged() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    for status in [400, 403, 404, 409, 422, 429, 500, 502, 503, 504] {
        let canned = Canned::new(StatusCode::from_u16(status).unwrap()).retry_after(9).body("{\"theirs\":1}");
        world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Answer(canned)).once());
        let reply = decks(&world).await;
        assert_eq!((reply.is(status).text(), reply.header("retry-after")), ("{\"theirs\":1}", Some("9")));
        assert_eq!((reply.header("proxy-status"), reply.header("flexslot-proxy-credential")), (None, Some("oauth")));
    }
    assert_eq!((world.seen().len(), refreshes(&world)), (10, 0));
    world.finish().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_end_the_renewal() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    let call = tokio::spawn(world.get("/decks/").tenant("acme").try_begin());
    gate.arrived(1).await;
    call.abort();
    assert!(in_time("the caller", call).await.unwrap_err().is_cancelled());
    gate.release();
    decks(&world).await.is(200);
    assert_eq!((served(&world), refreshes(&world)), (vec![(200, 2)], 1));
    world.finish().await;
}

#[tokio::test]
async fn a_caller_waits_for_a_renewal_only_so_long_and_the_renewal_goes_on() {
    let world = World::with("refresh.timeout = \"50ms\"").await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    decks(&world).await.is_problem(503, "refresh_unavailable");
    gate.release();
    until("the renewal", async || world.metric("flexslot_proxy_refreshes_total{outcome=\"refreshed\"}").await != 0.0)
        .await;
    until("the new token", async || decks(&world).await.status == 200).await;
    assert_eq!(refreshes(&world), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_token_request_that_is_under_way() {
    let mut world = World::plan().config("store.url = \"sqlite:store.db\"").start().await;
    world.tenant("acme").with_grant(GrantOf::ageing()).await;
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    decks(&world).await.is(200);
    gate.arrived(1).await;
    let stopping = world.begin_stop();
    assert!(!stopping.is_finished());
    gate.release();
    in_time("the end of the sidecar", stopping).await.unwrap().unwrap();
    assert_eq!(stored_version(&world).await, 2);
    world.finish().await;
}

#[tokio::test]
async fn tokens_outlive_a_restart() {
    let mut world = World::with("store.url = \"sqlite:store.db\"").await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    decks(&world).await.is(200);
    world.restart().await;
    decks(&world).await.is(200);
    assert_eq!((served(&world), refreshes(&world)), (vec![(200, 2), (200, 2)], 1));
    world.finish().await;
}

#[tokio::test]
async fn many_tenants_renew_each_for_itself() {
    let world = Arc::new(World::start().await);
    for n in 0..20 {
        world.tenant(&format!("t{n}")).with_grant(GrantOf::expired()).await;
    }
    let calls: Vec<_> =
        (0..60).map(|n| tokio::spawn(world.get("/decks/").tenant(&format!("t{}", n % 20)).send())).collect();
    for call in calls {
        call.await.unwrap().is(200);
    }
    assert_eq!(refreshes(&world), 20);
    Arc::into_inner(world).unwrap().finish().await;
}
