//! What is refused, and changes nothing; and what people are told of it.

use flexslot_proxy::{
    sandbox::{Canned, Effect, Endpoint, Fault},
    store::Progress,
};
use http::{Method, StatusCode};

use super::{
    connect, home, is_connected, link, link_for, register, session_of, to_callback, to_consent, world, world_with,
};
use crate::support::{Browser, ClosedPort, World};

/// Where an answer to acme's consent is taken instead, after a change to its address.
async fn is_refused(change: impl Fn(&str) -> String, words: &str) {
    let world = world().await;
    let mut browser = Browser::new();
    let back = to_callback(&mut browser, &link(&world).await).await;
    let page = browser.open(&change(&back)).await;
    page.says(400, &[words]);
    assert!(!is_connected(&world, "acme").await);
    assert_eq!(world.sandbox.counters().token_requests("authorization_code"), 0, "no code is redeemed");
    world.finish().await;
}

#[tokio::test]
async fn an_answer_without_iss_is_refused() {
    is_refused(|back| back.split_once("&iss=").unwrap().0.to_owned(), "This answer is not from Flexslot").await;
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    is_refused(|back| format!("{back}%2F"), "This answer is not from Flexslot").await;
}

#[tokio::test]
async fn an_answer_with_another_state_is_refused() {
    is_refused(|back| back.replace("state=", "state=x"), "This answer does not belong to this browser").await;
}

#[tokio::test]
async fn an_answer_with_two_states_is_refused() {
    is_refused(|back| format!("{back}&state=x"), "Something is missing here").await;
}

#[tokio::test]
async fn an_answer_without_state_is_refused() {
    is_refused(|back| back.replace("state=", "stat="), "Something is missing here").await;
}

#[tokio::test]
async fn another_browser_is_refused_and_the_first_one_is_not() {
    let world = world().await;
    let mut browser = Browser::new();
    let back = to_callback(&mut browser, &link(&world).await).await;
    Browser::new().open(&back).await.says(400, &["This answer does not belong to this browser"]);
    assert!(!is_connected(&world, "acme").await);
    browser.open(&back).await.says(200, &["Connected to Flexslot as @george"]);
    world.finish().await;
}

#[tokio::test]
async fn an_answer_counts_once() {
    let world = world().await;
    let mut browser = Browser::new();
    let back = to_callback(&mut browser, &link(&world).await).await;
    browser.open(&back).await.says(200, &["Connected"]);
    for replaying in [&mut browser, &mut Browser::new()] {
        replaying.open(&back).await.says(400, &["it counts once", "all is well"]);
    }
    assert_eq!(world.sandbox.counters().token_requests("authorization_code"), 1);
    assert_eq!(world.sandbox.counters().code_replays, 0);
    world.finish().await;
}

#[tokio::test]
async fn the_answer_for_one_tenant_does_not_connect_another() {
    let world = world().await;
    let mut browser = Browser::new();
    let acme = to_callback(&mut browser, &link(&world).await).await;
    let beta = to_callback(&mut browser, &link_for(&world, "beta", None, None).await).await;
    // The state of one, and the code of the other: PKCE keeps them apart.
    let state = |back: &str| back.split_once("state=").unwrap().1.split_once('&').unwrap().0.to_owned();
    let swapped = acme.replace(&state(&acme), &state(&beta));
    browser.open(&swapped).await.says(400, &["Flexslot no longer takes this answer", "Try again"]);
    assert!(!is_connected(&world, "beta").await && !is_connected(&world, "acme").await);
    world.finish().await;
}

#[tokio::test]
async fn a_link_that_nobody_made_or_that_was_used_says_so() {
    let world = world().await;
    let mut browser = Browser::new();
    for id in ["made-up", "a.b", "<b>"] {
        let page = browser.open(&format!("{}/connect/{id}", home(&world))).await;
        page.says(404, &["This link has expired", "ask for a new one"]);
        assert!(!page.text().contains("<b>"));
    }
    let used = link(&world).await;
    connect(&mut browser, &used).await.says(200, &["Connected"]);
    browser.open(&used).await.says(410, &["This link has been used", "stands"]);
    world.finish().await;
}

