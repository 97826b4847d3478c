//! A store that comes back empty, or older than it was.

use std::time::Duration;

use super::{
    faulty::Fault,
    flexslot::Behaviour,
    world::{Answer, HOUR, ORIGIN, SECOND, World, ask, caller, pass, pat_only, pick, tenant, value},
};
use crate::{
    credential::{Refusal, Unauthorized, background::Background},
    model::{GrantState, Random, Secret, Version, token::DisconnectReason},
    store::{
        OpenError, StoredPat, TokenStore,
        memory::Snapshot,
        seal::{KeyRing, Sealer},
    },
};

/// Longer than it takes to notice and to write back, shorter than the quiet.
const NOTICED: Duration = Duration::from_secs(4);

/// Longer than the quiet.
const OVER: Duration = Duration::from_secs(15);

fn backup(world: &World) -> Snapshot {
    world.backend.inner.snapshot()
}

fn restore(world: &World, snapshot: &Snapshot) {
    world.backend.inner.restore(snapshot.clone());
}

fn empty(world: &World) {
    world.backend.inner.empty(&Random::system());
}

async fn stored(world: &World, name: &str) -> GrantState {
    world.store.load(&tenant(name)).await.unwrap().grant
}

async fn refresh_token(world: &World, name: &str) -> String {
    stored(world, name).await.grant().map_or("none".into(), |grant| grant.tokens.refresh.expose().to_owned())
}

fn is_quiet(answer: &Answer) -> bool {
    let left = 0..=10;
    matches!(answer, Err(Refusal::RefreshUnavailable { retry_after: Some(wait), .. }) if left.contains(&wait.as_secs()))
}

/// The upstream answers 401 to what the tenant's requests get now.
async fn refused(world: &World, name: &str) -> Unauthorized {
    let name = tenant(name);
    let picked = world.credentials.pick(&ask(&name)).await.unwrap();
    world.credentials.unauthorized(&ask(&name), &picked).await
}

/// A sidecar that has refreshed acme's token since the backup.
async fn ahead_of_its_backup() -> (World, Background, Snapshot) {
    let world = World::new().await;
    let background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let snapshot = backup(&world);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    pass(&world, 2 * SECOND).await;
    (world, background, snapshot)
}

// === what is held comes back ===

