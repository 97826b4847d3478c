//! The stand-in's own pages, which people see who try the demo.

use flexslot_proxy::sandbox::{Client, Consent};

use crate::{
    process::world::{CLIENT, World},
    support::chromium::{Chromium, Script},
};

/// An address that asks for consent, of the client of every world.
fn authorize(world: &World, redirect_uri: &str) -> String {
    format!(
        "{}/api/public/v1/oauth/authorize?response_type=code&client_id={CLIENT}&redirect_uri={redirect_uri}\
         &scope=decks%3Aread+cards%3Aread&state=s&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        world.origin()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_use_the_pages_of_the_stand_in() {
    let world = World::new().await;
    world.sandbox.add_user("george");
    world.sandbox.set_consent(Consent::Page);
    world.sandbox.add_client(Client::public(CLIENT).redirect_uri(format!("{}/nowhere", world.origin())));
    world.sandbox.issue_grant("george", CLIENT, "decks:read cards:read").unwrap();
    let browser = Chromium::open(Script::On).await;

    browser.go(&authorize(&world, &format!("{}/nowhere", world.origin()))).await;
    browser.says("wants to connect to Flexslot It would be allowed to: Read your decks").await;
    browser.is_accessible("the consent page").await;

    browser.go(&authorize(&world, "http://127.0.0.1:1/other")).await;
    browser.says("The redirect URI is not registered for this application.").await;
    browser.is_accessible("a request that leads nowhere").await;

    browser.go(&format!("{}/account/connected-apps", world.origin())).await;
    browser.says("Apps connected to @george").await;
    browser.is_accessible("the connected apps").await;
    browser.press("Revoke").await;
    browser.says("None is connected.").await;
    browser.is_accessible("no connected app").await;
    browser.is_quiet().await;
}