#[tokio::test]
async fn flexslots_own_errors_end_on_pages_of_our_words() {
    let world = world().await;
    let link = link(&world).await;
    for (code, status, words) in [
        ("access_denied", 403, &["You did not allow it", "Try again"][..]),
        ("invalid_request", 503, &["not set up rightly", "invalid_request"]),
        ("unauthorized_client", 503, &["not set up rightly", "unauthorized_client", "authorization_code"]),
        ("unsupported_response_type", 503, &["not set up rightly", "unsupported_response_type"]),
        ("invalid_scope", 503, &["not set up rightly", "invalid_scope", "oauth.scopes"]),
        ("server_error", 502, &["Flexslot could not finish", "Try again"]),
        ("temporarily_unavailable", 503, &["Flexslot is busy", "Try again"]),
        ("canary_<b>", 502, &["Flexslot could not finish", "unknown_error"]),
    ] {
        world.sandbox.fault(Fault::new(Endpoint::Authorize, Effect::OAuthError(code.into())).times(1));
        let mut browser = Browser::new();
        let page = browser.open(&link).await;
        let end = browser.submit(&page, "", &[]).await;
        end.says(status, words);
        assert!(!end.text().contains("canary") && !end.text().contains("A fault set for this test"), "{}", end.text());
        assert!(!is_connected(&world, "acme").await);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_flexslot_that_is_out_of_reach_says_so() {
    let nobody = ClosedPort::new();
    let world = world_with(&format!("oauth.token_url = \"http://{}/token\"", nobody.address)).await;
    let page = connect(&mut Browser::new(), &link(&world).await).await;
    page.says(503, &["Flexslot cannot be reached", "try again in a few minutes", "could not connect", "Try again"]);
    assert!(!is_connected(&world, "acme").await);
    world.finish().await;
}

#[tokio::test]
async fn a_flexslot_that_is_busy_or_broken_says_so() {
    let world = world().await;
    let link = link(&world).await;
    let canned =
        |status: u16, body: &str| Effect::Answer(Canned::new(StatusCode::from_u16(status).unwrap()).body(body));
    for (effect, status, words) in [
        (canned(429, "{}"), 503, "Flexslot is busy"),
        (canned(500, "canary"), 502, "Flexslot did not answer"),
        (Effect::Cut, 502, "Flexslot did not answer"),
        (canned(200, "{\"canary\":1}"), 502, "Flexslot did not answer"),
        (canned(404, "canary"), 503, "check upstream.url and oauth.token_url"),
        (Effect::OAuthError("invalid_client".into()), 503, "check this OAuth client's id and secret, in [oauth] or"),
        (Effect::OAuthError("invalid_grant".into()), 400, "Flexslot no longer takes this answer"),
    ] {
        world.sandbox.fault(Fault::new(Endpoint::Token, effect).times(1));
        let page = connect(&mut Browser::new(), &link).await;
        page.says(status, &[words]);
        assert!(!page.text().contains("canary"), "{}", page.text());
        assert!(!is_connected(&world, "acme").await);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_redirect_uri_that_is_not_registered_is_named_before() {
    let world = world().await;
    register(&world, "https://elsewhere.example/callback");
    let mut browser = Browser::new();
    let page = browser.open(&link(&world).await).await;
    page.says(200, &["has to register this redirect URI", &super::callback(&world)]);
    browser.submit(&page, "", &[]).await.says(400, &["Cannot continue"]);
    world.finish().await;
}

#[tokio::test]
async fn without_an_oauth_client_the_link_says_that_only_pats_work() {
    let world = World::plan().without("oauth").start().await;
    let page = Browser::new().open(&link(&world).await).await;
    page.says(503, &["only personal access tokens work", "oauth.client_id"]);
    world.finish().await;
}

#[tokio::test]
async fn a_store_out_of_reach_costs_no_consent() {
    let world = World::plan().frail().start().await;
    register(&world, &super::callback(&world));
    world.sandbox.sign_in("george");
    let (mut browser, link) = (Browser::new(), link(&world).await);
    let page = browser.open(&link).await;
    world.frailty.out_of_reach();
    browser.open(&link).await.says(503, &["Connecting does not work just now"]);
    browser.submit(&page, "", &[]).await.says(503, &["Connecting does not work just now"]);
    world.frailty.back();
    let begun = browser.submit_only(&page, "", &[]).await;
    let answered = browser.look(begun.leads_to().unwrap().as_str()).await;
    let back = answered.leads_to().unwrap();
    world.frailty.out_of_reach();
    browser.open(back.as_str()).await.says(503, &["Connecting does not work just now"]);
    world.frailty.back();
    browser.open(back.as_str()).await.says(200, &["Connected to Flexslot as @george"]);
    world.finish().await;
}

#[tokio::test]
async fn the_last_word_is_the_browsers_that_consented() {
    let world = world().await;
    let mut browser = Browser::new();
    connect(&mut browser, &link(&world).await).await.says(200, &["@george"]);
    world.sandbox.sign_in("fred");
    let link = link(&world).await;
    let asked = connect(&mut browser, &link).await;
    asked.says(200, &["@fred"]);
    let mut other = Browser::new();
    other.submit(&asked, "/confirm", &[]).await.says(400, &["does not belong to this browser"]);
    other.submit(&asked, "/cancel", &[]).await.says(400, &["does not belong to this browser"]);
    other.open(&link).await.says(409, &["This link is in use"]);
    browser.open(&link).await.says(200, &["Another Flexslot account", "@fred"]);
    let grant = world.stored("acme").await;
    assert!(grant.grant.grant().is_some());
    browser.submit(&asked, "/confirm", &[]).await.says(200, &["Connected to Flexslot as @fred"]);
    world.finish().await;
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let world = world().await;
    let link = link(&world).await;
    let path = link.strip_prefix(&home(&world)).unwrap();
    let post = |path: &str, origin: &str| world.admin(path).method(Method::POST).header("origin", origin);
    for path in [path.to_owned(), format!("{path}/confirm"), format!("{path}/cancel")] {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
            post(&path, origin).send().await.is_problem(403, "origin_denied");
        }
    }
    let session = world.store.session(&session_of(&link)).await.unwrap().unwrap();
    assert_eq!(session.progress, Progress::Open);
    world.finish().await;
}

#[tokio::test]
async fn pages_are_kept_by_nobody_framed_by_nobody_and_run_nothing() {
    let world = world().await;
    let mut browser = Browser::new();
    let link = link(&world).await;
    let offer = browser.open(&link).await;
    let begun = browser.submit_only(&offer, "", &[]).await;
    let consent = to_consent(&mut browser, &link).await;
    let done = browser.submit(&consent, "/authorize", &[("decision", "allow")]).await;
    let refused = browser.open(&link).await;
    for page in [&offer, &done, &refused] {
        let policy = page.reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("; base-uri 'none'; frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.reply.header("referrer-policy"), Some("same-origin"));
        assert!(
            !page.text().contains("<script") && !page.text().contains(" style=") && !page.text().contains("http-equiv")
        );
    }
    assert_eq!(begun.reply.header("referrer-policy"), Some("no-referrer"));
    for page in [&offer, &begun, &done, &refused] {
        assert_eq!(page.reply.header("cache-control"), Some("no-store"));
        assert_eq!(page.reply.header("x-content-type-options"), Some("nosniff"));
    }
    world.finish().await;
}
