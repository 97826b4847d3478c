//! The API of the admin listener.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN_TOKEN, CLIENT, GrantOf, World, until};

#[tokio::test]
async fn what_cannot_be_used_is_told_by_its_field_and_never_repeated() {
    let world = World::with("admin.return_origins = [\"https://app.example.com\"]").await;
    for (method, target, body, what) in [
        (Method::PUT, "/v1/tenants/acme/pat", json!({}), "pat: missing"),
        (
            Method::PUT,
            "/v1/tenants/acme/pat",
            json!({"pat": "flx_pat_canary x"}),
            "pat: holds a character that no token has",
        ),
        (Method::PUT, "/v1/tenants/acme/pat", json!({"pat": ["canary"]}), "pat: not a string"),
        (
            Method::PUT,
            "/v1/tenants/acme/pat",
            json!({"pat": "a", "canary-2": 1}),
            "(a name that is not shown): unknown field",
        ),
        (Method::PUT, "/v1/tenants/acme/pat", json!({"pat": "a", "tok": "canary"}), "tok: unknown field"),
        (Method::PUT, "/v1/tenants/acme/pat", json!("canary"), "not a JSON object"),
        (Method::PUT, "/v1/tenants/acme/grant", json!({}), "refresh_token: missing"),
        (
            Method::PUT,
            "/v1/tenants/acme/grant",
            json!({"tenant": "beta", "refresh_token": "canary"}),
            "tenant: another one",
        ),
        (
            Method::PUT,
            "/v1/tenants/acme/grant",
            json!({"refresh_token": "canary", "expires_at": "canary"}),
            "expires_at: neither",
        ),
        (Method::POST, "/v1/tenants/acme/connect-sessions", json!({"scopes": []}), "scopes: empty"),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"scopes": ["decks:read", "canary"]}),
            "scopes: number 2 is no scope",
        ),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"scopes": "canary"}),
            "scopes: number 1 is no scope",
        ),
        (Method::POST, "/v1/tenants/acme/connect-sessions", json!({"scopes": [1]}), "scopes: not all are strings"),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"scopes": 1}),
            "scopes: neither an array nor a string",
        ),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"return_to": "/canary"}),
            "return_to: not an absolute URL",
        ),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"return_to": "https://canary.example/x"}),
            "return_to: its origin is not",
        ),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"return_to": "https://app.example.com:444/x"}),
            "return_to: its origin is not",
        ),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"return_to": "https://app.example.com@canary.example/"}),
            "return_to: credentials",
        ),
        (
            Method::POST,
            "/v1/tenants/acme/connect-sessions",
            json!({"client": "canary"}),
            "client: no OAuth client has this name or id",
        ),
        (Method::POST, "/v1/connect-sessions/canary/complete", json!({}), "code: missing"),
    ] {
        let reply = world.api(method, target).json(&body).send().await;
        reply.is_problem(422, "invalid");
        assert!(reply.detail().starts_with(&format!("The body cannot be used: {what}")), "{}", reply.detail());
        assert!(!reply.text().contains("canary"), "{}", reply.text());
    }
    for (target, what) in [
        ("/v1/tenants/a%2Fb", "The path cannot be used: tenant: "),
        ("/v1/tenants?state=fine", "The query cannot be used: state: not one of connected, expiring"),
        ("/v1/tenants?after=%2F", "The query cannot be used: after: "),
        ("/v1/tenants?limit=0", "The query cannot be used: limit: not a number from 1 to 1000"),
        ("/v1/tenants?limit=1001", "The query cannot be used: limit: not a number from 1 to 1000"),
        ("/v1/tenants?limit=many", "The query cannot be used: limit: not a number from 1 to 1000"),
        ("/v1/tenants?stat=error", "The query cannot be used: "),
        ("/v1/tenants?state=error&state=error", "The query cannot be used: "),
    ] {
        let reply = world.api(Method::GET, target).send().await;
        reply.is_problem(422, "invalid");
        assert!(reply.detail().starts_with(what), "{}", reply.detail());
    }
    world.finish().await;
}

