//! `connect --no-browser`, with the answer carried over by hand.

use url::Url;

use super::Consents;
use crate::support::{
    Browser,
    process::{Exit, Process},
};

/// A command that waits for an address, and the address that a browser ended on.
async fn begun(consents: &Consents) -> (Process, Url) {
    let connecting = consents.command(&["connect", "acme", "--no-browser"]).interactive().spawn();
    let page = Browser::new().open(&connecting.line(1).await).await;
    assert_eq!(page.url.path(), "/oauth/callback", "{page:?}");
    (connecting, page.url)
}

/// The same address with another value of one parameter, or without it.
fn with(address: &Url, name: &str, value: Option<&str>) -> String {
    let mut changed = address.clone();
    let pairs = address.query_pairs().filter(|(found, _)| found != name);
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    if let Some(value) = value {
        changed.query_pairs_mut().append_pair(name, value);
    }
    changed.into()
}

fn shows_nothing_of(exit: &Exit, address: &Url) {
    for (name, value) in address.query_pairs().filter(|(name, _)| name == "code") {
        assert!(!exit.stderr.contains(&*value) && !exit.stdout.contains(&*value), "{name}: {}", exit.stderr);
    }
}

#[tokio::test]
async fn the_address_that_the_browser_ended_on_connects_the_tenant() {
    let consents = Consents::new().await;
    let (mut connecting, address) = begun(&consents).await;
    connecting.type_line(&format!("  {address} "));
    let exit = connecting.exited().await;
    assert!(exit.status.success(), "{}", exit.stderr);
    assert!(exit.stderr.contains("Connected acme to Flexslot as @george.\n"), "{}", exit.stderr);
    shows_nothing_of(&exit, &address);
    assert_eq!(consents.card("acme").await["state"], "connected");
}

#[tokio::test]
async fn after_a_wrong_address_another_is_taken_also_from_a_pipe() {
    let consents = Consents::new().await;
    let (mut connecting, address) = begun(&consents).await;
    connecting.type_line("http://127.0.0.1:3540/oauth/callback");
    connecting.type_line(address.as_str());
    let exit = connecting.exited().await;
    assert!(exit.status.success(), "{}", exit.stderr);
    assert!(exit.stderr.contains("error: that address says nothing of a consent"), "{}", exit.stderr);
}

#[tokio::test]
async fn the_query_alone_will_do() {
    let consents = Consents::new().await;
    let (mut connecting, address) = begun(&consents).await;
    connecting.type_line(address.query().unwrap());
    assert!(connecting.exited().await.status.success());
}

#[tokio::test]
async fn an_address_that_was_changed_on_its_way_connects_nothing() {
    let consents = Consents::new().await;
    for (name, value, says) in [
        ("state", Some("another"), "its state= is another, or missing"),
        ("state", None, "its state= is another, or missing"),
        ("iss", Some("https://flexslot.example"), "This answer is not from Flexslot"),
        ("iss", None, "This answer is not from Flexslot"),
        ("code", Some("another"), "Flexslot no longer takes this answer"),
        ("code", None, "that address says nothing of a consent"),
    ] {
        let (mut connecting, address) = begun(&consents).await;
        connecting.type_line(&with(&address, name, value));
        connecting.end_input();
        let exit = connecting.exited().await;
        assert_eq!(exit.status.code(), Some(1), "{name}: {}", exit.stderr);
        assert!(exit.stderr.contains(says), "{name}: {}", exit.stderr);
        shows_nothing_of(&exit, &address);
    }
    consents.run(&["status", "acme"], 1).await;
}

#[tokio::test]
async fn an_address_connects_once() {
    let consents = Consents::new().await;
    let (mut connecting, address) = begun(&consents).await;
    connecting.type_line(address.as_str());
    assert!(connecting.exited().await.status.success());
    let (mut again, _) = begun(&consents).await;
    again.type_line(address.as_str());
    again.end_input();
    let exit = again.exited().await;
    assert!(exit.stderr.contains("its state= is another"), "{}", exit.stderr);
}

#[tokio::test]
async fn input_that_ends_without_an_address_connects_nothing() {
    let consents = Consents::new().await;
    let exit = consents.run(&["connect", "acme", "--no-browser"], 1).await;
    assert!(exit.stderr.contains("error: standard input ended before the address came\n"), "{}", exit.stderr);
}

#[tokio::test]
async fn another_flexslot_user_than_before_has_to_be_meant() {
    let consents = Consents::new().await;
    consents.connect("acme").await;
    consents.world.sandbox.sign_in("ada");
    for (answer, status, username) in [("n", 1, "george"), ("", 1, "george"), ("y", 0, "ada")] {
        let (mut connecting, address) = begun(&consents).await;
        connecting.type_line(address.as_str());
        connecting.type_line(answer);
        let exit = connecting.exited().await;
        assert_eq!(exit.status.code(), Some(status), "{answer}: {}", exit.stderr);
        assert!(
            exit.stderr.contains("acme has been connected as @george, and access was now allowed as @ada."),
            "{}",
            exit.stderr
        );
        assert_eq!(consents.card("acme").await["username"], username, "{answer}");
    }
}
