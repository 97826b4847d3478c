//! The best available credential.

use http::Method;
use serde_json::json;

use crate::support::{CLIENT, GrantOf, Reply, World, until};

const CREDENTIAL: &str = "flexslot-proxy-credential";

/// A world with one rule or other for the tenant `acme`.
async fn world(rules: &str) -> World {
    World::with(&format!("[[tenants]]\nname = \"acme\"\n{rules}")).await
}

async fn decks(world: &World) -> Reply {
    world.get("/decks/").tenant("acme").send().await
}

/// Ends the grant at Flexslot and has the sidecar find out.
async fn revoked(world: &World) {
    let grant = world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.sandbox.revoke_grant(grant).unwrap();
    let _answered_by_another_kind_or_not = decks(world).await;
    assert_eq!(world.sandbox.counters().token_requests("refresh_token"), 1);
    // Finding out took the one request that carried a token of the ended grant. From here on there must be none.
    world.sandbox.reset_counters();
}

#[tokio::test]
async fn a_tenant_with_a_pat_alone_uses_it() {
    for rules in ["", "pat_fallback = \"never\"", "credentials = [\"pat\"]"] {
        let world = world(rules).await;
        world.tenant("acme").with_pat().await;
        assert_eq!(decks(&world).await.is(200).header(CREDENTIAL), Some("pat"), "{rules}");
        assert_eq!(world.seen_once().credential.kind, "pat");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_tenant_with_a_grant_alone_uses_it() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    assert_eq!(decks(&world).await.is(200).header(CREDENTIAL), Some("oauth"));
    assert_eq!(world.seen_once().credential.kind, "oauth");
    world.finish().await;
}

#[tokio::test]
async fn of_both_the_grant_is_preferred_unless_the_tenant_says_otherwise() {
    for (rules, expected) in
        [("", "oauth"), ("credentials = [\"pat\", \"oauth\"]", "pat"), ("credentials = [\"pat\"]", "pat")]
    {
        let world = world(rules).await;
        world.tenant("acme").with_pat().await;
        world.tenant("acme").with_grant(GrantOf::an_hour()).await;
        assert_eq!(decks(&world).await.is(200).header(CREDENTIAL), Some(expected), "{rules}");
        world.finish().await;
    }
}

#[tokio::test]
async fn the_files_pat_wins_over_the_stores() {
    let plan = World::plan();
    let pat = plan.sandbox.add_pat("from-the-file");
    let plan = plan.variable("ACME_PAT", pat.expose());
    let world = plan.config("[[tenants]]\nname = \"acme\"\npat = { env = \"ACME_PAT\" }").start().await;
    world.tenant("acme").with_pat().await;
    decks(&world).await.is(200);
    assert_eq!(world.seen_once().credential.user.as_deref(), Some("from-the-file"));
    world.finish().await;
}

#[tokio::test]
async fn partner_paths_take_a_pat_even_where_there_is_a_grant() {
    let world = World::start().await;
    world.sandbox.add_partner("acme");
    world.tenant("acme").with_pat().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    for path in ["/me/partner", "/me/access-tokens/", "/me/partner/oauth2-clients"] {
        assert_eq!(world.get(path).tenant("acme").send().await.is(200).header(CREDENTIAL), Some("pat"), "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn partner_paths_without_a_pat_are_refused() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    for path in ["/me/partner", "/me/partner/x", "/me/access-tokens/", "/ME/Partner"] {
        world.get(path).tenant("acme").send().await.is_problem(403, "pat_required");
    }
    assert!(world.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn writing_on_partner_paths_needs_to_be_allowed_by_name() {
    let attempt = async |rules: &str| {
        let world = world(rules).await;
        world.sandbox.add_partner("acme");
        world.tenant("acme").with_pat().await;
        let reply = world.post("/me/partner/rotate-api-key").tenant("acme").send().await;
        world.finish().await;
        reply
    };
    for rules in ["", "allow = [\"* /**\"]", "allow = [\"* /me/**\"]", "allow = [\"GET /me/partner/**\", \"* /**\"]"] {
        attempt(rules).await.is_problem(403, "path_denied");
    }
    for rules in ["allow = [\"POST /me/partner/rotate-api-key\"]", "allow = [\"* /me/partner/**\"]"] {
        attempt(rules).await.is(200);
    }
}

#[tokio::test]
async fn what_a_tenant_does_not_allow_is_refused() {
    let world = world("allow = [\"GET /decks/**\", \"* /cards/**\"]").await;
    world.tenant("acme").with_pat().await;
    decks(&world).await.is(200);
    world.call(Method::HEAD, "/decks/").tenant("acme").send().await.is(200);
    world.get("/cards/Opt").tenant("acme").send().await;
    assert_eq!(world.seen().len(), 3);
    world.post("/decks/").tenant("acme").body("{}").send().await.is_problem(403, "path_denied");
    world.get("/sideboards/").tenant("acme").send().await.is_problem(403, "path_denied");
    assert_eq!(world.seen().len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn a_grant_that_does_not_cover_the_request_lets_the_pat_stand_in() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.tenant("acme").with_grant(GrantOf::an_hour().scopes("decks:read")).await;
    let credential = async |method, path: &str| {
        world.call(method, path).tenant("acme").send().await.header(CREDENTIAL).map(str::to_owned)
    };
    assert_eq!(credential(Method::GET, "/decks/").await.as_deref(), Some("oauth"));
    assert_eq!(credential(Method::POST, "/decks/").await.as_deref(), Some("pat"));
    assert_eq!(credential(Method::GET, "/cards/Opt").await.as_deref(), Some("pat"));
    assert_eq!(credential(Method::GET, "/decks/1/guide").await.as_deref(), Some("pat"));
    assert_eq!(credential(Method::GET, "/sandbox/echo").await.as_deref(), Some("oauth"));
    assert_eq!(world.metric("flexslot_proxy_pat_fallbacks_total{cause=\"scope\"}").await, 1.0, "one switch");
    world.finish().await;
}

#[tokio::test]
async fn a_write_scope_covers_reading() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.tenant("acme").with_grant(GrantOf::an_hour().scopes("decks:write")).await;
    assert_eq!(decks(&world).await.header(CREDENTIAL), Some("oauth"));
    world.finish().await;
}

#[tokio::test]
async fn without_a_pat_flexslot_judges_what_the_grant_covers() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour().scopes("cards:read")).await;
    let reply = decks(&world).await;
    assert_eq!((reply.is(403).header(CREDENTIAL), reply.problem()), (Some("oauth"), None));
    assert!(reply.header("www-authenticate").unwrap().contains("insufficient_scope"));
    assert_eq!(world.sandbox.counters().token_requests("refresh_token"), 0, "a 403 never refreshes");
    // What was refused is on the card, with what to ask for.
    let card = async || world.api(Method::GET, "/v1/tenants/acme").send().await.json();
    until("the card", async || card().await["reason"] == "insufficient_scope").await;
    let card = card().await;
    assert_eq!((&card["state"], &card["action"]), (&json!("connected"), &json!("allow_more")));
    assert_eq!(card["missing_scopes"], json!([{"scope": "decks:read", "description": "Read your decks"}]));
    world.finish().await;
}

#[tokio::test]
async fn after_the_end_of_the_grant_the_pat_serves_as_far_as_it_may() {
    for (rules, stands_in) in
        [("", true), ("pat_fallback = \"unless_revoked\"", false), ("pat_fallback = \"never\"", false)]
    {
        let world = world(rules).await;
        world.tenant("acme").with_pat().await;
        revoked(&world).await;
        let reply = decks(&world).await;
        if stands_in {
            assert_eq!(reply.is(200).header(CREDENTIAL), Some("pat"));
        } else {
            reply.is_problem(401, "reconnect_required");
        }
        world.finish().await;
    }
}

#[tokio::test]
async fn a_tenant_whose_grant_has_ended_is_told_to_reconnect_and_nothing_more_is_sent() {
    let world = World::start().await;
    revoked(&world).await;
    for _ in 0..3 {
        let reply = decks(&world).await;
        reply.is_problem(401, "reconnect_required");
        assert_eq!(reply.json()["action"], "reconnect");
    }
    assert!(world.sandbox.requests().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn whoever_has_to_connect_is_led_to_the_command_and_to_the_page() {
    let world = World::start().await;
    revoked(&world).await;
    for tenant in ["acme", "nobody"] {
        let reply = world.get("/decks/").tenant(tenant).send().await;
        let page = format!("http://{}/?q={tenant}", world.admin_address());
        assert_eq!(reply.is(401).json()["connections_url"], page.as_str());
        let detail = reply.detail();
        assert!(detail.contains(&format!("`flexslot-proxy connect {tenant}`")) && detail.ends_with(&page), "{detail}");
    }
    world.finish().await;
}

#[tokio::test]
async fn whoever_was_never_connected_is_told_so() {
    let world = world("").await;
    for tenant in ["acme", "nobody"] {
        world.get("/decks/").tenant(tenant).send().await.is_problem(401, "not_connected");
    }
    assert!(world.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_grant_of_another_client_is_never_sent() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour().client("flx_client_other")).await;
    let reply = decks(&world).await;
    reply.is_problem(503, "oauth_misconfigured");
    assert!(!reply.text().contains(CLIENT) && world.sandbox.requests().is_empty());
    world.tenant("beta").with_pat().await;
    world.tenant("beta").with_grant(GrantOf::an_hour().client("flx_client_other")).await;
    let fallback = world.get("/decks/").tenant("beta").send().await;
    assert_eq!(fallback.is(200).header(CREDENTIAL), Some("pat"));
    world.finish().await;
}

#[tokio::test]
async fn a_credential_of_another_origin_is_never_sent() {
    let mut world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.tenant("beta").with_pat().await;
    decks(&world).await.is(200);
    let origin = world.sandbox.origin().replace("127.0.0.1", "localhost");
    world.reload(&format!("upstream.url = {origin:?}")).await;
    world.sandbox.reset_counters();
    decks(&world).await.is_problem(503, "oauth_misconfigured");
    let pat = world.get("/decks/").tenant("beta").send().await;
    pat.is_problem(503, "oauth_misconfigured");
    assert!(pat.detail().contains("personal access token") && !pat.detail().contains("OAuth"), "{}", pat.detail());
    assert!(world.sandbox.requests().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_pat_that_flexslot_refuses_three_times_is_put_aside() {
    let world = World::start().await;
    let pat = world.tenant("acme").with_pat().await;
    world.sandbox.revoke_pat(&pat);
    for _ in 0..3 {
        let reply = decks(&world).await;
        assert_eq!((reply.is(401).problem(), reply.header("proxy-status")), (None, None), "passed on unchanged");
        assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
    }
    for _ in 0..2 {
        decks(&world).await.is_problem(401, "pat_rejected");
    }
    assert_eq!(world.seen().len(), 3);
    world.finish().await;
}

/// Somebody who knows what is answered 401 whatever the PAT.
#[tokio::test]
async fn three_401s_elsewhere_do_not_take_a_pat_from_who_asks_for_what_it_is_good_for() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    let odd = || world.get("/odd/").tenant("acme").send();
    decks(&world).await.is(200);
    for _ in 0..2 {
        world.sandbox.fault(flexslot_proxy::sandbox::Fault::unauthorized().times(3));
        for _ in 0..3 {
            assert_eq!(odd().await.is(401).problem(), None);
        }
        odd().await.is_problem(401, "pat_rejected");
        decks(&world).await.is(200);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_pat_that_is_taken_again_starts_afresh() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    for _ in 0..2 {
        world.sandbox.fault(flexslot_proxy::sandbox::Fault::unauthorized().times(2));
        decks(&world).await.is(401);
        decks(&world).await.is(401);
        decks(&world).await.is(200);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_credential_that_comes_into_the_store_is_used() {
    let world = World::start().await;
    decks(&world).await.is_problem(401, "not_connected");
    world.tenant("acme").with_pat().await;
    decks(&world).await.is(200);
    world.finish().await;
}
