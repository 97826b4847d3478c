//! `disconnect`, beside sidecars and alone.

use flexslot_proxy::sandbox::{Endpoint, Fault, Moment};
use tokio::time::{Duration, Instant};

use super::{Consents, refuses, serves};
use crate::support::until;

#[tokio::test]
async fn a_running_sidecar_sends_nothing_more_within_two_seconds() {
    let consents = Consents::new().await;
    let sidecar = consents.start().await;
    consents.connect("acme").await;
    serves(&sidecar, "acme").await;
    let exit = consents.run(&["disconnect", "acme", "--yes"], 0).await;
    assert_eq!(exit.stderr, "Disconnected acme from Flexslot, and revoked the access there.\n");
    let since = Instant::now();
    refuses(&sidecar, "acme", "reconnect_required").await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(consents.living_grants(), 0);
    assert_eq!(consents.card("acme").await["state"], "not_connected");
    let exit = consents.run(&["disconnect", "acme", "--yes"], 1).await;
    assert!(
        exit.stderr.starts_with("error: acme is not connected, so there is nothing to disconnect\n"),
        "{}",
        exit.stderr
    );
}

#[tokio::test]
async fn what_flexslot_did_not_take_a_sidecar_sends_later() {
    let consents = Consents::new().await;
    consents.connect("acme").await;
    consents.world.sandbox.fault(Fault::cut(Endpoint::Revoke, Moment::BeforeProcessing));
    let exit = consents.run(&["disconnect", "acme", "--yes"], 0).await;
    assert!(
        exit.stderr.contains("is queued: a running sidecar on this store sends it within a day"),
        "{}",
        exit.stderr
    );
    assert_eq!(consents.card("acme").await["state"], "not_connected");
    assert_eq!(consents.living_grants(), 1);
    consents.world.sandbox.clear_faults();
    let _sidecar = consents.start().await;
    until("the revocation is sent", async || consents.living_grants() == 0).await;
}

#[tokio::test]
async fn nobody_is_disconnected_unasked() {
    let consents = Consents::new().await;
    consents.connect("acme").await;
    let exit = consents.run(&["disconnect", "acme"], 2).await;
    assert!(exit.stderr.ends_with("hint: if it is, say --yes\n"), "{}", exit.stderr);
    consents.run(&["disconnect", "nobody", "--yes"], 1).await;
    assert_eq!(consents.card("acme").await["state"], "connected");
}
