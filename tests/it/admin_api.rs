//! The API of the admin listener.

use http::Method;
use serde_json::json;

use crate::support::World;

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
