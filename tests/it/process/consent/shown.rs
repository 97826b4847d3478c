//! `status` and `page`.

use http::Method;
use serde_json::Value;

use super::Consents;
use crate::{process::world::Life, support::Browser};

#[tokio::test]
async fn status_has_the_cards_of_the_admin_api() {
    let mut consents = Consents::new().await;
    consents.world.append("[[tenants]]\nname = \"unconnected\"\n").write_config();
    consents.world.connect_all(&["expired"], Life::Expired).await;
    consents.world.give_pat("pat").await;
    for tenant in ["connected", "disconnected"] {
        consents.connect(tenant).await;
    }
    consents.run(&["disconnect", "disconnected", "--yes"], 0).await;
    let sidecar = consents.start().await;
    let token = consents.world.admin_token();
    let listed = sidecar.api(Method::GET, "/v1/tenants", &token).send().await.is(200).json();
    let shown: Value = serde_json::from_str(&consents.run(&["status", "--json"], 0).await.stdout).unwrap();
    assert_eq!(shown, listed["tenants"]);
    let states: Vec<_> = shown.as_array().unwrap().iter().map(|card| card["tenant"].as_str().unwrap()).collect();
    assert_eq!(states, ["connected", "disconnected", "expired", "pat", "unconnected"]);
    let one: Value = serde_json::from_str(&consents.run(&["status", "pat", "--json"], 0).await.stdout).unwrap();
    assert_eq!(one[0], shown[3]);
}

#[tokio::test]
async fn status_names_every_connection_with_its_next_step() {
    let consents = Consents::new().await;
    assert_eq!(consents.run(&["status"], 0).await.stdout, "");
    consents.connect("acme").await;
    let shown = consents.run(&["status"], 0).await.stdout;
    for words in ["┌─ acme ─", "✓ Connected to Flexslot as @george", "Disconnect: flexslot-proxy disconnect acme"]
    {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let exit = consents.run(&["status", "nobody"], 1).await;
    assert!(exit.stderr.starts_with("error: nobody knows a tenant nobody\nhint: "), "{}", exit.stderr);
}

#[tokio::test]
async fn a_watched_status_is_shown_again_when_it_changes() {
    let consents = Consents::new().await;
    let watching = consents.command(&["status", "--json", "--watch"]).spawn();
    assert_eq!(watching.line(1).await, "[]");
    consents.connect("acme").await;
    let cards: Value = serde_json::from_str(&watching.line(2).await).unwrap();
    assert_eq!((&cards[0]["tenant"], &cards[0]["state"]), (&"acme".into(), &"connected".into()));
    watching.signal(rustix::process::Signal::INT);
    let exit = watching.exited().await;
    assert!(exit.status.success(), "{}", exit.stderr);
}

#[tokio::test]
async fn a_link_to_the_page_signs_one_browser_in() {
    let consents = Consents::new().await;
    let sidecar = consents.start().await;
    let printed = consents.run(&["page"], 0).await.stdout;
    let link = printed.strip_suffix('\n').unwrap();
    assert!(link.starts_with(&format!("http://{}/", sidecar.admin)) && !link.contains('\n'), "{printed}");
    let mut browser = Browser::new();
    browser.open(link).await.says(200, &["No connections yet"]);
    browser.open(&format!("http://{}/", sidecar.admin)).await.says(200, &["No connections yet"]);
    Browser::new().open(link).await.says(410, &["This link cannot be used any more"]);
}

#[tokio::test]
async fn page_says_why_there_is_no_link() {
    let consents = Consents::new().await;
    let refused = async |says: &str| {
        let exit = consents.run(&["page"], 1).await;
        assert!(exit.stdout.is_empty() && exit.stderr.starts_with(&format!("error: {says}")), "{}", exit.stderr);
        assert!(exit.stderr.contains("\nhint: "), "{}", exit.stderr);
    };
    refused("there is no admin token").await;
    let sidecar = consents.start().await;
    consents.run(&["page"], 0).await;
    consents.world.write_secret("admin-token", "another-than-the-sidecar-has");
    refused(&format!("what listens on {} does not show that it has the admin token", sidecar.admin)).await;
    // One that is not proven first.
    consents.world.write_secret("admin-token", "another");
    refused("the sidecar refuses the admin token").await;
    drop(sidecar);
    refused("no sidecar listens where it is asked").await;
    let exit = consents.world.command(&["page", "--admin-listen", "off"]).run().await;
    assert!(exit.stderr.starts_with("error: the admin listener is off"), "{}", exit.stderr);
}
