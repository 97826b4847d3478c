//! Fact sheet sections 2, 9 and 11 to 14.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_pat_and_an_access_token_get_the_same_answer() {
    let test = Test::start().await;
    let (pat, pair) = (test.sandbox.add_pat("george"), test.grant());
    assert_eq!(test.get("/decks/", &pat).await.json(), test.get("/decks/", &pair.access).await.json());
    let counts = test.sandbox.counters();
    assert_eq!((counts.credentials("pat"), counts.credentials("oauth")), (1, 1));
}

#[tokio::test]
async fn no_credential_gets_a_challenge_without_an_error() {
    let test = Test::start().await;
    let reply = test.browse("/api/public/v1/decks/").await;
    assert_eq!((reply.status.as_u16(), reply.header(header::WWW_AUTHENTICATE)), (401, r#"Bearer realm="flexslot""#));
}

#[tokio::test]
async fn unknown_expired_and_revoked_credentials_are_invalid_token() {
    let test = Test::start().await;
    let (expired, late, revoked, pat) = (test.grant(), test.grant(), test.grant(), test.sandbox.add_pat("ada"));
    test.sandbox.expire_access(expired.grant).unwrap();
    test.sandbox.revoke_grant(revoked.grant).unwrap();
    test.sandbox.revoke_pat(&pat);
    test.sandbox.set_clock_offset(3_599_000);
    assert_eq!(test.get("/decks/", &late.access).await.status, 200);
    test.sandbox.set_clock_offset(3_600_000);
    for token in [Secret::new("flx_at_x"), expired.access, late.access, revoked.access, pat] {
        let reply = test.get("/decks/", &token).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (401, &"invalid_token".into()));
        assert_eq!(reply.header(header::WWW_AUTHENTICATE), r#"Bearer realm="flexslot", error="invalid_token""#);
    }
    assert_eq!(test.sandbox.counters().presented_after_end, 1);
}

#[tokio::test]
async fn two_authorization_headers_or_another_scheme_are_malformed() {
    let test = Test::start().await;
    let mut twice = api(Method::GET, "/decks/", &test.grant().access, None);
    twice.headers_mut().append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
    let mut basic = api(Method::GET, "/decks/", &test.grant().access, None);
    basic.headers_mut().insert(header::AUTHORIZATION, "Basic eDp5".parse().unwrap());
    for request in [twice, basic] {
        assert_eq!(test.send(request).await.status, 400);
    }
}

#[tokio::test]
async fn a_missing_scope_is_403_and_names_what_is_needed() {
    let test = Test::start().await;
    let pair = test.sandbox.issue_grant("george", CLIENT, "decks:write").unwrap();
    assert_eq!(test.get("/decks/", &pair.access).await.status, 200);
    for (path, scope) in [
        ("/sideboards/", "sideboards:read"),
        ("/cards/autocomplete?q=a", "cards:read"),
        ("/decks/1/guide", "guides:read"),
    ] {
        let reply = test.get(path, &pair.access).await;
        assert_eq!(reply.status, 403);
        let challenge = format!(r#"Bearer realm="flexslot", error="insufficient_scope", scope="{scope}""#);
        assert_eq!(reply.header(header::WWW_AUTHENTICATE), challenge);
    }
}

#[tokio::test]
async fn a_list_without_its_slash_redirects_on_the_own_origin() {
    let test = Test::start().await;
    let reply = test.get("/decks?page=2", &test.grant().access).await;
    let wanted = format!("{}/api/public/v1/decks/?page=2", test.running.origin());
    assert_eq!((reply.status.as_u16(), reply.location()), (301, wanted));
    assert_eq!(test.get("/me/partner/", &test.sandbox.add_pat("george")).await.status, 404);
}

#[tokio::test]
async fn lists_are_paged_with_absolute_links() {
    let test = Test::start().await;
    let token = test.grant().access;
    let reply = test.get("/decks/?page=2&page_size=1", &token).await;
    let (next, previous) = (reply.json()["next"].clone(), reply.json()["previous"].clone());
    let list = format!("{}/api/public/v1/decks/", test.running.origin());
    assert_eq!(next, format!("{list}?page=3&page_size=1"));
    assert_eq!(previous, format!("{list}?page=1&page_size=1"));
    let link = format!(r#"<{list}?page=3&page_size=1>; rel="next", <{list}?page=1&page_size=1>; rel="prev""#);
    assert_eq!(reply.header(header::LINK), link);
    assert_eq!(reply.json()["results"][0]["name"], "Deck 2 of george");
    assert_eq!(test.get("/decks/?page=4&page_size=1", &token).await.status, 404);
}

#[tokio::test]
async fn unknown_and_foreign_decks_are_the_same_404() {
    let test = Test::start().await;
    let foreign = test.sandbox.add_deck("ada", "Hers");
    let token = test.grant().access;
    for id in [foreign.as_str(), "unknown"] {
        for method in [Method::GET, Method::DELETE] {
            let reply = test.call(method, &format!("/decks/{id}"), &token, None).await;
            assert_eq!((reply.status.as_u16(), &reply.json()["code"]), (404, &"FLEXSLOT_NOT_FOUND".into()));
        }
        let patch = test.call(Method::PATCH, &format!("/decks/{id}"), &token, Some(json!({}))).await;
        assert_eq!(patch.status, 404);
    }
}

#[tokio::test]
async fn a_deck_lives_and_its_history_grows() {
    let test = Test::start().await;
    let token = test.grant().access;
    let new = test.call(Method::POST, "/decks/", &token, Some(json!({"name": "One", "format": "modern"}))).await;
    assert_eq!(new.status, 201);
    let path = format!("/decks/{}", new.json()["id"].as_str().unwrap());
    assert_eq!(new.location(), format!("{}/api/public/v1{path}", test.running.origin()));
    let patched = test.call(Method::PATCH, &path, &token, Some(json!({"name": "Two"}))).await.json();
    assert_eq!((&patched["name"], &patched["format"]), (&"Two".into(), &"modern".into()));
    let put = test.call(Method::PUT, &path, &token, Some(json!({"name": "Three"}))).await.json();
    assert_eq!((&put["name"], put.get("format")), (&"Three".into(), None));
    let back = test.call(Method::POST, &format!("{path}/rollback"), &token, Some(json!({"version_number": 1}))).await;
    assert_eq!(back.json()["name"], "One");
    let versions = test.get(&format!("{path}/versions"), &token).await.json();
    assert_eq!((versions.as_array().unwrap().len(), &versions[3]["version_number"]), (4, &4.into()));
    let out = test.call(Method::POST, &format!("{path}/rollback"), &token, Some(json!({"version_number": 9}))).await;
    assert_eq!(out.status, 404);
    assert_eq!(test.call(Method::DELETE, &path, &token, None).await.status, 204);
    assert_eq!(test.get(&path, &token).await.status, 404);
}

#[tokio::test]
async fn a_provenance_triple_is_unique_per_user() {
    let test = Test::start().await;
    let deck = json!({"name": "A", "source_provider": "p", "source_external_id": "1", "source_external_version": "1"});
    let (george, ada) = (test.sandbox.add_pat("george"), test.sandbox.add_pat("ada"));
    let create = async |token, deck: &Value| test.call(Method::POST, "/decks/", token, Some(deck.clone())).await;
    let first = create(&george, &deck).await;
    assert_eq!(first.status, 201);
    assert_eq!(create(&george, &deck).await.status, 409);
    assert_eq!(create(&ada, &deck).await.status, 201);
    assert_eq!(create(&george, &json!({"name": "A", "source_provider": "p"})).await.status, 400);
    test.call(Method::DELETE, &format!("/decks/{}", first.json()["id"].as_str().unwrap()), &george, None).await;
    assert_eq!(create(&george, &deck).await.status, 201);
}

#[tokio::test]
async fn a_guide_is_created_replaced_and_deleted() {
    let test = Test::start().await;
    let token = test.grant().access;
    let path = format!("/decks/{}/guide", test.sandbox.add_deck("george", "Mine"));
    assert_eq!(test.get(&path, &token).await.text(), "null");
    let guide = json!({"title": "T", "content": "C"});
    assert_eq!(test.call(Method::PUT, &path, &token, Some(guide.clone())).await.status, 201);
    assert_eq!(test.call(Method::PUT, &path, &token, Some(guide)).await.status, 200);
    assert_eq!(test.get(&path, &token).await.json()["is_truncated"], false);
    assert_eq!(test.call(Method::DELETE, &path, &token, None).await.status, 204);
    assert_eq!(test.call(Method::DELETE, &path, &token, None).await.status, 404);
}

#[tokio::test]
async fn a_sideboard_lives() {
    let test = Test::start().await;
    let token = test.grant().access;
    let new = test.call(Method::POST, "/sideboards/", &token, Some(json!({"name": "S"}))).await;
    let path = format!("/sideboards/{}", new.json()["id"].as_str().unwrap());
    let put = test.call(Method::PUT, &path, &token, Some(json!({"name": "T"}))).await;
    assert_eq!((new.status.as_u16(), &put.json()["name"]), (201, &"T".into()));
    assert_eq!(test.get("/sideboards/", &token).await.json()["count"], 1);
    assert_eq!(test.get(&path, &test.sandbox.add_pat("ada")).await.status, 404);
    assert_eq!(test.call(Method::DELETE, &path, &token, None).await.status, 204);
}

#[tokio::test]
async fn strict_resolution_refuses_unknown_cards() {
    let test = Test::start().await;
    let token = test.grant().access;
    let body = json!({"identifiers": ["Island", "Nothing"]});
    let lax = test.call(Method::POST, "/cards/resolve", &token, Some(body.clone())).await;
    assert_eq!((lax.status.as_u16(), &lax.json()["unresolved"]), (200, &json!(["Nothing"])));
    let strict = test.call(Method::POST, "/cards/resolve?strict=true", &token, Some(body)).await;
    let in_body = json!({"identifiers": ["Nothing"], "strict": true});
    let also = test.call(Method::POST, "/cards/resolve", &token, Some(in_body)).await;
    assert_eq!((strict.status.as_u16(), also.status.as_u16()), (422, 422));
    assert_eq!(test.get("/cards/autocomplete?q=isl", &token).await.json()[0]["name"], "Island");
    assert_eq!(test.get("/cards/Fire%20%2F%2F%20Ice", &token).await.json()["name"], "Fire // Ice");
}

#[tokio::test]
async fn an_export_answers_ranges_and_conditions() {
    let test = Test::start().await;
    let token = test.grant().access;
    let path = format!("/exports/{}.pdf?size=200000", test.sandbox.add_deck("george", "Mine"));
    let whole = test.get(&path, &token).await;
    assert_eq!((whole.body.len(), whole.header(header::CONTENT_LENGTH)), (200_000, "200000"));
    let with = async |name, value: &str| {
        let mut request = api(Method::GET, &path, &token, None);
        request.headers_mut().insert(name, value.parse().unwrap());
        test.send(request).await
    };
    // Across the border of two blocks of the pattern.
    let part = with(header::RANGE, "bytes=65530-131075").await;
    assert_eq!((part.status.as_u16(), part.header(header::CONTENT_RANGE)), (206, "bytes 65530-131075/200000"));
    assert_eq!(part.body, whole.body.slice(65_530..131_076));
    assert_eq!(with(header::RANGE, "bytes=200000-").await.header(header::CONTENT_RANGE), "bytes */200000");
    let same = with(header::IF_NONE_MATCH, whole.header(header::ETAG)).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
}

#[tokio::test]
async fn partner_endpoints_refuse_oauth() {
    let test = Test::start().await;
    let token = test.grant().access;
    for path in ["/me/partner", "/me/access-tokens/", "/me/partner/oauth2-clients"] {
        assert_eq!(test.get(path, &token).await.status, 403);
    }
}

#[tokio::test]
async fn wrong_methods_and_bodies_are_told_apart() {
    let test = Test::start().await;
    let token = test.grant().access;
    let wrong = test.call(Method::PUT, "/decks/", &token, None).await;
    assert_eq!((wrong.status.as_u16(), wrong.header(header::ALLOW)), (405, "GET, POST"));
    assert_eq!(test.call(Method::POST, "/decks/", &token, Some(json!([]))).await.status, 400);
    assert_eq!(
        test.call(Method::POST, "/decks/", &token, Some(json!({}))).await.json()["fields"]["name"],
        json!(["This field is required."])
    );
    let mut text = api(Method::POST, "/decks/", &token, Some(json!({"name": "x"})));
    text.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(test.send(text).await.status, 415);
}
