//! The whole life of a connection, as somebody who has read nothing lives it.

use flexslot_proxy::model::ConnectionState;

use super::stage::Stage;
use crate::support::chromium::Script;

async fn whole_life(script: Script) {
    let stage = Stage::with(script, &[("refresh", "min_interval = \"0s\"")]).await;
    let browser = &stage.browser;
    stage.sign_in().await;
    browser.says("No connections yet").await;

    browser.fill("Connect a tenant", "acme").await;
    browser.press("Connect Flexslot").await;
    browser.says("You are about to connect acme to your Flexslot account.").await;
    stage.begin().await;
    stage.allow("george").await;
    browser.says("Connected to Flexslot as @george acme can use your Flexslot account now.").await;

    stage.call("acme").await.is(200);
    browser.press("Back to the connections").await;
    browser.says("acme Connected to Flexslot as @george This app can: Read your decks Look up cards").await;
    browser.says("Last used just now").await;

    stage.revoke_at_flexslot("george").await;
    stage.call("acme").await.is_problem(401, "reconnect_required");
    stage.go_to_page().await;
    browser.says("Connection expired. Please reconnect. Access was revoked on Flexslot").await;
    browser.says("It was connected as @george. Syncing has stopped until you reconnect.").await;

    browser.press_on("acme", "Reconnect Flexslot").await;
    stage.begin_again().await;
    stage.allow("george").await;
    browser.says("Connected to Flexslot as @george").await;
    stage.call("acme").await.is(200);

    stage.go_to_page().await;
    browser.press_on("acme", "Disconnect").await;
    browser.says("Disconnect from Flexslot? acme Your synced data will stay; future syncs will stop until you").await;
    browser.press("Keep connected").await;
    stage.is_in_state("acme", ConnectionState::Connected, Some("george")).await;
    browser.press_on("acme", "Disconnect").await;
    browser.press("Disconnect").await;
    browser.says("acme is disconnected from Flexslot.").await;
    assert_eq!(browser.title().await, "acme is disconnected");
    assert_eq!(browser.focused().await, "result", "what came of it is read first");
    browser.says("Connect your Flexslot account to sync decks and sideboard guides.").await;
    assert!(stage.world.sandbox.grants().iter().all(|grant| grant.ended.is_some()), "Flexslot was told");
    stage.call("acme").await.is_problem(401, "reconnect_required");

    browser.go(&stage.at("/")).await;
    assert!(!browser.text().await.contains("is disconnected from Flexslot"), "it is told once");
    browser.is_quiet().await;
}

/// What an app calls for beyond what its user has allowed is asked for when somebody says so, and nothing else with it.
async fn more(script: Script) {
    let stage = Stage::new(script).await;
    let browser = &stage.browser;
    stage.connect("acme", "george").await;
    stage.call_for_more("acme").await;
    stage.sign_in().await;
    browser
        .says("acme Connected to Flexslot as @george Calls were refused: it needs permission to create, change")
        .await;
    browser.press_on("acme", "Allow more on Flexslot").await;
    browser.says("You are about to let acme do more with your Flexslot account.").await;
    browser.says("wants to: Create, change and delete your decks Read your decks Look up cards It is connected").await;
    browser.press_below("//main//form", "Allow more on Flexslot").await;
    browser.says("(decks:write) Read your decks (decks:read) Look up cards (cards:read) Signed in as").await;
    stage.call("acme").await.is(200);
    stage.allow("george").await;
    browser.says("Connected to Flexslot as @george acme can use your Flexslot account now.").await;
    stage.make_deck("acme").await.is(201);
    browser.press("Back to the connections").await;
    browser.says("can: Create, change and delete your decks Read your decks Look up cards").await;
    assert!(!browser.text().await.contains("Calls were refused"));
    browser.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_connection_lacks_is_allowed_by_one_button() {
    more(Script::On).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_connection_lacks_is_allowed_by_one_button_without_scripts() {
    more(Script::Off).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_made_used_revoked_made_again_and_ended() {
    whole_life(Script::On).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_made_used_revoked_made_again_and_ended_without_scripts() {
    whole_life(Script::Off).await;
}