#[tokio::test]
async fn bodies_are_json_and_bounded() {
    let world = World::start().await;
    let put = || world.api(Method::PUT, "/v1/tenants/acme/pat");
    put().body("{\"pat\":\"flx_pat_1\"}").send().await.is_problem(415, "invalid");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        put().header("content-type", kind).body("{\"pat\":\"flx_pat_1\"}").send().await.is_problem(415, "invalid");
    }
    let long = json!({"pat": "x".repeat(64 * 1024)});
    put().json(&long).send().await.is_problem(413, "invalid");
    let chunked = put().header("content-type", "application/json").chunked(long.to_string());
    chunked.send().await.is_problem(413, "invalid");
    let cut = put().header("content-type", "application/json; charset=utf-8").body("{\"pat\":\"canary");
    let cut = cut.send().await;
    cut.is_problem(422, "invalid");
    assert_eq!(cut.detail(), "The body cannot be used: the JSON object does not end.");
    world.finish().await;
}

fn names(list: &Value) -> Vec<&str> {
    list["tenants"].as_array().unwrap().iter().map(|card| card["tenant"].as_str().unwrap()).collect()
}

async fn card(world: &World, tenant: &str) -> Value {
    world.api(Method::GET, &format!("/v1/tenants/{tenant}")).send().await.is(200).json()
}

#[tokio::test]
async fn cards_tell_how_each_tenant_is_connected() {
    let world = World::plan()
        .config("tenants = [{ name = \"of-file\", pat = { env = \"FILE_PAT\" } }]")
        .variable("FILE_PAT", "flx_pat_of_file")
        .start()
        .await;
    world.tenant("acme").with_grant(GrantOf::an_hour().scopes("decks:read cards:read")).await;
    world.tenant("beta").with_pat().await;
    let acme = card(&world, "acme").await;
    assert_eq!((acme["state"].as_str(), acme["serves"].as_str()), (Some("connected"), Some("oauth")), "{acme}");
    assert_eq!(
        acme["scopes"],
        json!([{"scope": "decks:read", "description": "Read your decks"}, {"scope": "cards:read", "description": "Look up cards"}])
    );
    assert!(acme["manage_url"].as_str().unwrap().ends_with("/account/connected-apps"), "{acme}");
    let beta = card(&world, "beta").await;
    assert_eq!(
        (beta["state"].as_str(), beta["serves"].as_str(), beta["pat"].as_str()),
        (Some("not_connected"), Some("pat"), Some("ok"))
    );
    assert_eq!(card(&world, "of-file").await["pat"], "ok");
    let list = world.api(Method::GET, "/v1/tenants").send().await.is(200).json();
    assert_eq!((names(&list), &list["next"]), (vec!["acme", "beta", "of-file"], &Value::Null));
    assert_eq!(list["tenants"][0], acme, "the same card in both");
    let nobody = world.api(Method::GET, "/v1/tenants/nobody").send().await;
    nobody.is_problem(404, "not_found");
    assert_eq!(nobody.json()["tenant"], "nobody");
    world.finish().await;
}

#[tokio::test]
async fn the_list_comes_in_parts_and_narrowed() {
    let world = World::start().await;
    for name in ["a1", "a2", "a3", "b1"] {
        world.tenant(name).with_pat().await;
    }
    world.tenant("a4").with_grant(GrantOf::an_hour()).await;
    let list = async |query: &str| world.api(Method::GET, &format!("/v1/tenants{query}")).send().await.is(200).json();
    let mut found = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let part = list(&query).await;
        assert!(names(&part).len() <= 2);
        found.extend(names(&part).into_iter().map(str::to_owned));
        let Some(next) = part["next"].as_str() else { break };
        query = format!("?limit=2&after={next}");
    }
    assert_eq!(found, ["a1", "a2", "a3", "a4", "b1"]);
    assert_eq!(names(&list("?q=a").await), ["a1", "a2", "a3", "a4"]);
    assert_eq!(names(&list("?q=a&after=a2").await), ["a3", "a4"]);
    assert_eq!(names(&list("?state=connected").await), ["a4"]);
    assert_eq!(names(&list("?state=error").await), Vec::<&str>::new());
    assert_eq!(names(&list("?q=%2F").await), Vec::<&str>::new());
    world.finish().await;
}

