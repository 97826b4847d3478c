//! What the trace of a request says: one test for each thing that can become of it.

use flexslot_proxy::{
    admin::client::{StepDocument, TraceDocument},
    sandbox::{Endpoint, Fault},
};
use http::Method;

use crate::support::{ClosedPort, GrantOf, Reply, World, until};

async fn decks(world: &World) -> Reply {
    world.get("/decks/").tenant("acme").send().await
}

fn id(reply: &Reply) -> String {
    reply.header("flexslot-proxy-request-id").expect("a request id").to_owned()
}

async fn found(world: &World, id: &str) -> Option<TraceDocument> {
    let reply = world.api(Method::GET, &format!("/v1/requests/{id}")).send().await;
    if reply.status == 404 {
        return None;
    }
    Some(serde_json::from_slice(&reply.is(200).body).unwrap())
}

/// The trace of a request, once it is over.
async fn trace(world: &World, reply: &Reply) -> TraceDocument {
    let (id, mut traced) = (id(reply), None);
    until("the end of the trace", async || {
        traced = found(world, &id).await.filter(|trace| trace.state != "under_way");
        traced.is_some()
    })
    .await;
    traced.unwrap()
}

/// The steps by their words.
fn words(trace: &TraceDocument) -> Vec<String> {
    let word = |step: &StepDocument| match (step.step.as_str(), &step.credential, step.status) {
        ("considered", Some(credential), _) => format!("{credential} {}", step.result),
        ("sent", Some(credential), Some(status)) => format!("sent {credential} {status}"),
        ("sent", Some(credential), None) => format!("sent {credential} {}", step.result),
        ("refresh", ..) => {
            let (cause, part) = (step.cause.as_deref().unwrap(), step.part.as_deref().unwrap_or("no"));
            format!("refresh {cause} {part} {}", step.result)
        }
        (name, ..) => format!("{name} {}", step.result),
    };
    trace.steps.iter().map(word).collect()
}

fn text(trace: &TraceDocument, step: usize) -> &str {
    &trace.steps[step].text
}

fn next_step(trace: &TraceDocument) -> &str {
    trace.next_step.as_deref().expect("something to do")
}

#[tokio::test]
async fn a_fresh_token() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let reply = world.get("/decks/?secret=query").tenant("acme").send().await;
    let trace = trace(&world, reply.is(200)).await;
    assert_eq!(words(&trace), ["oauth taken", "sent oauth 200"]);
    assert_eq!(text(&trace, 0), "oauth: taken, fresh, version 1");
    assert_eq!((trace.method.as_str(), trace.path.as_str()), ("GET", "/api/public/v1/decks/"), "without the query");
    assert_eq!((trace.tenant.as_deref(), trace.tenant_by.as_deref()), (Some("acme"), Some("header")));
    assert_eq!((trace.state.as_str(), trace.status, trace.upstream_status), ("complete", Some(200), Some(200)));
    assert_eq!((trace.credential.as_deref(), trace.token_version), (Some("oauth"), Some(1)));
    assert_eq!((trace.replay.as_deref(), trace.next_step.as_deref()), (Some("no_body"), None));
    assert_eq!(trace.bytes_sent, reply.body.len() as u64);
    let times = &trace.timings;
    assert!(times.upstream_ms > 0.0 && times.duration_ms >= times.upstream_ms && times.refresh_wait_ms == 0.0);
    world.finish().await;
}

#[tokio::test]
async fn an_ageing_token() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::ageing()).await;
    let gate = world.sandbox.hold(Endpoint::Token);
    let first = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&first), ["oauth taken", "refresh ageing led not_awaited", "sent oauth 200"]);
    assert_eq!(first.steps[0].freshness.as_deref(), Some("ageing"));
    let second = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&second)[1], "refresh ageing joined not_awaited");
    gate.release();
    world.finish().await;
}

#[tokio::test]
async fn an_expired_token() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    let trace = trace(&world, decks(&world).await.is(200)).await;
    assert_eq!(words(&trace), ["oauth taken", "refresh expired led renewed", "oauth taken", "sent oauth 200"]);
    assert_eq!(text(&trace, 0), "oauth: taken, to be refreshed first: version 1 has expired");
    assert_eq!(text(&trace, 2), "oauth: taken, fresh, version 2");
    let times = &trace.timings;
    assert!(times.refresh_wait_ms > 0.0 && times.refresh_wait_ms <= times.overhead_ms);
    assert_eq!(trace.steps[1].took_ms, Some(times.refresh_wait_ms));
    world.finish().await;
}

