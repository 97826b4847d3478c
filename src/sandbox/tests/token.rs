//! Fact sheet sections 4 and 6.

use std::time::Duration;

use super::*;
use crate::sandbox::{End, PreviousAccess};

fn redeem<'a>(code: &'a str, verifier: &'a str) -> [(&'a str, &'a str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", verifier)]
}

#[tokio::test]
async fn a_refresh_answers_all_five_fields_and_is_not_stored() {
    let test = Test::start().await;
    let reply = test.refresh(&test.grant().refresh).await;
    let body = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header(header::CACHE_CONTROL), "no-store");
    assert_eq!((&body["token_type"], &body["expires_in"]), (&"Bearer".into(), &3600.into()));
    assert_eq!(body["scope"], SCOPES.join(" "));
    assert_eq!(test.get("/decks/", &reply.secret("access_token")).await.status, 200);
}

#[tokio::test]
async fn a_spent_refresh_token_ends_the_whole_grant() {
    let test = Test::start().await;
    let first = test.grant();
    let second = test.refresh(&first.refresh).await;
    assert_eq!(test.refresh(&first.refresh).await.error(), (400, "invalid_grant".into()));
    assert_eq!(test.get("/decks/", &second.secret("access_token")).await.status, 401);
    assert_eq!(test.refresh(&second.secret("refresh_token")).await.error(), (400, "invalid_grant".into()));
    let grant = test.sandbox.grant(first.grant).unwrap();
    assert_eq!((grant.ended, grant.replays, grant.refreshes), (Some(End::RefreshReplay), 1, 1));
    assert_eq!((grant.token_requests, grant.presented_after_end), (3, 2));
    assert_eq!(test.sandbox.counters().replays, 1);
}

#[tokio::test]
async fn parallel_refreshes_with_one_token_lose_the_grant() {
    let test = Test::start().await;
    let pair = test.grant();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", pair.refresh.expose())];
    let gate = test.sandbox.hold(crate::sandbox::Endpoint::Token);
    let send = || test.form("token", &fields);
    let all = async { tokio::join!(send(), send(), send(), send(), send()) };
    let open = async {
        gate.arrived(5).await;
        gate.release();
    };
    let (replies, ()) = tokio::join!(all, open);
    let statuses = [replies.0.status, replies.1.status, replies.2.status, replies.3.status, replies.4.status];
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(test.sandbox.counters().replays, 4);
    assert_eq!(test.sandbox.grant(pair.grant).unwrap().ended, Some(End::RefreshReplay));
}

#[tokio::test]
async fn a_refresh_ends_the_access_token_before_it_or_lets_it_live_by_the_setting() {
    for (previous_access, status) in [(PreviousAccess::Ends, 401), (PreviousAccess::LivesOn, 200)] {
        let test = Test::with(Settings { previous_access, ..Settings::default() }).await;
        let pair = test.grant();
        test.refresh(&pair.refresh).await;
        assert_eq!(test.get("/decks/", &pair.access).await.status, status);
    }
}

#[tokio::test]
async fn a_refresh_token_lives_thirty_days_from_its_last_use() {
    let test = Test::start().await;
    let mut token = test.grant().refresh;
    for _ in 0..3 {
        test.sandbox.set_clock_offset(
            test.sandbox.shared.clock_offset.load(std::sync::atomic::Ordering::Relaxed) + 29 * 86_400_000,
        );
        token = test.refresh(&token).await.secret("refresh_token");
    }
    let last = Duration::from_secs((3 * 29 + 30) * 86_400);
    test.sandbox.set_clock_offset(i64::try_from(last.as_millis()).unwrap());
    assert_eq!(test.refresh(&token).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_refresh_narrows_the_scope_and_never_widens_it() {
    let test = Test::start().await;
    let pair = test.sandbox.issue_grant("george", CLIENT, "decks:write cards:read").unwrap();
    let ask = async |token: &Secret, scope: &str| {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose()), ("scope", scope)];
        test.form("token", &fields).await
    };
    assert_eq!(ask(&pair.refresh, "decks:write guides:read").await.error(), (400, "invalid_scope".into()));
    let narrow = ask(&pair.refresh, "cards:read").await;
    assert_eq!(narrow.json()["scope"], "cards:read");
    assert_eq!(test.get("/decks/", &narrow.secret("access_token")).await.status, 403);
    // The refresh token keeps the whole grant (RFC 6749 section 6).
    assert_eq!(test.refresh(&narrow.secret("refresh_token")).await.json()["scope"], "decks:write cards:read");
}