#[tokio::test]
async fn a_pat_that_is_put_in_is_used_at_once_and_one_that_is_taken_away_is_not() {
    let world = World::plan()
        .config("tenants = [{ name = \"of-file\", pat = { env = \"FILE_PAT\" } }]")
        .variable("FILE_PAT", "flx_pat_of_file")
        .start()
        .await;
    world.get("/decks/").tenant("acme").send().await.is_problem(401, "not_connected");
    let pat = world.sandbox.add_pat("acme");
    let put = world.api(Method::PUT, "/v1/tenants/acme/pat").json(&json!({"pat": pat.expose()})).send().await;
    assert_eq!((put.is(204).text(), put.header("cache-control")), ("", Some("no-store")));
    world.get("/decks/").tenant("acme").send().await.is(200);
    for _ in 0..2 {
        world.api(Method::DELETE, "/v1/tenants/acme/pat").send().await.is(204);
    }
    world.get("/decks/").tenant("acme").send().await.is_problem(401, "not_connected");
    for call in [
        world.api(Method::PUT, "/v1/tenants/of-file/pat").json(&json!({"pat": "flx_pat_1"})),
        world.api(Method::DELETE, "/v1/tenants/of-file/pat"),
    ] {
        let reply = call.send().await;
        reply.is_problem(409, "conflict");
        assert_eq!(reply.json()["action"], "fix_config");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_grant_that_is_put_in_is_used_at_once() {
    let world = World::start().await;
    world.sandbox.add_deck("acme", "Deck");
    let put = async |body: Value| world.api(Method::PUT, "/v1/tenants/acme/grant").json(&body).send().await;
    let pair = world.sandbox.issue_grant("acme", CLIENT, "decks:read").unwrap();
    let body = json!({
        "access_token": pair.access.expose(), "refresh_token": pair.refresh.expose(), "scope": "decks:read",
        "expires_at": "2126-11-20T18:00:00Z",
    });
    put(body).await.is(204);
    world.get("/decks/").tenant("acme").send().await.is(200);
    let pair = world.sandbox.issue_grant("acme", CLIENT, "decks:read").unwrap();
    put(json!({"flexslot_refresh_token": pair.refresh.expose()})).await.is(204);
    world.get("/decks/").tenant("acme").send().await.is(200);
    assert_eq!(world.sandbox.grant(pair.grant).unwrap().refreshes, 1, "refreshed at first need");
    let other = put(json!({"refresh_token": "r", "client_id": "flx_client_other"})).await;
    other.is_problem(422, "invalid");
    assert!(other.detail().contains("client_id"), "{}", other.detail());
    world.finish().await;
}

#[tokio::test]
async fn a_connect_session_is_a_link_for_ten_minutes() {
    let world = World::with("admin.return_origins = [\"https://app.example.com\"]").await;
    let open = |body: &Value| world.api(Method::POST, "/v1/tenants/new/connect-sessions").json(body);
    for body in [
        json!({}),
        json!({"scopes": null, "return_to": null}),
        json!({"scopes": ["decks:read"]}),
        json!({"client": CLIENT}),
        json!({"scopes": "decks:read  cards:read"}),
        json!({"return_to": "https://app.example.com/settings?tab=flexslot#connections"}),
    ] {
        let session = open(&body).send().await.is(201).json();
        let path = format!("/connect/{}", session["id"].as_str().unwrap());
        assert_eq!(session["url"], format!("http://127.0.0.1:{}{path}", world.admin_address().port()));
        assert!(session["expires_at"].as_str().unwrap().ends_with('Z'), "{session}");
        let host = format!("127.0.0.1:{}", world.admin_address().port());
        world.admin(&path).header("host", &host).send().await.is(200);
    }
    world.api(Method::POST, "/v1/tenants/new/connect-sessions").send().await.is(201);
    let list = world.api(Method::GET, "/v1/tenants").send().await.json();
    assert_eq!(names(&list), Vec::<&str>::new(), "a link alone makes no tenant");
    world.finish().await;
}

#[tokio::test]
async fn without_a_client_nobody_can_connect() {
    let world = World::plan().without("oauth.client_id").start().await;
    let reply = world.api(Method::POST, "/v1/tenants/acme/connect-sessions").send().await;
    reply.is_problem(409, "conflict");
    assert!(reply.detail().contains("oauth.client_id") && reply.json()["action"] == "fix_config", "{}", reply.text());
    world.finish().await;
}

#[tokio::test]
async fn only_what_waits_for_it_can_be_completed() {
    let world = World::start().await;
    let complete = async |id: &str| {
        let target = format!("/v1/connect-sessions/{id}/complete");
        world.api(Method::POST, &target).json(&json!({"code": "c"})).send().await
    };
    for unknown in ["nobody", "%FF"] {
        complete(unknown).await.is_problem(404, "not_found");
    }
    let session = world.api(Method::POST, "/v1/tenants/acme/connect-sessions").send().await.is(201).json();
    complete(session["id"].as_str().unwrap()).await.is_problem(409, "conflict");
    world.finish().await;
}

#[tokio::test]
async fn a_disconnect_revokes_and_forgets() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let disconnect = || world.api(Method::POST, "/v1/tenants/acme/disconnect");
    assert_eq!(disconnect().send().await.is(200).json(), json!({"revocation": "done"}));
    assert!(world.sandbox.grant(grant).unwrap().ended.is_some());
    world.get("/decks/").tenant("acme").send().await.is_problem(401, "reconnect_required");
    let card = card(&world, "acme").await;
    assert_eq!((card["state"].as_str(), card["reason"].as_str()), (Some("not_connected"), Some("disconnected")));
    assert_eq!(disconnect().send().await.is(200).json(), json!({"revocation": "none"}));
    world.finish().await;
}

#[tokio::test]
async fn a_removal_forgets_and_does_not_revoke() {
    let world = World::start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.tenant("acme").with_pat().await;
    world.api(Method::DELETE, "/v1/tenants/acme").send().await.is(204);
    assert!(world.sandbox.grant(grant).unwrap().ended.is_none());
    world.get("/decks/").tenant("acme").send().await.is_problem(401, "not_connected");
    for method in [Method::GET, Method::DELETE] {
        world.api(method, "/v1/tenants/acme").send().await.is_problem(404, "not_found");
    }
    world.finish().await;
}

#[tokio::test]
async fn without_the_store_the_api_says_so_and_what_to_do() {
    let world = World::plan().frail().start().await;
    world.frailty.out_of_reach();
    for call in [
        world.api(Method::GET, "/v1/tenants"),
        world.api(Method::PUT, "/v1/tenants/acme/pat").json(&json!({"pat": "flx_pat_1"})),
        world.api(Method::POST, "/v1/tenants/acme/connect-sessions"),
        world.api(Method::POST, "/v1/sign-in-links"),
    ] {
        let reply = call.send().await;
        reply.is_problem(503, "store_unavailable");
        assert_eq!(reply.json()["action"], "retry");
    }
    world.frailty.back();
    world.finish().await;
}

#[tokio::test]
async fn no_answer_holds_what_was_put_in() {
    let world = World::start().await;
    world.sandbox.add_deck("acme", "Deck");
    let pair = world.sandbox.issue_grant("acme", CLIENT, "decks:read").unwrap();
    let pat = world.sandbox.add_pat("acme");
    let body = json!({
        "access_token": pair.access.expose(), "refresh_token": pair.refresh.expose(), "pat": pat.expose(),
        "expires_at": 4_000_000_000_u64,
    });
    let replies = [
        world.api(Method::PUT, "/v1/tenants/acme/grant").json(&body).send().await,
        world.api(Method::GET, "/v1/tenants/acme").send().await,
        world.api(Method::GET, "/v1/tenants").send().await,
        world.api(Method::PUT, "/v1/tenants/acme/pat").json(&body).send().await,
        world.api(Method::POST, "/v1/tenants/acme/connect-sessions").json(&body).send().await,
        world.api(Method::POST, "/v1/tenants/acme/disconnect").send().await,
        world.api(Method::DELETE, "/v1/tenants/acme").send().await,
    ];
    for reply in replies {
        let everything = format!("{:?} {}", reply.headers, reply.text());
        for secret in [&pair.access, &pair.refresh, &pat] {
            assert!(!everything.contains(secret.expose()), "{everything}");
        }
        assert!(!everything.contains(ADMIN_TOKEN), "{everything}");
    }
    world.finish().await;
}

#[tokio::test]
async fn connections_are_counted_by_their_state() {
    let mut world = World::with("store.url = \"sqlite:store.db\"").await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.tenant("beta").with_pat().await;
    world.tenant("gamma").with_pat().await;
    world.restart().await;
    let counted = async |state: &str| world.metric(&format!("flexslot_proxy_connections{{state=\"{state}\"}}")).await;
    until("the count", async || counted("not_connected").await > 0.0).await;
    assert_eq!((counted("connected").await, counted("not_connected").await), (1.0, 2.0));
    assert_eq!((counted("expiring").await, counted("error").await), (0.0, 0.0));
    world.finish().await;
}

#[tokio::test]
async fn the_description_is_for_everybody() {
    let world = World::start().await;
    let reply = world.admin("/v1/openapi.json").send().await;
    assert_eq!(reply.is(200).header("content-type"), Some("application/json"));
    assert_eq!(reply.json()["openapi"], "3.1.0");
    world.finish().await;
}
