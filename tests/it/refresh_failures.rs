//! Every way in which a refresh can fail.

use flexslot_proxy::{
    model::{GrantState, token::DisconnectReason},
    sandbox::{Canned, Effect, Endpoint, Fault, Moment, PreviousAccess, Settings},
};
use http::{StatusCode, header};

use crate::support::{ClosedPort, GrantOf, Reply, World, until};

const UNAVAILABLE: &str = "flexslot-proxy; received-status=401; details=\"refresh_unavailable\"";

/// A failure of the token endpoint, and what a request without another credential is told.
struct Failure {
    name: &'static str,
    fault: Fault,
    code: &'static str,
    /// A part of the problem's detail.
    told: &'static str,
}

fn answer(status: u16, body: &str) -> Canned {
    Canned::new(StatusCode::from_u16(status).unwrap()).header(header::CONTENT_TYPE, "application/json").body(body)
}

fn failures() -> Vec<Failure> {
    let failure = |name, fault, code, told| Failure { name, fault, code, told };
    let says = |canned| Fault::new(Endpoint::Token, Effect::Answer(canned));
    vec![
        failure(
            "429",
            says(answer(429, "{}").retry_after(7)),
            "refresh_unavailable",
            "for now, with 429, and asks to wait until 20",
        ),
        failure(
            "503 with Retry-After",
            says(answer(503, "").retry_after(7)),
            "refresh_unavailable",
            "with 503, and asks to wait",
        ),
        failure(
            "503 with an OAuth error",
            says(answer(503, "{\"error\":\"temporarily_unavailable\"}")),
            "refresh_unavailable",
            "for now, with 503 temporarily_unavailable. Try",
        ),
        failure("bare 503", says(answer(503, "")), "refresh_unavailable", "its outcome is unknown: the answer was 503"),
        failure(
            "500",
            says(answer(500, "{\"error\":\"server_error\"}")),
            "refresh_unavailable",
            "the answer was 500 server_error",
        ),
        failure(
            "malformed 200",
            Fault::malformed(Endpoint::Token),
            "refresh_unavailable",
            "a 200 that is no token answer",
        ),
        failure(
            "cut before",
            Fault::cut(Endpoint::Token, Moment::BeforeProcessing),
            "refresh_unavailable",
            "its outcome is unknown: the connection ended",
        ),
        failure(
            "cut after",
            Fault::cut(Endpoint::Token, Moment::AfterProcessing),
            "refresh_unavailable",
            "its outcome is unknown: the connection ended",
        ),
        failure(
            "truncated",
            Fault::new(Endpoint::Token, Effect::Truncate(20)).after(),
            "refresh_unavailable",
            "its outcome is unknown: the answer broke off",
        ),
        failure(
            "redirect",
            says(answer(302, "").header(header::LOCATION, "/api/public/v1/oauth/elsewhere")),
            "oauth_misconfigured",
            "with 302; it redirects",
        ),
        failure(
            "invalid_client",
            says(answer(401, "{\"error\":\"invalid_client\"}")),
            "oauth_misconfigured",
            "with 401 invalid_client; check this OAuth client's id and secret",
        ),
        failure(
            "invalid_request",
            says(answer(400, "{\"error\":\"invalid_request\"}")),
            "oauth_misconfigured",
            "with 400 invalid_request; check [oauth]",
        ),
        failure(
            "404",
            says(answer(404, "<html>")),
            "oauth_misconfigured",
            "with 404; no token endpoint is there: check",
        ),
    ]
}

async fn decks(world: &World) -> Reply {
    world.get("/decks/").tenant("acme").send().await
}

fn token_requests(world: &World) -> u64 {
    world.sandbox.counters().token_requests("refresh_token")
}

