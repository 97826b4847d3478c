//! Fact sheet section 10.

use serde_json::json;

use super::*;
use crate::sandbox::{ClientRevocation, End};

const CLIENTS: &str = "/me/partner/oauth2-clients";

fn new_client() -> Value {
    json!({"application_name": "App", "redirect_uris": [CALLBACK], "allowed_scopes": ["decks:read"]})
}

async fn create(test: &Test, pat: &Secret) -> Reply {
    test.call(Method::POST, CLIENTS, pat, Some(new_client())).await
}

#[tokio::test]
async fn a_pat_shows_its_metadata() {
    let test = Test::start().await;
    let pat = test.sandbox.add_pat("ada");
    let body = test.get("/me/access-tokens/", &pat).await.json();
    assert_eq!(body["token_prefix"], pat.expose()[..12]);
    assert_eq!((&body["expires_at"], &body["revoked_at"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn only_a_partner_has_a_partner_row() {
    let test = Test::start().await;
    assert_eq!(test.get("/me/partner", &test.sandbox.add_pat("ada")).await.status, 404);
    let row = test.get("/me/partner", &test.sandbox.add_pat("george")).await.json();
    assert_eq!(
        (&row["slug"], &row["rate_limit_tier"], &row["status"]),
        (&"george".into(), &"standard".into(), &"active".into())
    );
}

#[tokio::test]
async fn the_api_key_is_shown_once_and_its_prefix_stays() {
    let test = Test::start().await;
    let pat = test.sandbox.add_pat("george");
    let rotated = test.call(Method::POST, "/me/partner/rotate-api-key", &pat, None).await.json();
    let key = rotated["plaintext_api_key"].as_str().unwrap();
    assert_eq!(rotated["api_key_prefix"], key[..12]);
    let row = test.get("/me/partner", &pat).await;
    assert_eq!(row.json()["api_key_prefix"], key[..12]);
    assert!(!row.text().contains(key));
}

#[tokio::test]
async fn a_scope_request_is_accepted_or_its_fields_are_named() {
    let test = Test::start().await;
    let pat = test.sandbox.add_pat("george");
    let ask = async |body| test.call(Method::POST, "/me/partner/scope-requests", &pat, Some(body)).await;
    assert_eq!(ask(json!({"justification": "We need it.", "requested_scopes": ["x"]})).await.status, 202);
    let bad = ask(json!({"justification": "short", "requested_game_scopes": ["a b"]})).await;
    assert_eq!(bad.status, 400);
    assert!(
        bad.json()["fields"]["justification"].is_array() && bad.json()["fields"]["requested_game_scopes"].is_array()
    );
}

#[tokio::test]
async fn a_client_is_created_with_a_secret_that_works_at_once() {
    let test = Test::start().await;
    let reply = create(&test, &test.sandbox.add_pat("george")).await;
    let (client, secret) = (reply.json()["client"].clone(), reply.secret("plaintext_client_secret"));
    assert_eq!(reply.status, 201);
    let id = client["client_id"].as_str().unwrap();
    assert!(id.starts_with("flx_client_") && secret.expose().starts_with("flx_cs_"));
    assert_eq!((&client["status"], &client["require_pkce"]), (&"active".into(), &true.into()));
    let pair = test.sandbox.issue_grant("ada", id, "decks:read").unwrap();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", pair.refresh.expose()),
        ("client_id", id),
        ("client_secret", secret.expose()),
    ];
    assert_eq!(test.send(form("token", &refresh, false)).await.status, 200);
}

#[tokio::test]
async fn a_public_client_has_an_empty_secret_and_cannot_rotate() {
    let test = Test::start().await;
    let pat = test.sandbox.add_pat("george");
    let mut body = new_client();
    body["client_type"] = "public".into();
    let reply = test.call(Method::POST, CLIENTS, &pat, Some(body)).await.json();
    assert_eq!((&reply["plaintext_client_secret"], &reply["secret_rotated_at"]), (&"".into(), &Value::Null));
    let path = format!("{CLIENTS}/{}/rotate-secret", reply["client"]["client_id"].as_str().unwrap());
    assert_eq!(test.call(Method::POST, &path, &pat, None).await.status, 400);
}

#[tokio::test]
async fn rotation_makes_the_old_secret_invalid_at_once() {
    let test = Test::start().await;
    let pat = test.sandbox.add_pat("george");
    let created = create(&test, &pat).await;
    let id = created.json()["client"]["client_id"].as_str().unwrap().to_owned();
    let rotated = test.call(Method::POST, &format!("{CLIENTS}/{id}/rotate-secret"), &pat, None).await;
    let with = async |secret: &Secret| {
        let fields = [("token", "x"), ("client_id", id.as_str()), ("client_secret", secret.expose())];
        test.send(form("revoke", &fields, false)).await.status.as_u16()
    };
    assert_eq!(with(&created.secret("plaintext_client_secret")).await, 401);
    assert_eq!(with(&rotated.secret("plaintext_client_secret")).await, 200);
}

#[tokio::test]
async fn every_faulty_field_of_a_client_is_named() {
    let test = Test::start().await;
    let body = json!({
        "application_name": "", "redirect_uris": ["http://app.example.com"], "allowed_scopes": ["decks:admin"],
        "client_type": "secret", "grant_types": ["password"], "tos_url": "x".repeat(513),
    });
    let reply = test.call(Method::POST, CLIENTS, &test.sandbox.add_pat("george"), Some(body)).await;
    let named: Vec<String> = reply.json()["fields"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(reply.status, 400);
    assert_eq!(named, ["allowed_scopes", "application_name", "client_type", "grant_types", "redirect_uris", "tos_url"]);
}

#[tokio::test]
async fn the_eleventh_client_is_refused_until_one_is_revoked() {
    let test = Test::start().await;
    let pat = test.sandbox.add_pat("george");
    for _ in 0..10 {
        assert_eq!(create(&test, &pat).await.status, 201);
    }
    assert_eq!(create(&test, &pat).await.status, 400);
    let list = test.get(CLIENTS, &pat).await.json();
    assert_eq!(list.as_array().unwrap().len(), 10);
    let path = format!("{CLIENTS}/{}", list[0]["client_id"].as_str().unwrap());
    assert_eq!(test.call(Method::DELETE, &path, &pat, None).await.status, 204);
    assert_eq!(test.get(CLIENTS, &pat).await.json().as_array().unwrap().len(), 9);
    assert_eq!(create(&test, &pat).await.status, 201);
}

#[tokio::test]
async fn revoking_a_client_ends_its_grants() {
    let test = Test::start().await;
    let pat = test.sandbox.add_pat("george");
    let id = create(&test, &pat).await.json()["client"]["client_id"].as_str().unwrap().to_owned();
    let pair = test.sandbox.issue_grant("ada", &id, "decks:read").unwrap();
    let bystander = test.grant();
    test.call(Method::DELETE, &format!("{CLIENTS}/{id}"), &pat, None).await;
    assert_eq!(test.get("/decks/", &pair.access).await.status, 401);
    assert_eq!(test.sandbox.grant(pair.grant).unwrap().ended, Some(End::ClientRevoked));
    assert_eq!(test.get("/decks/", &bystander.access).await.status, 200);
}

#[tokio::test]
async fn client_revocation_has_the_form_that_the_settings_name() {
    for (client_revocation, delete, post) in [
        (ClientRevocation::Delete, 204, 404),
        (ClientRevocation::Post, 405, 204),
        (ClientRevocation::Neither, 405, 404),
    ] {
        let test = Test::with(Settings { client_revocation, ..Settings::default() }).await;
        let pat = test.sandbox.add_pat("george");
        let id = create(&test, &pat).await.json()["client"]["client_id"].as_str().unwrap().to_owned();
        let deleted = test.call(Method::DELETE, &format!("{CLIENTS}/{id}"), &pat, None).await;
        let posted = test.call(Method::POST, &format!("{CLIENTS}/{id}/revoke"), &pat, None).await;
        assert_eq!((deleted.status.as_u16(), posted.status.as_u16()), (delete, post));
    }
}

#[tokio::test]
async fn another_partners_client_does_not_exist() {
    let test = Test::start().await;
    test.sandbox.add_partner("eve");
    let id =
        create(&test, &test.sandbox.add_pat("george")).await.json()["client"]["client_id"].as_str().unwrap().to_owned();
    let eve = test.sandbox.add_pat("eve");
    assert_eq!(test.get(CLIENTS, &eve).await.json(), json!([]));
    assert_eq!(test.call(Method::POST, &format!("{CLIENTS}/{id}/rotate-secret"), &eve, None).await.status, 404);
    assert_eq!(test.call(Method::DELETE, &format!("{CLIENTS}/{id}"), &eve, None).await.status, 404);
}
