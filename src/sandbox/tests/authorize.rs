//! Fact sheet section 5.

use super::*;
use crate::sandbox::Consent;

async fn redirected(test: &Test, changes: &[(&str, &str)]) -> String {
    let reply = test.browse(&authorize_target(&challenge(VERIFIER), changes)).await;
    assert_eq!(reply.status, 302);
    let location = reply.location();
    assert!(location.starts_with(CALLBACK));
    assert_eq!(query(&location, "iss").as_deref(), Some(test.running.origin()));
    assert_eq!(query(&location, "code"), None);
    query(&location, "error").expect("an error")
}

#[tokio::test]
async fn consent_goes_back_with_code_state_and_issuer() {
    let test = Test::start().await;
    let location = test.browse(&authorize_target(&challenge(VERIFIER), &[])).await.location();
    assert_eq!(query(&location, "state").as_deref(), Some("state-1"));
    assert_eq!(query(&location, "iss").as_deref(), Some(test.running.origin()));
    assert!(query(&location, "code").is_some());
}

#[tokio::test]
async fn the_settings_can_name_the_issuer() {
    let issuer = "https://api.flexslot.gg".to_owned();
    let test = Test::with(Settings { issuer: Some(issuer.clone()), ..Settings::default() }).await;
    let location = test.browse(&authorize_target(&challenge(VERIFIER), &[])).await.location();
    assert_eq!(query(&location, "iss"), Some(issuer));
}

#[tokio::test]
async fn an_unknown_client_or_redirect_uri_is_a_page_and_never_a_redirect() {
    let test = Test::start().await;
    let slash = format!("{CALLBACK}/");
    for change in [("client_id", "other"), ("client_id", ""), ("redirect_uri", ""), ("redirect_uri", slash.as_str())] {
        let reply = test.browse(&authorize_target(&challenge(VERIFIER), &[change])).await;
        assert_eq!((reply.status.as_u16(), reply.location()), (400, String::new()), "{change:?}");
        assert_eq!(reply.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    }
}

#[tokio::test]
async fn missing_or_malformed_parameters_are_invalid_request() {
    let test = Test::start().await;
    for change in [
        ("response_type", ""),
        ("scope", ""),
        ("state", ""),
        ("code_challenge", ""),
        ("code_challenge", "short"),
        ("code_challenge_method", ""),
        ("code_challenge_method", "plain"),
    ] {
        assert_eq!(redirected(&test, &[change]).await, "invalid_request", "{change:?}");
    }
    let twice = format!("{}&scope=decks%3Aread", authorize_target(&challenge(VERIFIER), &[]));
    assert_eq!(query(&test.browse(&twice).await.location(), "error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn other_errors_have_their_codes_and_the_state() {
    let test = Test::start().await;
    assert_eq!(redirected(&test, &[("response_type", "token")]).await, "unsupported_response_type");
    assert_eq!(redirected(&test, &[("scope", "decks:read offline_access")]).await, "invalid_scope");
    let narrow = Client::confidential(CLIENT, Secret::new(SECRET)).redirect_uri(CALLBACK).scopes("cards:read");
    test.sandbox.add_client(narrow.clone());
    assert_eq!(redirected(&test, &[("scope", "decks:read")]).await, "invalid_scope");
    test.sandbox.add_client(Client { grant_types: vec!["refresh_token".into()], ..narrow });
    let reply = test.browse(&authorize_target(&challenge(VERIFIER), &[])).await;
    assert_eq!(query(&reply.location(), "error").as_deref(), Some("unauthorized_client"));
    assert_eq!(query(&reply.location(), "state").as_deref(), Some("state-1"));
}

#[tokio::test]
async fn the_page_is_answered_once_by_allow_or_deny() {
    let test = Test::with(Settings { consent: Consent::Page, ..Settings::default() }).await;
    for (decision, parameter) in [("allow", "code"), ("deny", "error")] {
        let page = test.browse(&authorize_target(&challenge(VERIFIER), &[])).await;
        assert_eq!(page.status, 200);
        let text = page.text();
        assert!(text.contains("Read your decks") && text.contains(CLIENT));
        let nonce = text.split("name=nonce value=\"").nth(1).unwrap().split('"').next().unwrap();
        let answer = [("nonce", nonce), ("user", "ada"), ("decision", decision)];
        let reply = test.send(form("authorize", &answer, false)).await;
        assert_eq!(reply.status, 303);
        assert!(query(&reply.location(), parameter).is_some());
        assert_eq!(query(&reply.location(), "state").as_deref(), Some("state-1"));
        assert_eq!(query(&reply.location(), "iss").as_deref(), Some(test.running.origin()));
        assert_eq!(test.send(form("authorize", &answer, false)).await.status, 400);
    }
}

#[tokio::test]
async fn consent_without_the_pages_nonce_is_refused() {
    let test = Test::with(Settings { consent: Consent::Page, ..Settings::default() }).await;
    test.browse(&authorize_target(&challenge(VERIFIER), &[])).await;
    let reply = test.send(form("authorize", &[("nonce", "guess"), ("decision", "allow")], false)).await;
    assert_eq!((reply.status.as_u16(), reply.location()), (400, String::new()));
}

#[tokio::test]
async fn a_user_revokes_a_grant_at_the_connected_apps() {
    let test = Test::start().await;
    let pair = test.grant();
    let page = test.browse("/account/connected-apps").await.text();
    let csrf = page.split("name=csrf value=\"").nth(1).unwrap().split('"').next().unwrap();
    let id = pair.grant.to_string();
    let post = |csrf: &str| {
        let body = format!("csrf={csrf}&user=george&grant={id}");
        let request = Request::post("/account/connected-apps").header(header::HOST, "sandbox");
        request.body(Full::from(body)).unwrap()
    };
    assert_eq!(test.send(post("guess")).await.status, 403);
    assert_eq!(test.get("/decks/", &pair.access).await.status, 200);
    assert_eq!(test.send(post(csrf)).await.status, 303);
    assert_eq!(test.get("/decks/", &pair.access).await.status, 401);
    assert!(!test.browse("/account/connected-apps").await.text().contains(&id));
}
