//! Whose request it is.

use http::Method;

use crate::support::World;

/// The sandbox's user whose credential reached it.
#[track_caller]
fn served(world: &World) -> String {
    world.seen_once().credential.user.expect("a known credential")
}

#[tokio::test]
async fn the_header_names_the_tenant() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    assert_eq!(served(&world), "acme");
    world.finish().await;
}

#[tokio::test]
async fn a_configured_header_names_the_tenant() {
    let world = World::with("server.tenant_header = \"x-shop\"").await;
    world.tenant("acme").with_pat().await;
    world.get("/decks/").header("X-Shop", "acme").send().await.is(200);
    let seen = world.seen_once();
    assert!(seen.headers.iter().all(|(name, _)| name != "x-shop"));
    world.finish().await;
}

#[tokio::test]
async fn the_path_names_the_tenant_and_is_forwarded_without_it() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.target(Method::GET, "/t/acme/api/public/v1/decks/?page=1").send().await.is(200);
    assert_eq!(served(&world), "acme");
    assert_eq!(world.seen_once().target, "/api/public/v1/decks/?page=1");
    world.finish().await;
}

#[tokio::test]
async fn a_tenant_in_the_path_is_decoded_once() {
    let world = World::start().await;
    world.tenant("a@b|c").with_pat().await;
    world.target(Method::GET, "/t/a%40b%7Cc/api/public/v1/decks/").send().await.is(200);
    assert_eq!(served(&world), "a@b|c");
    let twice = world.target(Method::GET, "/t/a%2540b/api/public/v1/decks/").send().await;
    twice.is_problem(400, "tenant_invalid");
    world.finish().await;
}

#[tokio::test]
async fn a_listener_bound_to_a_tenant_names_it() {
    let listen = "server.listen = [\"127.0.0.1:0\", { address = \"127.0.0.1:0\", tenant = \"acme\" }]";
    let world = World::with(listen).await;
    world.tenant("acme").with_pat().await;
    world.at(1, Method::GET, "/api/public/v1/decks/").send().await.is(200);
    assert_eq!(served(&world), "acme");
    let unbound = world.at(0, Method::GET, "/api/public/v1/decks/").send().await;
    unbound.is_problem(400, "tenant_required");
    let other = world.at(1, Method::GET, "/api/public/v1/decks/").tenant("beta").send().await;
    other.is_problem(400, "tenant_invalid");
    world.finish().await;
}

#[tokio::test]
async fn the_default_counts_where_nothing_else_names_one() {
    let world = World::with("server.default_tenant = \"acme\"").await;
    world.tenant("acme").with_pat().await;
    world.tenant("beta").with_pat().await;
    world.get("/decks/").send().await.is(200);
    assert_eq!(served(&world), "acme");
    world.sandbox.reset_counters();
    world.get("/decks/").tenant("beta").send().await.is(200);
    assert_eq!(served(&world), "beta");
    world.finish().await;
}

#[tokio::test]
async fn places_that_agree_are_as_good_as_one() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.target(Method::GET, "/t/acme/api/public/v1/decks/").tenant("acme").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn a_tenant_that_is_not_named_well_is_refused() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    let path = "/t/acme/api/public/v1/decks/";
    world.get("/decks/").send().await.is_problem(400, "tenant_required");
    world.get("/decks/").tenant("").send().await.is_problem(400, "tenant_invalid");
    world.get("/decks/").tenant("a/b").send().await.is_problem(400, "tenant_invalid");
    world.get("/decks/").tenant("acme, acme").send().await.is_problem(400, "tenant_invalid");
    world.get("/decks/").tenant("acme").tenant("acme").send().await.is_problem(400, "tenant_invalid");
    world.get("/decks/").tenant(&"a".repeat(129)).send().await.is_problem(400, "tenant_invalid");
    world.target(Method::GET, path).tenant("beta").send().await.is_problem(400, "tenant_invalid");
    world.target(Method::GET, "/t//api/public/v1/decks/").send().await.is_problem(400, "tenant_invalid");
    assert!(world.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_header_that_only_looks_like_an_owned_one_is_refused() {
    let world = World::with("server.default_tenant = \"acme\"").await;
    world.tenant("acme").with_pat().await;
    for name in ["X_Flexslot_Tenant", "x-flexslot_tenant", "X_FLEXSLOT-TENANT"] {
        world.get("/decks/").header(name, "beta").send().await.is_problem(400, "request_invalid");
    }
    assert!(world.seen().is_empty());
    world.finish().await;
}
