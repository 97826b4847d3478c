//! Fact sheet section 7.

use super::*;
use crate::sandbox::End;

#[tokio::test]
async fn revoking_the_refresh_token_ends_the_grant() {
    let test = Test::start().await;
    let pair = test.grant();
    let reply = test.form("revoke", &[("token", pair.refresh.expose())]).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    assert_eq!(test.sandbox.grant(pair.grant).unwrap().ended, Some(End::Revoked));
    assert_eq!(test.get("/decks/", &pair.access).await.status, 401);
    assert_eq!(test.refresh(&pair.refresh).await.error(), (400, "invalid_grant".into()));
    assert_eq!(test.sandbox.counters().presented_after_end, 2);
}

#[tokio::test]
async fn revoking_an_access_token_leaves_the_grant() {
    let test = Test::start().await;
    let pair = test.grant();
    let hint = ("token_type_hint", "refresh_token");
    assert_eq!(test.form("revoke", &[("token", pair.access.expose()), hint]).await.status, 200);
    assert_eq!(test.get("/decks/", &pair.access).await.status, 401);
    assert_eq!(test.refresh(&pair.refresh).await.status, 200);
}

#[tokio::test]
async fn unknown_foreign_and_spent_tokens_are_answered_200_without_effect() {
    let test = Test::start().await;
    test.sandbox.add_client(Client::public("public"));
    let foreign = test.sandbox.issue_grant("ada", "public", "decks:read").unwrap();
    let own = test.grant();
    let newer = test.refresh(&own.refresh).await;
    for token in ["unknown", foreign.refresh.expose(), foreign.access.expose(), own.refresh.expose()] {
        assert_eq!(test.form("revoke", &[("token", token)]).await.status, 200);
    }
    assert_eq!(test.get("/decks/", &foreign.access).await.status, 200);
    assert_eq!(test.get("/decks/", &newer.secret("access_token")).await.status, 200);
}

#[tokio::test]
async fn revocation_needs_the_client_and_the_token() {
    let test = Test::start().await;
    let pair = test.grant();
    assert_eq!(test.form("revoke", &[]).await.error(), (400, "invalid_request".into()));
    let anonymous = test.send(form("revoke", &[("token", pair.refresh.expose())], false)).await;
    assert_eq!(anonymous.error(), (401, "invalid_client".into()));
    assert_eq!(test.get("/decks/", &pair.access).await.status, 200);
}

#[tokio::test]
async fn introspection_tells_the_owner_who_the_user_is() {
    let test = Test::start().await;
    let pair = test.grant();
    let body = test.form("introspect", &[("token", pair.access.expose())]).await.json();
    assert_eq!(
        (&body["active"], &body["username"], &body["client_id"]),
        (&true.into(), &"george".into(), &CLIENT.into())
    );
    assert_eq!(body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap(), 3600);
    assert_eq!((&body["token_type"], &body["scope"]), (&"Bearer".into(), &SCOPES.join(" ").into()));
    let refresh = test.form("introspect", &[("token", pair.refresh.expose())]).await.json();
    assert_eq!((&refresh["active"], &refresh["sub"]), (&true.into(), &body["sub"]));
}

#[tokio::test]
async fn introspection_tells_everybody_else_nothing() {
    let test = Test::start().await;
    test.sandbox.add_client(Client::public("public"));
    let pair = test.grant();
    let token = ("token", pair.access.expose());
    let expired = test.grant();
    test.sandbox.expire_access(expired.grant).unwrap();
    for request in [
        form("introspect", &[token, ("client_id", "public")], false),
        form("introspect", &[token], false),
        form("introspect", &[token, ("client_id", CLIENT), ("client_secret", "wrong")], false),
        form("introspect", &[("token", "unknown")], true),
        form("introspect", &[], true),
        form("introspect", &[("token", expired.access.expose())], true),
    ] {
        let reply = test.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, r#"{"active":false}"#));
    }
}
