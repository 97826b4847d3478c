//! The connections page: who gets to see it, what it shows, and whether everybody can use it.

use std::{env, fs, path::PathBuf, time::Duration};

use flexslot_proxy::{
    model::{Clock, ScopeSet, SystemClock, TokenSet, TokenType},
    store::{
        Existing, NewGrant, NewTenant,
        backend::{Key, Kind},
    },
};
use http::Method;

use super::stage::Stage;
use crate::{
    process::world::{CLIENT, Life, tenant},
    support::{
        Call, Reach,
        chromium::{Chromium, Scheme, Script, View},
    },
};

const DAY: Duration = Duration::from_secs(86_400);

/// A grant as it is found in a store.
#[derive(Clone, Copy)]
struct Grant {
    tenant: &'static str,
    user: &'static str,
    client: &'static str,
    answered: Duration,
    used: Duration,
}

// --- getting there

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_signs_in_one_browser_once() {
    let stage = Stage::new(Script::Off).await;
    let browser = &stage.browser;
    let link = stage.sign_in_link().await;
    browser.go(&link).await;
    browser.says("No connections yet").await;
    browser.go(&link).await;
    browser.says("No connections yet").await;
    browser.press("Sign out").await;
    browser.says("flexslot-proxy page").await;
    browser.go(&link).await;
    browser.says("This link cannot be used any more").await;
    stage.go_to_page().await;
    browser.says("flexslot-proxy page").await;
    browser.is_quiet().await;
}

// --- what it shows

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_filters_and_pages_lead_to_every_card() {
    let stage = Stage::new(Script::Off).await;
    let browser = &stage.browser;
    let names: Vec<String> = (0..60).map(|at| format!("customer-{at:02}")).collect();
    stage.world.connect_all(&names, Life::Fresh).await;
    stage.world.connect("other", Life::Fresh).await;
    stage.world.give_pat("third").await;
    stage.sign_in().await;
    browser.says("customer-49").await;
    assert!(!browser.text().await.contains("customer-50"));
    browser.press("Next page").await;
    browser.says("customer-50").await;
    browser.press("First page").await;
    browser.says("customer-00").await;

    browser.fill("Tenants whose names begin with", "customer-5").await;
    browser.press("Search").await;
    browser.says("customer-59").await;
    assert!(!browser.text().await.contains("customer-49"));
    browser.press("Not connected").await;
    browser.says("No connection is like that.").await;
    browser.press("Show all").await;
    browser.press("Not connected").await;
    browser.says("third Works with a personal access token").await;
    assert_eq!(browser.text_of("//nav//*[@aria-current]").await, "Not connected");
    browser.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_cards_take_one_request_of_less_than_50_kb() {
    let stage = Stage::new(Script::On).await;
    let names: Vec<String> = (0..60).map(|at| format!("customer-{at:02}")).collect();
    stage.world.connect_all(&names, Life::Fresh).await;
    stage.sign_in().await;
    let seen = stage.browser.run(
        "const [page] = performance.getEntriesByType('navigation');
         const others = performance.getEntriesByType('resource');
         return [page.decodedBodySize, others.length, document.querySelectorAll('.card').length];",
    );
    let seen: [u64; 3] = serde_json::from_value(seen.await).unwrap();
    let [size, others, cards] = seen;
    println!("fifty cards: {size} bytes in one request");
    assert!(size < 50_000, "{size}");
    assert_eq!((others, cards), (0, 50));
}

/// Whatever ran in a page could read it there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_where_a_script_could_read_it() {
    let stage = Stage::new(Script::On).await;
    let kept = async || {
        let read = "return [localStorage.length, sessionStorage.length, document.cookie, document.scripts.length];";
        stage.browser.run(read).await
    };
    stage.connect("acme", "george").await;
    assert_eq!(kept().await, serde_json::json!([0, 0, "", 0]), "where a consent ends");
    stage.sign_in().await;
    stage.browser.says("acme Connected to Flexslot as @george").await;
    assert_eq!(kept().await, serde_json::json!([0, 0, "", 0]), "on the connections page");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_is_enough() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    let stage = Stage::new(Script::Off).await;
    let browser = &stage.browser;
    stage.world.connect("acme", Life::Fresh).await;
    stage.sign_in().await;
    for _ in 0..30 {
        if browser.focused().await == "d0" {
            break;
        }
        browser.keys(TAB).await;
    }
    assert_eq!(browser.focused().await, "d0", "Disconnect can be reached");
    browser.keys(ENTER).await;
    browser.says("Disconnect from Flexslot?").await;
    for _ in 0..2 {
        browser.keys(TAB).await;
    }
    browser.keys(ENTER).await;
    browser.says("acme Connected to Flexslot").await;
    browser.is_quiet().await;
}

