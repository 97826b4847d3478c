//! The handle over HTTP.

use serde_json::json;

use super::*;

pub(super) async fn control(test: &Test, method: Method, path: &str, body: Option<Value>) -> Reply {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder().method(method).uri(format!("/_sandbox/{path}")).header(header::HOST, "sandbox");
    test.send(request.body(Full::from(body)).unwrap()).await
}

pub(super) async fn post(test: &Test, path: &str, body: Value) -> Reply {
    control(test, Method::POST, path, Some(body)).await
}

#[tokio::test]
async fn a_world_is_built_over_http() {
    let test = Test::start().await;
    assert_eq!(post(&test, "users", json!({"name": "eve", "partner": true, "decks": 2})).await.status, 204);
    let client = json!({"client_id": "c", "redirect_uris": [CALLBACK], "scopes": "decks:read", "owner": "eve"});
    assert_eq!(post(&test, "clients", client).await.status, 204);
    let pair = post(&test, "grants", json!({"user": "eve", "client_id": "c", "scope": "decks:read"})).await;
    assert_eq!(test.get("/decks/", &pair.secret("access_token")).await.json()["count"], 2);
    let pat = post(&test, "pats", json!({"user": "eve"})).await.secret("pat");
    assert_eq!(test.get("/me/partner/oauth2-clients", &pat).await.json()[0]["client_id"], "c");
    assert_eq!(post(&test, "pats/revoke", json!({"pat": pat.expose()})).await.status, 204);
    assert_eq!(test.get("/decks/", &pat).await.status, 401);
}

#[tokio::test]
async fn a_grant_is_expired_and_revoked_over_http() {
    let test = Test::start().await;
    let pair = test.grant();
    let act = async |path: String| control(&test, Method::POST, &path, None).await.status.as_u16();
    assert_eq!(act(format!("grants/{}/expire", pair.grant)).await, 204);
    assert_eq!(test.get("/decks/", &pair.access).await.status, 401);
    let newer = test.refresh(&pair.refresh).await;
    assert_eq!(test.get("/decks/", &newer.secret("access_token")).await.status, 200);
    assert_eq!(act("users/george/revoke".into()).await, 204);
    assert_eq!(test.get("/decks/", &newer.secret("access_token")).await.status, 401);
    let shown = control(&test, Method::GET, &format!("grants/{}", pair.grant), None).await.json();
    assert_eq!(
        (&shown["ended"], &shown["version"], &shown["presented_after_end"]),
        (&"control".into(), &2.into(), &1.into())
    );
    assert_eq!(act("users/nobody/revoke".into()).await, 404);
    assert_eq!(act(format!("grants/{}/burn", pair.grant)).await, 404);
}

#[tokio::test]
async fn an_expired_refresh_token_is_invalid_grant() {
    let test = Test::start().await;
    let pair = test.grant();
    control(&test, Method::POST, &format!("grants/{}/expire-refresh", pair.grant), None).await;
    assert_eq!(test.refresh(&pair.refresh).await.error(), (400, "invalid_grant".into()));
    assert_eq!(test.get("/decks/", &pair.access).await.status, 200);
}

#[tokio::test]
async fn a_grant_can_begin_with_a_short_life() {
    let test = Test::start().await;
    let pair = post(&test, "grants", json!({"user": "ada", "client_id": CLIENT, "expires_in": 10})).await;
    assert_eq!(pair.json()["expires_in"], 10);
    test.sandbox.set_clock_offset(10_000);
    assert_eq!(test.get("/decks/", &pair.secret("access_token")).await.status, 401);
    assert_eq!(test.refresh(&pair.secret("refresh_token")).await.json()["expires_in"], 3600);
}

#[tokio::test]
async fn web_pages_cannot_steer_the_sandbox() {
    let test = Test::start().await;
    let request = Request::delete("/_sandbox/faults").header(header::HOST, "sandbox").header(header::ORIGIN, "null");
    assert_eq!(test.send(request.body(Full::default()).unwrap()).await.status, 403);
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared_over_http() {
    let test = Test::start().await;
    let token = test.grant().access;
    let fault = json!({"endpoint": "resource", "status": 503, "headers": {"retry-after": "1"}, "body": "down", "user": "george"});
    assert_eq!(post(&test, "faults", fault).await.status, 204);
    assert_eq!(control(&test, Method::GET, "faults", None).await.json()[0]["effect"]["status"], 503);
    let reply = test.get("/decks/", &token).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str(), reply.header(header::RETRY_AFTER)), (503, "down", "1"));
    control(&test, Method::DELETE, "faults", None).await;
    assert_eq!(test.get("/decks/", &token).await.status, 200);
}

#[tokio::test]
async fn a_fault_has_exactly_one_effect_and_no_unknown_field() {
    let test = Test::start().await;
    for body in [
        json!({"endpoint": "token"}),
        json!({"endpoint": "token", "cut": true, "status": 500}),
        json!({"endpoint": "token", "status": 99}),
        json!({"endpoint": "nowhere", "cut": true}),
        json!({"endpoint": "token", "cut": true, "often": 3}),
    ] {
        assert_eq!(post(&test, "faults", body.clone()).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_gate_is_held_and_released_over_http() {
    let test = Test::start().await;
    let id = post(&test, "gates", json!({"endpoint": "resource"})).await.json()["id"].as_str().unwrap().to_owned();
    let token = test.grant().access;
    let release = async {
        let arrived = control(&test, Method::GET, &format!("gates/{id}?arrived=1"), None).await.json();
        assert_eq!(arrived["arrived"], 1);
        control(&test, Method::DELETE, &format!("gates/{id}"), None).await
    };
    let (reply, released) = tokio::join!(test.get("/decks/", &token), release);
    assert_eq!((reply.status.as_u16(), released.status.as_u16()), (200, 204));
}

#[tokio::test]
async fn counters_requests_and_events_are_shown_and_forgotten() {
    let test = Test::start().await;
    test.get("/decks/?x=1", &test.grant().access).await;
    let counters = control(&test, Method::GET, "counters", None).await.json();
    assert_eq!((&counters["answers"]["resource"]["200"], &counters["credentials"]["oauth"]), (&1.into(), &1.into()));
    let requests = control(&test, Method::GET, "requests", None).await.json();
    assert_eq!(requests[0]["target"], "/api/public/v1/decks/?x=1");
    assert_eq!(control(&test, Method::GET, "events", None).await.text(), "GET /decks/ 200 george oauth v1\n");
    control(&test, Method::DELETE, "counters", None).await;
    assert_eq!(control(&test, Method::GET, "counters", None).await.json()["answers"], json!({}));
    assert_eq!(control(&test, Method::GET, "requests", None).await.json(), json!([]));
}

#[tokio::test]
async fn clock_consent_and_sign_in_are_set_over_http() {
    let test = Test::start().await;
    let token = test.grant().access;
    post(&test, "clock", json!({"offset_seconds": 3600})).await;
    assert_eq!(test.get("/decks/", &token).await.status, 401);
    post(&test, "sign-in", json!({"user": "ada"})).await;
    post(&test, "consent", json!({"mode": "page"})).await;
    let page = test.browse(&authorize_target(&challenge(VERIFIER), &[])).await;
    assert_eq!((page.status.as_u16(), page.text().contains(r#"value="ada""#)), (200, true));
}
