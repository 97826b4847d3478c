//! Whose grants are, as Flexslot says now and then.

use std::time::Duration;

use super::world::{CLIENT, HOUR, ORIGIN, SECOND, START, World, pass, pick, tenant};
use crate::{
    credential::{Consented, SessionWish, background::Background},
    model::{Identity, ScopeSet, TokenSet, TokenType},
    store::{
        IdentityRecord,
        backend::{Backend, Change, Expect, Key, Kind, Label, RowState},
        record::Body,
    },
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A tenant in use, whose user Flexslot knows as `george`.
async fn used() -> (World, Background) {
    let world = World::new().await;
    world.connect("acme", 300 * DAY, Some(SECOND)).await;
    world.flexslot.name_user("acme", "u1", "george");
    let background = world.credentials.start().await.unwrap();
    (world, background)
}

async fn known(world: &World) -> Option<IdentityRecord> {
    world.store.identity(&tenant("acme")).await.unwrap()
}

async fn name(world: &World) -> Option<String> {
    known(world).await?.identity?.username
}

/// Requests come all day long.
async fn a_day_of_use(world: &World) {
    for _ in 0..48 {
        let _ = pick(world, "acme").await;
        pass(world, DAY / 48).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_in_use_is_asked_for_once_a_day_and_never_for_a_request() {
    let (world, _background) = used().await;
    let _ = pick(&world, "acme").await;
    assert_eq!(world.flexslot.introspections(), 0);
    pass(&world, 20 * SECOND).await;
    assert_eq!((world.flexslot.introspections(), name(&world).await.as_deref()), (1, Some("george")));
    for day in 1..4 {
        a_day_of_use(&world).await;
        assert!((day..=day + 1).contains(&world.flexslot.introspections()), "{}", world.flexslot.introspections());
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_nobody_uses_is_not_asked_for() {
    let (world, _background) = used().await;
    pass(&world, DAY).await;
    assert_eq!(world.flexslot.introspections(), 0);
    let _ = pick(&world, "acme").await;
    pass(&world, 20 * SECOND).await;
    pass(&world, 10 * DAY).await;
    assert_eq!(world.flexslot.introspections(), 1, "it was used once");
}

#[tokio::test(start_paused = true)]
async fn of_several_sidecars_one_asks() {
    let (world, _background) = used().await;
    let others = [world.another(), world.another()];
    let mut running = Vec::new();
    for other in &others {
        running.push(other.credentials.start().await.unwrap());
        let _ = pick(other, "acme").await;
    }
    let _ = pick(&world, "acme").await;
    pass(&world, 60 * SECOND).await;
    assert_eq!(world.flexslot.introspections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_changed_name_is_shown_within_a_day() {
    let (world, _background) = used().await;
    let _ = pick(&world, "acme").await;
    pass(&world, 20 * SECOND).await;
    world.flexslot.name_user("acme", "u1", "georgia");
    a_day_of_use(&world).await;
    pass(&world, HOUR).await;
    assert_eq!(name(&world).await.as_deref(), Some("georgia"));
}

#[tokio::test(start_paused = true)]
async fn another_user_for_the_same_grant_is_noted_and_does_not_become_its_user() {
    let (world, _background) = used().await;
    let _ = pick(&world, "acme").await;
    pass(&world, 20 * SECOND).await;
    world.flexslot.name_user("acme", "u2", "mallory");
    a_day_of_use(&world).await;
    pass(&world, HOUR).await;
    let record = known(&world).await.unwrap();
    let george = Identity { sub: "u1".into(), username: Some("george".into()) };
    assert_eq!((record.identity, record.other_sub.as_deref()), (Some(george), Some("u2")));
    assert!(pick(&world, "acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_to_be_refreshed_is_not_asked_about() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    let _background = world.credentials.start().await.unwrap();
    let _ = pick(&world, "acme").await;
    world.settle().await;
    assert_eq!(world.flexslot.requests(), 1, "a request has it refreshed");
    pass(&world, 20 * SECOND).await;
    assert_eq!((world.flexslot.requests(), world.flexslot.introspections()), (1, 1), "then it is asked about");
}

// === what somebody has taken away ===

/// A tenant in use whose user has consented, and of which somebody who can write to the store has taken away whose it is.
async fn robbed() -> (World, Background) {
    let world = World::new().await;
    let acme = tenant("acme");
    let background = world.credentials.start().await.unwrap();
    let wish = SessionWish { tenant: acme.clone(), scopes: None, return_to: None, client: None };
    let id = world.credentials.open_session(wish).await.unwrap().id;
    let outset = world.credentials.outset(&acme).await.unwrap();
    let (access, refresh) = world.flexslot.issue("acme");
    let (scopes, expires_at) = (ScopeSet::new("decks:read"), world.now().plus(300 * DAY));
    let tokens = TokenSet {
        access,
        refresh,
        token_type: TokenType::Bearer,
        scopes,
        expires_at,
        answered_at: Some(START),
        key: None,
    };
    let (client_id, origin) = (CLIENT.to_owned(), ORIGIN.parse().unwrap());
    let identity = Some(Identity { sub: "u1".into(), username: Some("george".into()) });
    let consented = Consented { tokens, client_id, origin, identity, outset };
    let _ = world.credentials.connect(&id, consented).await.unwrap();
    assert_eq!(owner(&world).await.as_deref(), Some("u1"));
    let (key, label) = (Key::new(Kind::Identity, "acme"), Label { state: RowState::Gone, ..Label::default() });
    let gone = Change { key, expect: Expect::Anything, label, body: Body::from_stored(b"{}".to_vec()) };
    let _ = world.backend.inner.write(vec![gone]).await.unwrap();
    assert_eq!(owner(&world).await.as_deref(), Some(""), "somebody's");
    let _ = pick(&world, "acme").await.unwrap();
    (world, background)
}

/// Whose user somebody who consents now is compared with: nobody is like one without a name, and nothing is compared where
/// there is none.
async fn owner(world: &World) -> Option<String> {
    let outset = world.credentials.outset(&tenant("acme")).await.unwrap();
    outset.identity.map(|identity| identity.sub)
}

#[tokio::test(start_paused = true)]
async fn while_it_is_asked_whose_a_robbed_grant_is_nobody_passes_for_its_user() {
    let (world, _background) = robbed().await;
    let answered = world.flexslot.hold_introspections();
    world.flexslot.name_user("acme", "u1", "george");
    pass(&world, 20 * SECOND).await;
    assert_eq!((world.flexslot.introspections(), owner(&world).await.as_deref()), (1, Some("")));
    answered.add_permits(1);
    pass(&world, SECOND).await;
    assert_eq!(owner(&world).await.as_deref(), Some("u1"));
}

#[tokio::test(start_paused = true)]
async fn nor_where_flexslot_does_not_say() {
    let (world, _background) = robbed().await;
    pass(&world, 20 * SECOND).await;
    assert_eq!((world.flexslot.introspections(), owner(&world).await.as_deref()), (1, Some("")));
    let never = world.flexslot.hold_introspections();
    a_day_of_use(&world).await;
    pass(&world, HOUR).await;
    assert!(world.flexslot.introspections() > 1);
    assert_eq!((never.available_permits(), owner(&world).await.as_deref()), (0, Some("")));
}