// --- every page, for everybody

/// Where pictures go that are to be kept; `scripts/screenshots` says where that is.
const PICTURES: &str = "FLEXSLOT_PROXY_PICTURES";

/// Fails where the page in front keeps somebody out, and takes its picture, or those of its parts, for the documents.
async fn stop(browser: &Chromium, name: &str, parts: &[(&str, &str)]) {
    browser.is_accessible(name).await;
    let Some(dir) = env::var_os(PICTURES).map(PathBuf::from) else { return };
    for (scheme, suffix) in [(Scheme::Light, "light"), (Scheme::Dark, "dark")] {
        browser.look(View { scheme, width: 960 }).await;
        for (part, path) in parts {
            let picture = browser.picture(path).await;
            fs::write(dir.join(format!("{part}-{suffix}.png")), picture).unwrap();
        }
    }
}

/// Puts a grant into the store as if it had been there for a while.
async fn put(stage: &Stage, grant: Grant) {
    let (world, now) = (&stage.world, SystemClock.now());
    world.sandbox.add_user(grant.user);
    let pair = world.sandbox.issue_grant(grant.user, CLIENT, "decks:read cards:read").unwrap();
    let tokens = TokenSet {
        access: pair.access,
        refresh: pair.refresh,
        token_type: TokenType::Bearer,
        scopes: ScopeSet::new(&pair.scope),
        expires_at: now.plus(DAY),
        answered_at: Some(now.minus(grant.answered)),
        key: None,
    };
    let new = NewGrant { client_id: grant.client.into(), origin: world.origin().parse().unwrap(), tokens };
    let new = NewTenant { tenant: tenant(grant.tenant), pat: None, grant: Some(new) };
    let _ = world.store().await.import(vec![new], Existing::Replace).await.unwrap();
    used(stage, grant.tenant, grant.used).await;
}

/// Has the store believe that the tenant's grant was last used so long ago.
async fn used(stage: &Stage, tenant: &str, ago: Duration) {
    let key = Key { kind: Kind::Grant, name: tenant.to_owned() };
    stage.world.backend().await.touch(&[(key, SystemClock.now().minus(ago))]).await.unwrap();
}

/// Another sidecar learns that the tenant's grant has ended, and dies before it has told anybody when it was used.
async fn found_out_by_another(stage: &Stage, tenant: &str) {
    let mut other = stage.world.start().await;
    let call = Call::new(Reach::Tcp(other.proxy), Method::GET, "/api/public/v1/decks/");
    call.tenant(tenant).send().await.is_problem(401, "reconnect_required");
    other.process.kill();
}

/// Whole panels and cards.
const PANEL: &str = "//main/*[contains(@class, 'panel')]";

