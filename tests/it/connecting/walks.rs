//! Ways that lead to a connection, or to the app that asked for one.

use flexslot_proxy::{
    model::Secret,
    sandbox::{Client, Consent, End, Settings},
    store::Word,
};
use http::Method;

use super::{USER, callback, connect, home, is_connected, link, link_for, session_of, to_consent, world, world_with};
use crate::support::{Browser, CLIENT, World, until};

#[tokio::test]
async fn a_user_walks_from_a_link_to_a_connection() {
    let world = world().await;
    let (mut browser, link) = (Browser::new(), link(&world).await);
    let page = browser.open(&link).await;
    page.says(200, &["Connect Flexslot", "acme", "flx_client_test", "Read your decks", "Look up cards"]);
    assert!(browser.cookies("127.0.0.1").is_empty(), "nothing is kept before the button is pressed");
    let consent = browser.submit(&page, "", &[]).await;
    let cookies = browser.cookies("127.0.0.1");
    let port = world.admin_address().port();
    assert!(matches!(cookies[..], [name] if name.starts_with(&format!("flexslot-connect-{port}-"))), "{cookies:?}");
    let done = browser.submit(&consent, "/authorize", &[("decision", "allow")]).await;
    done.says(200, &["Connected to Flexslot as @george", "acme", "Read your decks", "Manage on Flexslot"]);
    assert!(done.url.as_str().starts_with(&callback(&world)), "{}", done.url);
    assert!(browser.cookies("127.0.0.1").is_empty(), "nothing is kept when it is over");
    let reply = world.get("/decks/").tenant("acme").send().await;
    assert_eq!(reply.is(200).header("flexslot-proxy-credential"), Some("oauth"));
    world.finish().await;
}

#[tokio::test]
async fn opening_a_link_in_any_way_consumes_nothing() {
    let world = world().await;
    let link = link(&world).await;
    let path = link.strip_prefix(&home(&world)).unwrap().to_owned();
    for method in [Method::GET, Method::HEAD, Method::GET] {
        let reply = world.admin(&path).method(method).header("sec-purpose", "prefetch;prerender").send().await;
        assert_eq!(reply.is(200).header("set-cookie"), None);
    }
    connect(&mut Browser::new(), &link).await.says(200, &["Connected to Flexslot as @george"]);
    world.finish().await;
}

#[tokio::test]
async fn nothing_but_the_browsers_own_visit_uses_up_a_callback() {
    let world = world().await;
    let (mut browser, link) = (Browser::new(), link(&world).await);
    let back = super::to_callback(&mut browser, &link).await;
    let path = back.strip_prefix(&home(&world)).unwrap();
    let cookie = format!("{}=x", browser.cookies("127.0.0.1")[0]);
    world.admin(path).method(Method::HEAD).header("cookie", &cookie).send().await.is(204);
    world.admin(path).header("sec-purpose", "prefetch").header("cookie", &cookie).send().await.is(204);
    world.admin(path).method(Method::POST).header("cookie", &cookie).send().await.is(405);
    browser.open(&back).await.says(200, &["Connected to Flexslot as @george"]);
    world.finish().await;
}

#[tokio::test]
async fn a_confidential_client_proves_itself_by_basic() {
    let settings = Settings { consent: Consent::Page, ..Settings::default() };
    let plan = World::on(settings).config("oauth.client_secret = { env = \"SECRET\" }");
    let world = plan.variable("SECRET", "flx_cs_1").start().await;
    let client = Client::confidential(CLIENT, Secret::new("flx_cs_1"));
    world.sandbox.add_client(client.redirect_uri(callback(&world)));
    world.sandbox.sign_in(USER);
    connect(&mut Browser::new(), &link(&world).await).await.says(200, &["Connected to Flexslot as @george"]);
    world.finish().await;
}

#[tokio::test]
async fn two_tabs_do_not_take_each_others_flow() {
    let world = world().await;
    let mut browser = Browser::new();
    let (acme, beta) = (link(&world).await, link_for(&world, "beta", None, None).await);
    let (first, second) = (to_consent(&mut browser, &acme).await, to_consent(&mut browser, &beta).await);
    browser.submit(&first, "/authorize", &[("decision", "allow")]).await.says(200, &["acme"]);
    assert!(!is_connected(&world, "beta").await);
    browser.submit(&second, "/authorize", &[("decision", "allow")]).await.says(200, &["beta"]);
    assert!(is_connected(&world, "acme").await && is_connected(&world, "beta").await);
    world.finish().await;
}