#[tokio::test]
async fn before_sending_a_failure_without_another_credential_is_told() {
    for Failure { name, fault, code, told } in failures() {
        let world = World::start().await;
        world.tenant("acme").with_grant(GrantOf::expired()).await;
        world.sandbox.fault(fault);
        let reply = decks(&world).await;
        assert_eq!((reply.status, reply.problem().as_deref()), (503, Some(code)), "{name}: {reply:?}");
        assert!(reply.detail().contains(told), "{name}: {}", reply.detail());
        if code == "refresh_unavailable" {
            assert!(reply.header("retry-after").is_some(), "{name}");
        }
        let again = decks(&world).await;
        assert_eq!((again.status, token_requests(&world)), (503, 1), "{name}: the next try waits");
        assert!(world.seen().is_empty(), "{name}");
        let kept = matches!(world.stored("acme").await.grant, GrantState::Connected(_) | GrantState::Uncertain(..));
        assert!(kept, "{name}: the grant is not given up");
        world.finish().await;
    }
}

#[tokio::test]
async fn before_sending_a_failure_lets_the_pat_stand_in() {
    for Failure { name, fault, .. } in failures() {
        let world = World::start().await;
        world.tenant("acme").with_pat().await;
        world.tenant("acme").with_grant(GrantOf::expired()).await;
        world.sandbox.fault(fault);
        let reply = decks(&world).await;
        assert_eq!((reply.status, reply.header("flexslot-proxy-credential")), (200, Some("pat")), "{name}");
        world.finish().await;
    }
}

#[tokio::test]
async fn after_a_401_a_failure_without_another_credential_delivers_the_401() {
    for Failure { name, fault, .. } in failures() {
        let world = World::start().await;
        let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
        world.sandbox.expire_access(grant).unwrap();
        world.sandbox.fault(fault);
        let reply = decks(&world).await;
        assert_eq!((reply.status, reply.header("proxy-status")), (401, Some(UNAVAILABLE)), "{name}: {reply:?}");
        assert_eq!(
            (reply.problem(), reply.json()["code"].as_str()),
            (None, Some("invalid_token")),
            "{name}: with its own body"
        );
        assert_eq!((world.seen().len(), token_requests(&world)), (1, 1), "{name}");
        world.finish().await;
    }
}

#[tokio::test]
async fn after_a_401_a_failure_lets_the_pat_stand_in_for_the_one_retry() {
    for Failure { name, fault, .. } in failures() {
        let world = World::start().await;
        world.tenant("acme").with_pat().await;
        let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
        world.sandbox.expire_access(grant).unwrap();
        world.sandbox.fault(fault);
        let reply = world.post("/sandbox/echo").tenant("acme").body("x").send().await;
        assert_eq!((reply.status, reply.header("flexslot-proxy-credential")), (200, Some("pat")), "{name}");
        let kinds: Vec<_> = world.seen().iter().map(|seen| seen.credential.kind).collect();
        assert_eq!(kinds, ["oauth", "pat"], "{name}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_token_that_is_still_valid_is_used_in_spite_of_a_failure() {
    for Failure { name, fault, .. } in failures() {
        let settings = Settings { previous_access: PreviousAccess::LivesOn, ..Settings::default() };
        let world = World::on(settings).start().await;
        world.tenant("acme").with_grant(GrantOf::ageing()).await;
        world.sandbox.fault(fault);
        for _ in 0..3 {
            let reply = decks(&world).await;
            assert_eq!((reply.status, reply.header("flexslot-proxy-credential")), (200, Some("oauth")), "{name}");
        }
        world.finish().await;
    }
}

#[tokio::test]
async fn a_wait_that_flexslot_asks_for_is_passed_on() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.sandbox.fault(Fault::new(Endpoint::Token, Effect::Answer(answer(429, "{}").retry_after(77))));
    let wait: u64 = decks(&world).await.header("retry-after").unwrap().parse().unwrap();
    assert!((70..=77).contains(&wait), "{wait}");
    let wait: u64 = decks(&world).await.header("retry-after").unwrap().parse().unwrap();
    assert!((70..=77).contains(&wait), "{wait}");
    world.finish().await;
}

#[tokio::test]
async fn what_was_provably_not_taken_is_tried_again() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.sandbox.fault(Fault::new(Endpoint::Token, Effect::Answer(answer(429, "{}"))).once());
    decks(&world).await.is_problem(503, "refresh_unavailable");
    until("the next try", async || decks(&world).await.status == 200).await;
    assert_eq!(token_requests(&world), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_token_endpoint_that_cannot_be_reached_is_told() {
    let port = ClosedPort::new();
    let closed = port.address;
    let world = World::with(&format!("oauth.token_url = \"http://{closed}/token\"")).await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    let reply = decks(&world).await;
    reply.is_problem(503, "refresh_unavailable");
    let told = format!("the request was not sent: could not connect to http://{closed}: ");
    assert!(reply.detail().contains(&told), "{}", reply.detail());
    assert!(
        matches!(world.stored("acme").await.grant, GrantState::Connected(_)),
        "nothing was sent, so nothing is uncertain"
    );
    assert_eq!(world.metric("flexslot_proxy_refreshes_total{outcome=\"not_sent\"}").await, 1.0);
    world.finish().await;
}

#[tokio::test]
async fn invalid_grant_disconnects_and_nothing_is_sent_with_the_grant_again() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.sandbox.expire_refresh(grant).unwrap();
    let reply = decks(&world).await;
    reply.is_problem(401, "reconnect_required");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"flexslot-proxy\""));
    let GrantState::Disconnected(ended) = world.stored("acme").await.grant else { panic!("not disconnected") };
    assert_eq!(ended.reason, DisconnectReason::InvalidGrant);
    for _ in 0..5 {
        decks(&world).await.is_problem(401, "reconnect_required");
    }
    assert_eq!((token_requests(&world), world.seen().len()), (1, 0));
    world.finish().await;
}