fn card(tenant: &str) -> String {
    format!("//li[h2[normalize-space()='{tenant}']]")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_use_the_page_in_every_state() {
    let stage = Stage::new(Script::On).await;
    let browser = &stage.browser;
    stage.go_to_page().await;
    stop(browser, "not signed in", &[("sign-in", PANEL)]).await;
    stage.sign_in().await;
    stop(browser, "no tenants", &[("page-empty", "//body")]).await;

    stage.connect("casual-crew", "george").await;
    used(&stage, "casual-crew", Duration::from_secs(120)).await;
    let some = |tenant, user, days| Grant { tenant, user, client: CLIENT, answered: DAY, used: days * DAY };
    put(&stage, Grant { answered: 24 * DAY + DAY / 2, ..some("league-archive", "mira", 24) }).await;
    put(&stage, some("old-tournament", "tom", 47)).await;
    put(&stage, some("practice-group", "ada", 5)).await;
    stage.world.sandbox.add_user("zoe");
    stage.connect("deck-builder", "zoe").await;
    stage.call_for_more("deck-builder").await;
    put(&stage, Grant { client: "flx_client_retired", ..some("retired-app", "kim", 3) }).await;
    stage.world.give_pat("nightly-export").await;
    stage.revoke_at_flexslot("tom").await;
    found_out_by_another(&stage, "old-tournament").await;
    stage.go_to_page().await;
    browser.press_on("practice-group", "Disconnect").await;
    stop(browser, "the question", &[("disconnect", PANEL)]).await;
    browser.press("Disconnect").await;
    stop(browser, "what came of it", &[("disconnected-note", "//*[@id='result']")]).await;

    stage.go_to_page().await;
    for words in [
        "casual-crew Connected to Flexslot as @george",
        "deck-builder Connected to Flexslot as @zoe",
        "Calls were refused: it needs permission to create, change and delete your decks.",
        "Allow more on Flexslot",
        "league-archive Connected to Flexslot",
        "It ends in 5 days unless it is used before.",
        "old-tournament Connection expired. Please reconnect.",
        "Syncing has stopped until you reconnect. Last used 47 days ago",
        "retired-app Sorry, this connection needs attention.",
        "nightly-export Works with a personal access token",
        "practice-group Connect your Flexslot account",
    ] {
        browser.says(words).await;
    }
    let cards = [
        ("connected", "casual-crew"),
        ("needs-permission", "deck-builder"),
        ("expiring", "league-archive"),
        ("reconnect-required", "old-tournament"),
        ("error", "retired-app"),
        ("personal-access-token", "nightly-export"),
        ("not-connected", "practice-group"),
    ];
    let mut parts: Vec<_> = cards.map(|(name, tenant)| (format!("card-{name}"), card(tenant))).into();
    parts.push(("page".to_owned(), "//body".to_owned()));
    let parts: Vec<_> = parts.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
    stop(browser, "every state", &parts).await;

    browser.fill("Tenants whose names begin with", "nobody").await;
    browser.press("Search").await;
    stop(browser, "nothing found", &[]).await;
    browser.go(&stage.at("/disconnect?tenant=%20")).await;
    browser.says("Sorry, that did not work").await;
    stop(browser, "trouble", &[]).await;
    browser.is_quiet().await;
}

/// 128 characters without a place to break, the longest there can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_names_fit_everywhere() {
    let stage = Stage::new(Script::On).await;
    let (name, user) = ("w".repeat(128), "m".repeat(120));
    stage.world.sandbox.add_user(&user);
    stage.connect(&name, &user).await;
    stop(&stage.browser, "connected", &[]).await;
    stage.sign_in().await;
    stop(&stage.browser, "the card", &[]).await;
    stage.browser.press_on(&name, "Disconnect").await;
    stop(&stage.browser, "the question", &[]).await;
    stage.browser.press("Disconnect").await;
    stop(&stage.browser, "what came of it", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_use_the_pages_of_a_consent() {
    let stage = Stage::new(Script::On).await;
    let browser = &stage.browser;
    browser.go(&stage.at("/connect/nobodys")).await;
    browser.says("This link has expired").await;
    stop(browser, "an expired link", &[("connect-expired", PANEL)]).await;

    let link = stage.connect_link("casual-crew").await;
    browser.go(&link).await;
    stop(browser, "the offer", &[("connect-offer", PANEL)]).await;
    stage.begin().await;
    stop(browser, "Flexslot's question", &[("sandbox-consent", "//body")]).await;
    browser.press("Deny").await;
    stop(browser, "denied", &[("connect-denied", PANEL)]).await;
    browser.press("Try again").await;
    stage.begin().await;
    stage.allow("george").await;
    stop(browser, "connected", &[("connect-connected", PANEL)]).await;
    browser.reload().await;
    stop(browser, "another browser", &[("connect-other-browser", PANEL)]).await;
    browser.go(&link).await;
    stop(browser, "a used link", &[("connect-used", PANEL)]).await;

    browser.go(&stage.connect_link("casual-crew").await).await;
    stop(browser, "the offer to reconnect", &[("connect-again", PANEL)]).await;
    stage.begin_again().await;
    stage.allow("ada").await;
    stop(browser, "another user", &[("connect-other-account", PANEL)]).await;
    browser.press("Leave it as it was").await;
    stop(browser, "as it was", &[]).await;

    let wish = serde_json::json!({ "scopes": ["decks:write"] });
    let opened = stage.api(Method::POST, "/v1/tenants/casual-crew/connect-sessions", Some(wish)).await;
    browser.go(opened.is(201).json()["url"].as_str().unwrap()).await;
    stop(browser, "the offer to allow more", &[("connect-more", PANEL)]).await;
    browser.is_quiet().await;
}
