//! Records that do not open: damaged, copied from elsewhere, or sealed with a key that is missing.

use super::world::{HOUR, SECOND, World, pass, pick, value};
use crate::{
    credential::{Refusal, TenantPolicy},
    model::Secret,
    store::{
        backend::{Backend, Change, Expect, Key, Kind, Row},
        record::Body,
    },
};

fn grant_of(name: &str) -> Key {
    Key::new(Kind::Grant, name)
}

async fn put(world: &World, name: &str, row: &Row, body: Body) {
    let change = Change { key: grant_of(name), expect: Expect::Anything, label: row.label, body };
    let _ = world.backend.write(vec![change]).await.unwrap();
}

/// Puts another tenant's secrets into the record of `name`; answers what was there.
async fn damage(world: &World, name: &str, with: &str) -> Row {
    let mut rows = world.backend.get(&[grant_of(name), grant_of(with)]).await.unwrap();
    let (other, own) = (rows.pop().flatten().unwrap(), rows.pop().flatten().unwrap());
    let id = |row: &Row| row.label.grant.unwrap().to_string();
    let text = String::from_utf8(other.body.as_bytes().to_vec()).unwrap().replace(&id(&other), &id(&own));
    put(world, name, &own, Body::from_stored(text.into_bytes())).await;
    own
}

fn assert_names_the_record(refusal: &Refusal) {
    let what = "the record \"grant acme\" is unreadable: access_token: it or its record was altered, or it was sealed for another place";
    assert_eq!(*refusal, Refusal::RecordUnreadable(what.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_open_turns_its_own_tenant_away_until_it_is_mended() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.connect("beta", HOUR, None).await;
    let own = damage(&world, "acme", "beta").await;
    assert_names_the_record(&pick(&world, "acme").await.unwrap_err());
    assert_eq!(value(&pick(&world, "beta").await), "Bearer at.beta.0");
    assert!(world.credentials.health().store_reachable);
    put(&world, "acme", &own, own.body.clone()).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
}

#[tokio::test(start_paused = true)]
async fn a_configured_pat_stands_in_for_a_record_that_does_not_open_and_the_store_counts_as_in_reach() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.connect("beta", HOUR, None).await;
    damage(&world, "acme", "beta").await;
    let pat = Some(Secret::new("flx_pat_file"));
    world.set_policy("acme", TenantPolicy { pat, ..TenantPolicy::default() });
    assert_eq!(value(&pick(&world, "acme").await), "Bearer flx_pat_file");
    assert!(world.credentials.health().store_reachable);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_of_a_tenant_serves_until_its_token_ends_and_no_refresh_token_is_presented() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", HOUR, None).await;
    world.connect("beta", HOUR, None).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
    damage(&world, "acme", "beta").await;
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
    pass(&world, HOUR).await;
    assert_names_the_record(&pick(&world, "acme").await.unwrap_err());
    assert_eq!(world.flexslot.requests(), 0);
}