#[tokio::test]
async fn invalid_grant_after_a_401_is_told_as_such() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    world.sandbox.expire_refresh(grant).unwrap();
    decks(&world).await.is_problem(401, "reconnect_required");
    decks(&world).await.is_problem(401, "reconnect_required");
    assert_eq!((token_requests(&world), world.seen().len()), (1, 1));
    world.finish().await;
}

#[tokio::test]
async fn invalid_grant_after_a_401_lets_the_pat_stand_in_for_the_one_retry() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    world.sandbox.expire_refresh(grant).unwrap();
    let reply = world.post("/sandbox/echo").tenant("acme").body("x").send().await;
    assert_eq!(reply.is(200).header("flexslot-proxy-credential"), Some("pat"));
    assert_eq!(world.metric("flexslot_proxy_pat_fallbacks_total{cause=\"disconnected\"}").await, 1.0);
    world.finish().await;
}

#[tokio::test]
async fn a_new_grant_after_the_end_of_the_old_one_works() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.sandbox.expire_refresh(grant).unwrap();
    decks(&world).await.is_problem(401, "reconnect_required");
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    until("the change to be seen", async || decks(&world).await.status == 200).await;
    world.finish().await;
}

/// A sidecar that was restarted while nobody knows whether its token request was processed.
async fn restarted_after(moment: Moment) -> World {
    let mut world = World::with("store.url = \"sqlite:store.db\"").await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.sandbox.fault(Fault::cut(Endpoint::Token, moment).once());
    decks(&world).await.is_problem(503, "refresh_unavailable");
    assert!(matches!(world.stored("acme").await.grant, GrantState::Uncertain(..)));
    decks(&world).await.is_problem(503, "refresh_unavailable");
    assert_eq!(token_requests(&world), 1);
    world.restart().await;
    world
}

#[tokio::test]
async fn a_lost_request_is_made_up_for_by_the_next_process() {
    let mut world = restarted_after(Moment::BeforeProcessing).await;
    decks(&world).await.is(200);
    assert_eq!(token_requests(&world), 2);
    // The sandbox cannot see that the first never counted: it was cut off before anything was done.
    world.tolerate_second_presentation();
    world.finish().await;
}

#[tokio::test]
async fn a_lost_answer_ends_the_grant_with_its_reason() {
    let mut world = restarted_after(Moment::AfterProcessing).await;
    decks(&world).await.is_problem(401, "reconnect_required");
    let GrantState::Disconnected(ended) = world.stored("acme").await.grant else { panic!("not disconnected") };
    assert_eq!(ended.reason, DisconnectReason::RefreshOutcomeLost);
    decks(&world).await.is_problem(401, "reconnect_required");
    assert_eq!(token_requests(&world), 2, "presented at most once more");
    world.tolerate_replays(1);
    world.tolerate_second_presentation();
    world.finish().await;
}
