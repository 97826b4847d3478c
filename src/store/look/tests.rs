//! What tells a tenant that is as it was found from one that is not.

use super::{Known, KnownGrant, KnownPat, Looked};
use crate::{
    model::{Random, Version},
    store::{
        Cas, TenantRecord,
        era::{Era, EraId},
        testing::{World, intent, pat, tenant},
    },
};

/// A store with one tenant, and what is known of it.
async fn known() -> (World, Known) {
    let world = World::new().await;
    world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("flx_pat_1")).await.unwrap();
    let TenantRecord { grant, revision, pat, pat_revision, era, .. } = world.store.load(&tenant("acme")).await.unwrap();
    let known = Known {
        grant: KnownGrant::Live(grant.grant().unwrap().clone(), None),
        pat: KnownPat::Stored(pat.unwrap()),
        era: Some(era),
        grant_at: revision,
        pat_at: pat_revision,
        waiting: false,
    };
    (world, known)
}

async fn looked(world: &World, known: &Known) -> Looked {
    let look = world.store.look_at(&[(tenant("acme"), known.clone())]).await.unwrap();
    look.tenants[0]
}

/// The store has come back as it was; `same_store` whether with its own id.
async fn travel(world: &World, same_store: bool) -> EraId {
    let vitals = world.store.vitals().await.unwrap();
    let id = EraId::after(vitals.era.id, vitals.now, &Random::system());
    let era = Era { id, quiet_since: None, before: same_store.then_some(vitals.era.id), past: vitals.newest };
    assert_eq!(world.store.begin_era(&vitals, &era).await, Ok(Cas::Stored));
    id
}

#[tokio::test]
async fn who_was_not_written_since_is_as_found() {
    let (world, known) = known().await;
    assert_eq!(looked(&world, &known).await, Looked::AsFound);
    world.store.put_pat(&tenant("beta"), &pat("flx_pat_2")).await.unwrap();
    assert_eq!(looked(&world, &known).await, Looked::AsFound);
    assert_eq!(looked(&world, &Known::default()).await, Looked::Otherwise, "nothing was found of it");
}

#[tokio::test]
async fn whose_grant_or_pat_was_written_since_is_not() {
    let (world, known) = known().await;
    world.store.put_pat(&tenant("acme"), &pat("flx_pat_1")).await.unwrap();
    assert_eq!(looked(&world, &known).await, Looked::Otherwise);
    let (world, known) = self::known().await;
    world.begun("acme").await;
    assert_eq!(looked(&world, &known).await, Looked::Otherwise);
}

#[tokio::test]
async fn who_is_known_to_be_further_than_the_row_is_not() {
    let (world, known) = known().await;
    let KnownGrant::Live(grant, _) = &known.grant else { unreachable!("it is connected") };
    let mut next = grant.clone();
    next.version = Version::from_stored(next.version.number() + 1);
    for further in [
        Known { waiting: true, ..known.clone() },
        Known { grant: KnownGrant::Live(next, None), ..known.clone() },
        Known { grant: KnownGrant::Live(grant.clone(), Some(intent(grant))), ..known.clone() },
        Known { grant: KnownGrant::Removed(grant.id), ..known.clone() },
    ] {
        assert_eq!(looked(&world, &further).await, Looked::Otherwise, "{further:?}");
    }
}

#[tokio::test]
async fn who_came_back_with_the_store_is_as_found_in_the_new_era() {
    let (world, known) = known().await;
    let era = travel(&world, true).await;
    assert_eq!(looked(&world, &known).await, Looked::AsFound);
    let known = Known { era: Some(era), ..known };
    assert_eq!(looked(&world, &known).await, Looked::AsFound);
}

#[tokio::test]
async fn in_another_store_or_after_two_travels_nobody_is() {
    let (world, known) = known().await;
    travel(&world, false).await;
    assert_eq!(looked(&world, &known).await, Looked::Otherwise);
    let (world, known) = self::known().await;
    travel(&world, true).await;
    travel(&world, true).await;
    assert_eq!(looked(&world, &known).await, Looked::Otherwise);
}