#[tokio::test(start_paused = true)]
async fn what_is_held_is_written_back_to_a_store_that_was_restored() {
    let (world, _background, snapshot) = ahead_of_its_backup().await;
    restore(&world, &snapshot);
    pass(&world, NOTICED).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.1");
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    pass(&world, HOUR).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.2");
    assert_eq!(world.flexslot.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_written_back_to_a_store_that_was_emptied() {
    let (world, _background, _) = ahead_of_its_backup().await;
    world.give_pat("acme").await;
    pass(&world, 2 * SECOND).await;
    empty(&world);
    pass(&world, NOTICED).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.1");
    let pat = world.store.load(&tenant("acme")).await.unwrap().pat;
    assert_eq!(pat.unwrap().pat.expose(), "flx_pat_acme");
    let other_key = Sealer::new(KeyRing::ephemeral(&Random::system()), Random::system());
    let opened = TokenStore::open(world.backend.clone(), other_key, Random::system()).await;
    assert!(matches!(opened, Err(OpenError::WrongKey { .. })), "the key check is there again");
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_that_was_written_past_what_was_seen_is_noticed() {
    let (world, _background, snapshot) = ahead_of_its_backup().await;
    restore(&world, &snapshot);
    for _ in 0..20 {
        world.give_pat("beta").await;
    }
    pass(&world, HOUR).await;
    assert!(is_quiet(&pick(&world, "acme").await), "the record is older than the one that was read");
    pass(&world, OVER).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.2");
    assert_eq!(world.flexslot.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_the_last_writes_is_noticed() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    pass(&world, 2 * SECOND).await;
    let snapshot = backup(&world);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    restore(&world, &snapshot);
    pass(&world, SECOND).await;
    assert!(world.credentials.health().travelled);
    pass(&world, SECOND).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.1");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_everything_is_read_again() {
    let (world, _background, snapshot) = ahead_of_its_backup().await;
    world.backend.refuse_reads(true);
    pass(&world, 5 * SECOND).await;
    // The sidecar looks again only when all of this has happened.
    world.backend.refuse_reads(false);
    restore(&world, &snapshot);
    for _ in 0..20 {
        world.give_pat("beta").await;
    }
    pass(&world, NOTICED).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.1");
}

/// A failover that no operation has noticed: the next one, which may be asked twice, was asked again.
#[tokio::test(start_paused = true)]
async fn over_a_new_connection_everything_is_read_again() {
    let (world, _background, snapshot) = ahead_of_its_backup().await;
    restore(&world, &snapshot);
    for _ in 0..20 {
        world.give_pat("beta").await;
    }
    pass(&world, NOTICED).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.0", "counting says nothing");
    world.backend.reconnect();
    pass(&world, NOTICED).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_to_a_store_that_has_lost_nothing_changes_nothing() {
    let (world, _background, _) = ahead_of_its_backup().await;
    world.backend.reconnect();
    let read = world.backend.times_read.load(std::sync::atomic::Ordering::SeqCst);
    // Two looks of the watch, and over before anybody looks whose grants are, five seconds after the start at the earliest.
    pass(&world, 2 * SECOND).await;
    let read_again = world.backend.times_read.load(std::sync::atomic::Ordering::SeqCst) - read;
    assert_eq!(read_again, 1, "one tenant, once");
    assert!(!world.credentials.health().travelled);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_write_back_that_fails_is_done_again() {
    let (world, _background, _) = ahead_of_its_backup().await;
    empty(&world);
    for _ in 0..3 {
        world.backend.next_write(Fault::Refused);
        world.backend.next_write(Fault::AnswerLost);
    }
    pass(&world, OVER).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.1");
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_the_one_that_knows_more_is_right() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let behind = world.another();
    let blind = behind.credentials.start().await.unwrap();
    world.flexslot.life.store(30, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    assert_eq!(value(&pick(&behind, "acme").await), "Bearer at.acme.1");
    drop(blind);
    pass(&world, 40 * SECOND).await;
    world.flexslot.life.store(0, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.2");
    empty(&world);
    let _background_too = behind.credentials.start().await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.2");
    assert_eq!(value(&pick(&behind, "acme").await), "Bearer at.acme.2");
    assert_eq!(world.flexslot.replays(), 0);
}

// === nobody refreshes meanwhile ===

#[tokio::test(start_paused = true)]
async fn nobody_refreshes_for_ten_seconds_also_who_starts_just_then() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let snapshot = backup(&world);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    world.connect("beta", Duration::ZERO, Some(HOUR)).await;
    pass(&world, 2 * SECOND).await;
    restore(&world, &snapshot);
    world.connect("beta", Duration::ZERO, Some(HOUR)).await;
    pass(&world, SECOND).await;
    let newcomer = world.another();
    let _background_too = newcomer.credentials.start().await.unwrap();
    assert!(newcomer.credentials.health().travelled && world.credentials.health().travelled);
    for sidecar in [&world, &newcomer] {
        assert!(is_quiet(&pick(sidecar, "beta").await));
    }
    assert_eq!(value(&pick(&newcomer, "acme").await), "Bearer at.acme.1");
    pass(&world, 10 * SECOND).await;
    assert!(!newcomer.credentials.health().travelled && !world.credentials.health().travelled);
    assert_eq!(value(&pick(&newcomer, "beta").await), "Bearer at.beta.1");
    assert_eq!(world.flexslot.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_look_before_a_token_request_notices_too() {
    let (world, background, snapshot) = ahead_of_its_backup().await;
    drop(background);
    let behind = world.another();
    world.connect("beta", HOUR, Some(HOUR)).await;
    assert_eq!(value(&pick(&behind, "beta").await), "Bearer at.beta.0");
    let _ = refused(&behind, "beta").await;
    restore(&world, &snapshot);
    // It has never seen acme: what it reads is the backup's, and so it would present what is spent.
    assert!(is_quiet(&pick(&behind, "acme").await));
    assert_eq!(world.flexslot.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_only_restarts_is_no_reason_to_wait() {
    let (world, _background, _) = ahead_of_its_backup().await;
    world.backend.refuse_reads(true);
    pass(&world, 5 * SECOND).await;
    world.backend.refuse_reads(false);
    pass(&world, 2 * SECOND).await;
    world.connect("beta", Duration::ZERO, Some(HOUR)).await;
    assert_eq!(value(&pick(&world, "beta").await), "Bearer at.beta.1");
    assert!(!world.credentials.health().travelled);
}

// === renewals under way ===

#[tokio::test(start_paused = true)]
async fn a_pair_that_comes_while_the_store_travels_is_kept() {
    for emptied in [false, true] {
        let world = World::new().await;
        let _background = world.credentials.start().await.unwrap();
        world.connect("acme", Duration::ZERO, Some(HOUR)).await;
        let snapshot = backup(&world);
        let gate = world.flexslot.hold();
        let waiting = caller(&world, "acme");
        world.settle().await;
        if emptied {
            empty(&world);
        } else {
            restore(&world, &snapshot);
        }
        gate.add_permits(1);
        assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1", "emptied: {emptied}");
        pass(&world, NOTICED).await;
        assert_eq!(refresh_token(&world, "acme").await, "acme.1", "emptied: {emptied}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_intent_is_not_lost_with_the_store() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let snapshot = backup(&world);
    world.flexslot.will(Behaviour::LoseAnswer);
    assert!(pick(&world, "acme").await.is_err());
    restore(&world, &snapshot);
    pass(&world, NOTICED).await;
    assert!(matches!(stored(&world, "acme").await, GrantState::Uncertain(..)));
    let another = world.another();
    pass(&world, OVER).await;
    assert!(pick(&another, "acme").await.is_err());
    assert_eq!(world.flexslot.requests(), 1, "it is too early for the last resort");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_flexslot_refuses_while_the_store_travels_ends() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.revoke("acme");
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    empty(&world);
    gate.add_permits(1);
    let over = Refusal::ReconnectRequired(DisconnectReason::InvalidGrant);
    assert_eq!(waiting.await.unwrap().unwrap_err(), over);
    pass(&world, OVER).await;
    assert!(matches!(stored(&world, "acme").await, GrantState::Disconnected(_)));
    assert_eq!(world.flexslot.requests(), 1);
}

// === what ended stays so ===

#[tokio::test(start_paused = true)]
async fn what_one_process_knows_to_have_ended_another_does_not_bring_back() {
    for first_to_write_is_the_one_that_knows in [false, true] {
        let world = World::new().await;
        let background = world.credentials.start().await.unwrap();
        world.connect("acme", HOUR, Some(HOUR)).await;
        let behind = world.another();
        let blind = behind.credentials.start().await.unwrap();
        assert_eq!(value(&pick(&behind, "acme").await), "Bearer at.acme.0");
        drop(blind);
        world.flexslot.revoke("acme");
        let _ = refused(&world, "acme").await;
        drop(background);
        empty(&world);
        let order = if first_to_write_is_the_one_that_knows { [&world, &behind] } else { [&behind, &world] };
        let mut running = Vec::new();
        for sidecar in order {
            running.push(sidecar.credentials.start().await.unwrap());
            pass(&world, 2 * SECOND).await;
        }
        pass(&world, OVER).await;
        assert!(matches!(stored(&world, "acme").await, GrantState::Disconnected(_)));
        let over = Refusal::ReconnectRequired(DisconnectReason::InvalidGrant);
        assert_eq!(pick(&behind, "acme").await.unwrap_err(), over);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_was_removed_since_the_backup_is_removed_again() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", HOUR, Some(HOUR)).await;
    world.give_pat("acme").await;
    let _ = pick(&world, "acme").await;
    pass(&world, 2 * SECOND).await;
    let snapshot = backup(&world);
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    pass(&world, 2 * SECOND).await;
    restore(&world, &snapshot);
    pass(&world, NOTICED).await;
    assert!(world.store.load(&tenant("acme")).await.unwrap().is_absent());
    assert_eq!(pick(&world, "acme").await.unwrap_err(), Refusal::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_replaced_since_the_backup_is_replaced_again() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", HOUR, Some(HOUR)).await;
    let snapshot = backup(&world);
    let _ = pick(&world, "acme").await;
    world.connect_to("acme", "second", HOUR, Some(HOUR)).await;
    pass(&world, 2 * SECOND).await;
    restore(&world, &snapshot);
    pass(&world, NOTICED).await;
    assert_eq!(refresh_token(&world, "acme").await, "second.0");
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_does_not_bring_back_a_grant_that_was_replaced() {
    let world = World::new().await;
    let background = world.credentials.start().await.unwrap();
    world.connect("acme", HOUR, Some(HOUR)).await;
    let behind = world.another();
    let blind = behind.credentials.start().await.unwrap();
    for sidecar in [&world, &behind] {
        let _ = pick(sidecar, "acme").await;
    }
    drop(blind);
    world.connect_to("acme", "second", HOUR, Some(HOUR)).await;
    pass(&world, 2 * SECOND).await;
    drop(background);
    empty(&world);
    let _first = behind.credentials.start().await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert_eq!(refresh_token(&world, "acme").await, "acme.0", "nobody else has written yet");
    let _then = world.credentials.start().await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(refresh_token(&world, "acme").await, "second.0");
    assert_eq!(value(&pick(&behind, "acme").await), "Bearer at.second.0");
}

#[tokio::test(start_paused = true)]
async fn what_is_written_after_the_store_came_back_counts_more_than_what_was_held() {
    let (world, background, snapshot) = ahead_of_its_backup().await;
    world.give_pat("acme").await;
    pass(&world, 2 * SECOND).await;
    drop(background);
    restore(&world, &snapshot);
    let other = world.another();
    let _background = world.credentials.start().await.unwrap();
    world.backend.refuse_writes(false);
    // Whoever notices first has begun the new era; then a command comes, and then the one that held more.
    pass(&world, NOTICED).await;
    world.connect_to("acme", "third", HOUR, None).await;
    let new = StoredPat { pat: Secret::new("flx_pat_new"), origin: ORIGIN.parse().unwrap() };
    world.store.put_pat(&tenant("acme"), &new).await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(refresh_token(&world, "acme").await, "third.0");
    for sidecar in [&world, &other] {
        assert_eq!(value(&pat_only(sidecar, "acme").await), "Bearer flx_pat_new");
        assert_eq!(value(&pick(sidecar, "acme").await), "Bearer at.third.0");
    }
}

#[tokio::test(start_paused = true)]
async fn the_newer_of_two_pats_is_the_one_that_was_found_later() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.give_pat("acme").await;
    let snapshot = backup(&world);
    let new = StoredPat { pat: Secret::new("flx_pat_new"), origin: ORIGIN.parse().unwrap() };
    let _ = pat_only(&world, "acme").await;
    world.store.put_pat(&tenant("acme"), &new).await.unwrap();
    pass(&world, 2 * SECOND).await;
    restore(&world, &snapshot);
    pass(&world, NOTICED).await;
    assert_eq!(world.store.load(&tenant("acme")).await.unwrap().pat, Some(new));
}

#[tokio::test(start_paused = true)]
async fn it_may_travel_again_and_again() {
    let (world, _background, snapshot) = ahead_of_its_backup().await;
    for round in 2..8_u64 {
        if round % 2 == 0 {
            restore(&world, &snapshot);
        } else {
            empty(&world);
        }
        pass(&world, OVER).await;
        pass(&world, HOUR).await;
        assert_eq!(value(&pick(&world, "acme").await), format!("Bearer at.acme.{round}"));
        pass(&world, 2 * SECOND).await;
        let grant = stored(&world, "acme").await.grant().cloned().unwrap();
        assert_eq!(grant.version, Version::from_stored(round + 1));
    }
    assert_eq!(world.flexslot.replays(), 0);
}