#[tokio::test]
async fn a_refresh_that_was_under_way() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    let gate = world.sandbox.hold(Endpoint::Token);
    let calls: Vec<_> = (0..2).map(|_| tokio::spawn(world.get("/decks/").tenant("acme").send())).collect();
    gate.arrived(1).await;
    gate.release();
    let mut parts = Vec::new();
    for call in calls {
        let trace = trace(&world, call.await.unwrap().is(200)).await;
        parts.extend(trace.steps.into_iter().find_map(|step| step.part));
    }
    parts.sort_unstable();
    // The second one may come so late that there is nothing left to wait for.
    assert!(parts == ["joined", "led"] || parts == ["led"], "{parts:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_401_and_the_retry() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    let reply = world.post("/sandbox/echo").tenant("acme").body("a body").send().await;
    let trace = trace(&world, reply.is(200)).await;
    assert_eq!(
        words(&trace),
        [
            "oauth taken",
            "sent oauth 401",
            "refresh refused led renewed",
            "oauth taken",
            "unauthorized retried",
            "sent oauth 200"
        ]
    );
    assert_eq!((trace.retry.as_deref(), trace.replay.as_deref()), (Some("cured"), Some("rewound")));
    assert_eq!((trace.token_version, trace.status), (Some(2), Some(200)));
    world.finish().await;
}

#[tokio::test]
async fn a_401_after_a_refresh() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.fault(Fault::unauthorized().times(3));
    let refused = trace(&world, decks(&world).await.is(401)).await;
    assert_eq!(words(&refused)[4..], ["unauthorized retried", "sent oauth 401"]);
    assert_eq!(refused.retry.as_deref(), Some("still_unauthorized"));
    let too_soon = trace(&world, decks(&world).await.is(401)).await;
    let expected =
        ["oauth taken", "sent oauth 401", "refresh refused no too_soon", "unauthorized unauthorized_after_refresh"];
    assert_eq!(words(&too_soon), expected);
    assert!(next_step(&refused).contains("refreshing does not help. Compare clocks"), "{refused:?}");
    assert!(next_step(&too_soon).starts_with("No refresh is tried until refresh.min_interval"), "{too_soon:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_grant_that_is_revoked_at_once() {
    let mut world = World::start().await;
    world.tolerate_requests_after_an_end(1);
    let grant = world.tenant("acme").with_grant(GrantOf::expired()).await;
    decks(&world).await.is(200);
    world.sandbox.revoke_grant(grant).unwrap();
    let trace = trace(&world, decks(&world).await.is(401)).await;
    let expected =
        ["oauth taken", "sent oauth 401", "refresh refused no too_soon", "unauthorized unauthorized_after_refresh"];
    assert_eq!(words(&trace), expected);
    assert!(next_step(&trace).contains("If the user has just revoked the access at Flexslot, connect"), "{trace:?}");
    assert_eq!(world.sandbox.counters().refreshes, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_scope_that_the_grant_lacks() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour().scopes("cards:read")).await;
    let alone = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&alone)[..3], ["oauth lacks_scope", "pat absent", "oauth taken_without_scope"]);
    assert_eq!(text(&alone, 0), "oauth: passed over: scopes lack decks:read");
    assert!(alone.next_step.as_ref().unwrap().contains("Connect the tenant again with the scope"), "{alone:?}");
    world.tenant("beta").with_grant(GrantOf::an_hour().scopes("cards:read")).await;
    world.tenant("beta").with_pat().await;
    let reply = world.get("/decks/").tenant("beta").send().await;
    let helped = trace(&world, reply.is(200)).await;
    assert_eq!(words(&helped), ["oauth lacks_scope", "pat stands_in", "sent pat 200"]);
    assert_eq!(
        (helped.steps[0].scope.as_deref(), helped.steps[1].reason.as_deref()),
        (Some("decks:read"), Some("scope"))
    );
    world.finish().await;
}

#[tokio::test]
async fn a_path_that_takes_a_pat_only() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let without = world.get("/me/partner").tenant("acme").send().await;
    let without = trace(&world, &without).await;
    assert_eq!(words(&without), ["oauth pat_only_path", "pat absent"]);
    assert_eq!(without.problem.unwrap().code, "pat_required");
    world.sandbox.add_partner("beta");
    world.tenant("beta").with_pat().await;
    let reply = world.get("/me/partner").tenant("beta").send().await;
    assert_eq!(words(&trace(&world, &reply).await), ["oauth pat_only_path", "pat taken", "sent pat 200"]);
    world.finish().await;
}

#[tokio::test]
async fn a_pat_that_may_not_stand_in() {
    let world = World::with("[[tenants]]\nname = \"acme\"\npat_fallback = \"never\"").await;
    let grant = world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.tenant("acme").with_pat().await;
    world.sandbox.expire_refresh(grant).unwrap();
    decks(&world).await.is_problem(401, "reconnect_required");
    let trace = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&trace), ["oauth ended", "pat not_allowed"]);
    assert_eq!(text(&trace, 0), "oauth: ended: invalid_grant");
    assert!(trace.next_step.unwrap().contains("flexslot-proxy connect acme"));
    world.finish().await;
}

