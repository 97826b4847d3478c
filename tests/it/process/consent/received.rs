//! `connect`, with the browser coming back to somebody who listens.

use flexslot_proxy::sandbox::{Effect, Endpoint, Fault};
use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{Consents, serves};
use crate::support::Browser;

#[tokio::test]
async fn a_tenant_is_connected_through_the_sidecar_that_runs() {
    let consents = Consents::new().await;
    let sidecar = consents.start().await;
    let connecting = consents.command(&["connect", "acme"]).spawn();
    let link = connecting.line(1).await;
    assert!(link.starts_with(&format!("http://{}/connect/", consents.port.address)), "{link}");
    let mut browser = Browser::new();
    let page = browser.open(&link).await;
    page.says(200, &["Connect Flexslot"]);
    browser.submit(&page, "", &[]).await.says(200, &["Connected to Flexslot as @george"]);
    let exit = connecting.exited().await;
    assert!(exit.status.success(), "{}", exit.stderr);
    assert!(exit.stderr.contains("Connected acme to Flexslot as @george.\n"), "{}", exit.stderr);
    assert!(exit.stderr.contains("Permissions: Read your decks; Look up cards\n"), "{}", exit.stderr);
    assert_eq!(exit.stdout, format!("{link}\n"));
    serves(&sidecar, "acme").await;
    browser.open(&link).await.says(410, &["This link has been used"]);
}

#[tokio::test]
async fn a_tenant_is_connected_by_the_commands_own_listener() {
    let consents = Consents::new().await;
    let connecting = consents.command(&["connect", "acme", "--scope", "decks:read"]).spawn();
    let link = connecting.line(1).await;
    Browser::new().press_at(&link).await.says(200, &["Connected to Flexslot as @george"]);
    let exit = connecting.exited().await;
    assert!(exit.status.success(), "{}", exit.stderr);
    assert!(exit.stderr.contains("Permissions: Read your decks\n"), "{}", exit.stderr);
    assert!(TcpStream::connect(consents.port.address).await.is_err(), "nobody listens there any more");
    assert_eq!(consents.card("acme").await["username"], "george");
    serves(&consents.start().await, "acme").await;
}

#[tokio::test]
async fn a_no_is_taken_for_a_no() {
    let consents = Consents::new().await;
    let fault = Fault::new(Endpoint::Authorize, Effect::OAuthError("access_denied".into()));
    consents.world.sandbox.fault(fault);
    for running in [false, true] {
        let _sidecar = if running { Some(consents.start().await) } else { None };
        let connecting = consents.command(&["connect", "acme"]).spawn();
        let link = connecting.line(1).await;
        Browser::new().press_at(&link).await.says(403, &["You did not allow it"]);
        let exit = connecting.exited().await;
        assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
        assert!(exit.stderr.contains("error: You did not allow it. Nothing was connected"), "{}", exit.stderr);
    }
    consents.run(&["status", "acme"], 1).await;
}

#[tokio::test]
async fn who_gives_up_leaves_no_link_behind() {
    let consents = Consents::new().await;
    let _sidecar = consents.start().await;
    let connecting = consents.command(&["connect", "acme"]).spawn();
    let link = connecting.line(1).await;
    connecting.signal(Signal::INT);
    let exit = connecting.exited().await;
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    assert!(exit.stderr.ends_with("error: given up; acme is as it was\n"), "{}", exit.stderr);
    Browser::new().open(&link).await.says(410, &["This link has been used"]);
    assert_eq!(consents.living_grants(), 0);
}

#[tokio::test]
async fn what_listens_at_the_redirect_uri_and_is_no_sidecar_is_named() {
    let mut consents = Consents::new().await;
    // The sandbox itself, which knows no connect session.
    let taken = format!("redirect_uri = \"{}/oauth/callback\"", consents.world.origin());
    consents.world.set("oauth", &taken).write_config();
    let exit = consents.world.command(&["connect", "acme"]).run().await;
    assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(1), ""), "{}", exit.stderr);
    assert!(
        exit.stderr.contains("/oauth/callback, and what listens there is no sidecar on this store"),
        "{}",
        exit.stderr
    );
    assert!(exit.stderr.contains("hint: stop it, or take --no-browser"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_public_url_where_no_sidecar_answers_is_named() {
    let mut consents = Consents::new().await;
    consents.world.set("admin", "public_url = \"https://127.0.0.1:9/flexslot\"").write_config();
    let exit = consents.run(&["connect", "acme"], 1).await;
    assert!(
        exit.stderr.contains("no sidecar on this store shows the session's page at https://127.0.0.1:9"),
        "{}",
        exit.stderr
    );
    assert!(exit.stderr.contains("hint: start it there, or take --no-browser"), "{}", exit.stderr);
}