#[tokio::test]
async fn asking_for_more_keeps_the_old_grant_until_the_new_one_is_there() {
    let world = world().await;
    let mut browser = Browser::new();
    connect(&mut browser, &link(&world).await).await.says(200, &["Connected"]);
    let more = link_for(&world, "acme", Some("guides:write"), None).await;
    let page = browser.open(&more).await;
    let all = ["Allow more on Flexslot", "@george", "Create, change and delete your sideboard guides", "Look up cards"];
    page.says(200, &all);
    let consent = browser.submit(&page, "", &[]).await;
    consent.says(200, &["guides:write", "decks:read", "cards:read"]);
    world.get("/decks/").tenant("acme").send().await.is(200);
    let denied = browser.submit(&consent, "/authorize", &[("decision", "deny")]).await;
    denied.says(403, &["You did not allow it", "nothing has changed"]);
    world.get("/decks/").tenant("acme").send().await.is(200);
    // A denial leaves the link as it was.
    let again = denied.link("Try again");
    connect(&mut browser, &again).await.says(200, &["Connected to Flexslot as @george"]);
    assert_eq!(world.stored("acme").await.grant.grant().unwrap().tokens.scopes.as_str().unwrap().split(' ').count(), 3);
    world.finish().await;
}

#[tokio::test]
async fn another_account_is_connected_only_when_that_is_meant() {
    let world = world().await;
    let mut browser = Browser::new();
    connect(&mut browser, &link(&world).await).await.says(200, &["@george"]);
    world.sandbox.add_deck("fred", "Deck");
    world.sandbox.sign_in("fred");
    let asked = connect(&mut browser, &link(&world).await).await;
    asked.says(200, &["Another Flexslot account", "@george", "@fred", "Leave it as it was"]);
    let kept = browser.submit(&asked, "/cancel", &[]).await;
    kept.says(200, &["Nothing has changed"]);
    world.get("/decks/").tenant("acme").send().await.is(200);
    assert_eq!(world.seen().last().unwrap().credential.user.as_deref(), Some("george"));

    let asked = connect(&mut browser, &link(&world).await).await;
    let done = browser.submit(&asked, "/confirm", &[]).await;
    done.says(200, &["Connected to Flexslot as @fred"]);
    world.get("/decks/").tenant("acme").send().await.is(200);
    assert_eq!(world.seen().last().unwrap().credential.user.as_deref(), Some("fred"));
    until("the grants of nobody to be revoked", async || {
        let live = world.sandbox.grants().into_iter().filter(|grant| grant.ended.is_none()).count();
        live == 1 && world.sandbox.grants().iter().any(|grant| grant.ended == Some(End::Revoked))
    })
    .await;
    world.finish().await;
}

#[tokio::test]
async fn the_app_that_opened_the_link_has_the_last_word() {
    let world = world_with("admin.return_origins = [\"https://app.example.com\"]").await;
    let return_to = "https://app.example.com/settings?tab=flexslot";
    let link = link_for(&world, "acme", None, Some(return_to)).await;
    let back = connect(&mut Browser::new(), &link).await.url;
    let session = session_of(&link);
    let sent = format!("{return_to}&flexslot_session={}&flexslot_result=ok&flexslot_code=", session.expose());
    let code = back.as_str().strip_prefix(&sent).unwrap_or_else(|| panic!("{back}"));
    assert!(!is_connected(&world, "acme").await);
    world.store.last_word(&session, &mut Word::completed(code)).await.unwrap();
    assert!(is_connected(&world, "acme").await);

    let link = link_for(&world, "acme", None, Some(return_to)).await;
    let mut browser = Browser::new();
    let consent = to_consent(&mut browser, &link).await;
    let back = browser.submit(&consent, "/authorize", &[("decision", "deny")]).await.url;
    assert!(back.as_str().ends_with("&flexslot_result=denied"), "{back}");
    world.finish().await;
}