#[tokio::test]
async fn client_authentication_is_basic_or_form_fields_and_not_both() {
    let test = Test::start().await;
    let token = test.grant().refresh;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
    let with = |more: &[(&'static str, &'static str)], basic| {
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain(more.iter().copied()).collect();
        form("token", &fields, basic)
    };
    let both = test.send(with(&[("client_secret", SECRET)], true)).await;
    assert_eq!(both.error(), (400, "invalid_request".into()));
    let other = test.send(with(&[("client_id", "another")], true)).await;
    assert_eq!(other.error(), (400, "invalid_request".into()));
    for wrong in [vec![], vec![("client_id", CLIENT)], vec![("client_id", CLIENT), ("client_secret", "wrong")]] {
        let reply = test.send(with(&wrong, false)).await;
        assert_eq!(reply.error(), (401, "invalid_client".into()));
        assert_eq!(reply.header(header::WWW_AUTHENTICATE), r#"Basic realm="flexslot""#);
    }
    assert_eq!(test.send(with(&[("client_id", CLIENT), ("client_secret", SECRET)], false)).await.status, 200);
}

#[tokio::test]
async fn basic_credentials_are_form_decoded() {
    let test = Test::start().await;
    test.sandbox.add_client(Client::confidential("odd id:%", Secret::new("p+s w:%")));
    let pair = test.sandbox.issue_grant("ada", "odd id:%", "decks:read").unwrap();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", pair.refresh.expose())];
    let mut request = form("token", &fields, false);
    request.headers_mut().insert(header::AUTHORIZATION, basic_header("odd id:%", "p+s w:%").parse().unwrap());
    assert_eq!(test.send(request).await.status, 200);
}

#[tokio::test]
async fn a_public_client_sends_its_id_and_no_secret() {
    let test = Test::start().await;
    test.sandbox.add_client(Client::public("public"));
    let token = test.sandbox.issue_grant("ada", "public", "decks:read").unwrap().refresh;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose()), ("client_id", "public")];
    let secret = [&fields[..], &[("client_secret", "x")]].concat();
    assert_eq!(test.send(form("token", &secret, false)).await.error(), (401, "invalid_client".into()));
    assert_eq!(test.send(form("token", &fields, false)).await.status, 200);
}

#[tokio::test]
async fn another_clients_token_is_refused_and_not_spent() {
    let test = Test::start().await;
    test.sandbox.add_client(Client::public("public"));
    let token = test.grant().refresh;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose()), ("client_id", "public")];
    assert_eq!(test.send(form("token", &fields, false)).await.error(), (400, "invalid_grant".into()));
    assert_eq!(test.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn only_a_well_formed_post_is_a_token_request() {
    let test = Test::start().await;
    let token = test.grant().refresh;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
    let twice = [&fields[..], &[("grant_type", "refresh_token")]].concat();
    let mut json = form("token", &fields, true);
    json.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    let mut in_query = form("token", &fields, true);
    *in_query.uri_mut() = "/api/public/v1/oauth/token?grant_type=refresh_token".parse().unwrap();
    for request in [
        form("token", &twice, true),
        json,
        in_query,
        form("token", &fields[1..], true),
        form("token", &fields[..1], true),
    ] {
        let reply = test.send(request).await;
        assert_eq!(reply.error(), (400, "invalid_request".into()));
        assert_eq!(reply.json()["error_uri"], "https://flexslot.gg/docs/oauth/errors#invalid_request");
        assert!(reply.json()["error_description"].is_string());
    }
    assert_eq!(test.form("token", &[("grant_type", "password")]).await.error(), (400, "unsupported_grant_type".into()));
    let mut get = form("token", &fields, true);
    *get.method_mut() = Method::GET;
    assert_eq!(test.send(get).await.status, 405);
    assert_eq!(test.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn a_client_without_the_grant_type_is_unauthorized() {
    let test = Test::start().await;
    test.sandbox.add_client(Client { grant_types: vec!["authorization_code".into()], ..Client::public("public") });
    let token = test.sandbox.issue_grant("ada", "public", "decks:read").unwrap().refresh;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose()), ("client_id", "public")];
    assert_eq!(test.send(form("token", &fields, false)).await.error(), (400, "unauthorized_client".into()));
}

#[tokio::test]
async fn a_code_becomes_a_grant_with_the_consented_scopes() {
    let test = Test::start().await;
    let code = test.code(VERIFIER).await;
    let reply = test.form("token", &redeem(&code, VERIFIER)).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["scope"]), (200, &"decks:read cards:read".into()));
    assert_eq!(test.get("/decks/", &reply.secret("access_token")).await.json()["count"], 3);
    assert_eq!(test.sandbox.grants()[0].token_requests, 1);
}

#[tokio::test]
async fn a_code_used_twice_ends_the_grant_that_it_made() {
    let test = Test::start().await;
    let code = test.code(VERIFIER).await;
    let token = test.form("token", &redeem(&code, VERIFIER)).await.secret("access_token");
    assert_eq!(test.form("token", &redeem(&code, VERIFIER)).await.error(), (400, "invalid_grant".into()));
    assert_eq!(test.get("/decks/", &token).await.status, 401);
    assert_eq!(test.sandbox.counters().code_replays, 1);
}

#[tokio::test]
async fn a_wrong_verifier_makes_the_code_void() {
    let test = Test::start().await;
    let code = test.code(VERIFIER).await;
    let wrong = "x".repeat(43);
    assert_eq!(test.form("token", &redeem(&code, &wrong)).await.error(), (400, "invalid_grant".into()));
    assert_eq!(test.form("token", &redeem(&code, VERIFIER)).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_code_needs_its_verifier_and_its_redirect_uri() {
    let test = Test::start().await;
    let code = test.code(VERIFIER).await;
    let all = redeem(&code, VERIFIER);
    assert_eq!(test.form("token", &all[..3]).await.error(), (400, "invalid_request".into()));
    assert_eq!(test.form("token", &redeem(&code, "short")).await.error(), (400, "invalid_request".into()));
    let other = [all[0], all[1], ("redirect_uri", "https://app.example.com/cb/"), all[3]];
    assert_eq!(test.form("token", &other).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_code_expires_after_a_minute() {
    let test = Test::start().await;
    let code = test.code(VERIFIER).await;
    test.sandbox.set_clock_offset(60_000);
    assert_eq!(test.form("token", &redeem(&code, VERIFIER)).await.error(), (400, "invalid_grant".into()));
}