#[tokio::test]
async fn a_rejected_pat() {
    let world = World::start().await;
    let pat = world.tenant("acme").with_pat().await;
    world.sandbox.revoke_pat(&pat);
    let refused = trace(&world, decks(&world).await.is(401)).await;
    assert_eq!(words(&refused), ["oauth never_connected", "pat taken", "sent pat 401", "unauthorized passed_on"]);
    assert!(refused.next_step.as_ref().unwrap().contains("tenant set-pat"), "{:?}", refused.next_step);
    decks(&world).await.is(401);
    decks(&world).await.is(401);
    let rejected = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&rejected), ["oauth never_connected", "pat rejected"]);
    assert_eq!(rejected.steps[1].source.as_deref(), Some("store"));
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_to_be_sent_again() {
    let world = World::with("limits.replay_body = \"1KiB\"").await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    let reply = world.post("/sandbox/echo").tenant("acme").body(vec![b'x'; 64 * 1024]).send().await;
    let trace = trace(&world, reply.is(401)).await;
    assert_eq!(words(&trace).last().unwrap(), "unauthorized body_not_kept");
    assert_eq!((trace.replay.as_deref(), trace.retry), (Some("overflowed"), None));
    assert!(trace.next_step.unwrap().starts_with("Send the request again"));
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_out_of_reach() {
    let closed = ClosedPort::new();
    let world = World::plan().upstream_at(&format!("http://{}", closed.address)).start().await;
    world.tenant("acme").with_pat().await;
    let trace = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&trace), ["oauth never_connected", "pat taken", "sent pat failed"]);
    let problem = trace.problem.unwrap();
    assert_eq!((problem.code.as_str(), trace.next_step.as_ref()), ("upstream_unreachable", Some(&problem.detail)));
    assert!(trace.cause.unwrap().contains(&closed.address.to_string()));
    world.finish().await;
}

#[tokio::test]
async fn a_refresh_that_fails() {
    let closed = ClosedPort::new();
    let world = World::with(&format!("oauth.token_url = \"http://{}/token\"", closed.address)).await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    let first = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&first), ["oauth taken", "refresh expired led failed", "oauth not_refreshed", "pat absent"]);
    assert_eq!(first.steps[1].reason.as_deref(), Some("not_sent"));
    let second = trace(&world, &decks(&world).await).await;
    assert_eq!(words(&second)[1], "refresh expired no failed_before");
    world.finish().await;
}

#[tokio::test]
async fn a_tenant_that_nobody_knows() {
    let world = World::start().await;
    let reply = world.target(Method::GET, "/t/nobody/api/public/v1/decks/").send().await;
    let trace = trace(&world, &reply).await;
    assert_eq!(words(&trace), ["tenant unknown"]);
    assert_eq!((trace.tenant.as_deref(), trace.tenant_by.as_deref()), (Some("nobody"), Some("path")));
    assert_eq!(trace.problem.unwrap().code, "not_connected");
    world.finish().await;
}

#[tokio::test]
async fn a_request_that_names_no_tenant() {
    let world = World::start().await;
    let trace = trace(&world, &world.get("/decks/").send().await).await;
    assert_eq!((words(&trace).len(), trace.tenant, trace.problem.unwrap().code.as_str()), (0, None, "tenant_required"));
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_goes_away() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    let (process, number) = id(decks(&world).await.is(200))
        .split_once('-')
        .map(|(process, number)| (process.to_owned(), u64::from_str_radix(number, 16).unwrap()))
        .unwrap();
    let gate = world.sandbox.hold(Endpoint::Resource);
    let call = tokio::spawn(world.get("/decks/").tenant("acme").send());
    gate.arrived(1).await;
    call.abort();
    let (gone, mut traced) = (format!("{process}-{:x}", number + 1), None);
    until("the trace", async || {
        traced = found(&world, &gone).await;
        traced.is_some()
    })
    .await;
    gate.release();
    let trace = traced.unwrap();
    assert_eq!(words(&trace), ["oauth never_connected", "pat taken", "sent pat awaited"]);
    assert_eq!((trace.state.as_str(), trace.status), ("client_gone", None));
    assert!(trace.timings.upstream_ms > 0.0 && trace.next_step.is_some());
    world.finish().await;
}

#[tokio::test]
async fn a_response_that_is_still_on_its_way() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    let answering = world.get("/sandbox/stream?size=100000000&chunk=65536").tenant("acme").begin().await;
    let id = answering.response.headers()["flexslot-proxy-request-id"].to_str().unwrap().to_owned();
    let trace = found(&world, &id).await.expect("as soon as the client knows the id");
    assert_eq!((trace.state.as_str(), trace.status, words(&trace).len()), ("under_way", Some(200), 3));
    drop(answering);
    until("the end", async || found(&world, &id).await.is_some_and(|trace| trace.state == "broken_off")).await;
    world.finish().await;
}

#[tokio::test]
async fn what_is_no_request_or_is_not_kept_has_no_trace() {
    let world = World::start().await;
    for id in ["00000000-1", "nonsense", "00000000-1%2F", "%ff"] {
        let reply = world.api(Method::GET, &format!("/v1/requests/{id}")).send().await;
        reply.is_problem(404, "not_found");
        let says = if id == "00000000-1" { "last 10000 requests of this process" } else { "not the id of a request" };
        assert!(reply.detail().contains(says), "{id}: {}", reply.detail());
    }
    world.finish().await;
}

#[tokio::test]
async fn traces_are_for_the_operator_alone() {
    let world = World::start().await;
    let id = id(&world.get("/decks/").send().await);
    world.admin(&format!("/v1/requests/{id}")).send().await.is_problem(401, "unauthorized");
    world.finish().await;
}
