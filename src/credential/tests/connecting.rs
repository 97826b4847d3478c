//! Connecting and disconnecting, through the door.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    faulty::Fault,
    flexslot::{Behaviour, OnRevoke},
    world::{Answer, CLIENT, HOUR, ORIGIN, SECOND, START, World, caller, pass, pick, tenant, value},
};
use crate::{
    credential::{
        Awaiting, Brought, BroughtGrant, Connected, ConsentError, Consented, DisconnectOutcome, EditError, Existing,
        Import, Refusal, SessionOutcome, SessionWish, TenantPolicy,
    },
    model::{
        GrantState, Identity, PatFallback, ScopeSet, Secret, SessionId, Timestamp, TokenSet, TokenType,
        token::DisconnectReason,
    },
    store::{Claim, Disconnection, Patience, RevocationId, StoreError},
};

const MINUTE: Duration = Duration::from_secs(60);

/// What a user's consent named `line` has brought, whose code came back now.
async fn consented(world: &World, line: &str, sub: &str) -> Consented {
    let outset = world.credentials.outset(&tenant("acme")).await.unwrap();
    let (access, refresh) = world.flexslot.issue(line);
    world.flexslot.name_user(line, sub, sub);
    let identity = Some(Identity { sub: sub.into(), username: Some(sub.into()) });
    let tokens = tokens(access, refresh, world.now().plus(HOUR));
    Consented { tokens, client_id: CLIENT.into(), origin: ORIGIN.parse().unwrap(), identity, outset }
}

fn tokens(access: Secret, refresh: Secret, expires_at: Timestamp) -> TokenSet {
    let scopes = ScopeSet::new("decks:read cards:read");
    TokenSet { access, refresh, token_type: TokenType::Bearer, scopes, expires_at, answered_at: Some(START), key: None }
}

async fn opened(world: &World) -> SessionId {
    let wish = SessionWish { tenant: tenant("acme"), scopes: None, return_to: None, client: None };
    world.credentials.open_session(wish).await.unwrap().id
}

async fn connect(world: &World, line: &str, sub: &str) -> Result<Connected, ConsentError> {
    let id = opened(world).await;
    world.credentials.connect(&id, consented(world, line, sub).await).await
}

async fn disconnect(world: &World) -> DisconnectOutcome {
    world.credentials.disconnect(&tenant("acme")).await.unwrap()
}

async fn grant(world: &World) -> GrantState {
    world.store.load(&tenant("acme")).await.unwrap().grant
}

/// The store is out of reach, or is so no more.
fn is_away(world: &World, away: bool) {
    world.backend.refuse_reads(away);
    world.backend.refuse_writes(away);
}

fn refusal(answer: &Answer) -> &Refusal {
    answer.as_ref().unwrap_err()
}

// === at once here, and soon elsewhere ===

#[tokio::test(start_paused = true)]
async fn a_connection_and_its_end_have_effect_at_once_here_and_within_two_seconds_elsewhere() {
    let world = World::new().await;
    let other = world.another();
    let _here = world.credentials.start().await.unwrap();
    let _there = other.credentials.start().await.unwrap();
    world.give_pat("acme").await;
    let policy = TenantPolicy { pat_fallback: PatFallback::Never, ..TenantPolicy::default() };
    let (mut world, mut other) = (world, other);
    world.set_policy("acme", policy.clone());
    other.set_policy("acme", policy);
    for it in [&world, &other] {
        let _ = pick(it, "acme").await;
    }
    connect(&world, "one", "u1").await.unwrap();
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.one.0");
    pass(&world, 2 * SECOND).await;
    assert_eq!(value(&pick(&other, "acme").await), "Bearer at.one.0");
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Revoked);
    let reconnect = Refusal::ReconnectRequired(DisconnectReason::Disconnected);
    assert_eq!(refusal(&pick(&world, "acme").await), &reconnect);
    pass(&world, 2 * SECOND).await;
    assert_eq!(refusal(&pick(&other, "acme").await), &reconnect);
    assert!(!world.flexslot.is_active("one"));
    assert_eq!(world.flexslot.introspections(), 0, "who connects has asked whose it is");
}

#[tokio::test(start_paused = true)]
async fn a_code_that_was_redeemed_is_stored_though_its_caller_goes_away() {
    let world = World::new().await;
    let id = opened(&world).await;
    let new = consented(&world, "one", "u1").await;
    world.backend.answer_after(3 * SECOND);
    let credentials = world.credentials.clone();
    let caller = tokio::spawn(async move { credentials.connect(&id, new).await });
    world.settle().await;
    caller.abort();
    pass(&world, MINUTE).await;
    assert!(matches!(grant(&world).await, GrantState::Connected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_moment_gets_the_grant_when_it_is_back() {
    let world = World::new().await;
    let id = opened(&world).await;
    let new = consented(&world, "one", "u1").await;
    is_away(&world, true);
    let credentials = world.credentials.clone();
    let caller = tokio::spawn(async move { credentials.connect(&id, new).await });
    pass(&world, 3 * SECOND).await;
    is_away(&world, false);
    pass(&world, SECOND).await;
    assert!(caller.await.unwrap().is_ok());
}

// === what is not wanted is revoked ===

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_for_its_session_is_revoked() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    let id = opened(&world).await;
    let new = consented(&world, "one", "u1").await;
    pass(&world, 10 * MINUTE).await;
    assert_eq!(world.credentials.connect(&id, new).await, Err(ConsentError::Unknown));
    assert_eq!(grant(&world).await, GrantState::NeverConnected);
    pass(&world, 10 * SECOND).await;
    assert_eq!(world.flexslot.revoked(), ["one.0"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_tabs_one_connects_and_the_other_ends_nothing() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    let id = opened(&world).await;
    let (one, two) = (consented(&world, "one", "u1").await, consented(&world, "two", "u1").await);
    let (first, second) = tokio::join!(world.credentials.connect(&id, one), world.credentials.connect(&id, two));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    pass(&world, MINUTE).await;
    assert!(world.flexslot.revoked().is_empty(), "it would end what the first has brought");
    assert!(pick(&world, "acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_an_app_does_not_complete_is_revoked_by_whichever_sidecar_lives() {
    let world = World::new().await;
    let id = opened(&world).await;
    let awaiting = Awaiting::Completion { code: Secret::new("the code") };
    world.credentials.park(&id, consented(&world, "one", "u1").await, awaiting).await.unwrap();
    assert_eq!(world.credentials.complete(&id, "a guess").await, Err(ConsentError::Mismatch));
    let other = world.another();
    drop(world);
    let _background = other.credentials.start().await.unwrap();
    pass(&other, 10 * MINUTE - SECOND).await;
    assert!(other.flexslot.is_active("one"));
    pass(&other, 10 * SECOND).await;
    assert_eq!(other.flexslot.revoked(), ["one.0"]);
    assert_eq!(grant(&other).await, GrantState::NeverConnected);
}

#[tokio::test(start_paused = true)]
async fn what_an_app_completes_is_used_at_once_and_never_revoked() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    let id = opened(&world).await;
    let awaiting = Awaiting::Completion { code: Secret::new("the code") };
    world.credentials.park(&id, consented(&world, "one", "u1").await, awaiting).await.unwrap();
    assert_eq!(refusal(&pick(&world, "acme").await), &Refusal::NotConnected);
    let connected = world.credentials.complete(&id, "the code").await.unwrap();
    assert_eq!(connected.identity.unwrap().sub, "u1");
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.one.0");
    pass(&world, 20 * MINUTE).await;
    assert!(world.flexslot.revoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_last_word_counts_although_the_stores_answer_was_lost() {
    for by_app in [true, false] {
        let world = World::new().await;
        let id = opened(&world).await;
        let awaiting = match by_app {
            true => Awaiting::Completion { code: Secret::new("the proof") },
            false => Awaiting::Confirmation { binding: Secret::new("the proof") },
        };
        world.credentials.park(&id, consented(&world, "one", "u1").await, awaiting).await.unwrap();
        world.backend.next_write(Fault::AnswerLost);
        let connected = match by_app {
            true => world.credentials.complete(&id, "the proof").await,
            false => world.credentials.confirm(&id, "the proof").await,
        };
        assert_eq!(connected.unwrap().identity.unwrap().sub, "u1");
        assert_eq!(value(&pick(&world, "acme").await), "Bearer at.one.0");
    }
}

#[tokio::test(start_paused = true)]
async fn another_users_grant_replaces_the_old_one_when_confirmed_and_the_old_one_is_revoked() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    assert_eq!(world.credentials.identity(&tenant("acme")).await.unwrap().unwrap().sub, "u1");
    let id = opened(&world).await;
    let awaiting = Awaiting::Confirmation { binding: Secret::new("the cookie") };
    world.credentials.park(&id, consented(&world, "two", "u2").await, awaiting).await.unwrap();
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.one.0", "until then the old one serves");
    world.credentials.confirm(&id, "the cookie").await.unwrap();
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.two.0");
    pass(&world, 10 * SECOND).await;
    assert_eq!(world.flexslot.revoked(), ["one.0"]);
}

#[tokio::test(start_paused = true)]
async fn who_cancels_keeps_the_old_grant() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    let id = opened(&world).await;
    let awaiting = Awaiting::Confirmation { binding: Secret::new("the cookie") };
    world.credentials.park(&id, consented(&world, "two", "u2").await, awaiting).await.unwrap();
    world.credentials.end_session(&id, SessionOutcome::Denied).await.unwrap();
    pass(&world, 10 * SECOND).await;
    assert_eq!(world.flexslot.revoked(), ["two.0"]);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.one.0");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_ended_by_itself_is_remembered_as_its_users() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    world.flexslot.revoke("one");
    pass(&world, HOUR).await;
    let _ = pick(&world, "acme").await;
    assert!(matches!(grant(&world).await, GrantState::Disconnected(_)));
    assert_eq!(world.credentials.identity(&tenant("acme")).await.unwrap().unwrap().sub, "u1");
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Ended);
    assert_eq!(world.credentials.identity(&tenant("acme")).await, Ok(None));
    assert!(world.flexslot.revoked().is_empty());
    assert_eq!(disconnect(&world).await, DisconnectOutcome::NothingToDisconnect);
}

// === disconnecting ===

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_last_word_is_revoked_with_a_disconnect() {
    let world = World::new().await;
    for (line, connected) in [("one", false), ("two", true)] {
        let id = opened(&world).await;
        let awaiting = Awaiting::Completion { code: Secret::new("the code") };
        world.credentials.park(&id, consented(&world, line, "u1").await, awaiting).await.unwrap();
        if connected {
            world.connect_to("acme", "three", HOUR, None).await;
        }
        assert_eq!(world.credentials.has_parked(&tenant("acme")).await, Ok(true));
        assert_eq!(disconnect(&world).await, DisconnectOutcome::Revoked);
        assert!(world.credentials.complete(&id, "the code").await.is_err());
    }
    assert_eq!(world.flexslot.revoked(), ["one.0", "three.0", "two.0"]);
}

#[tokio::test(start_paused = true)]
async fn with_flexslot_out_of_reach_a_grant_is_forgotten_at_once_and_revoked_later() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    for _ in 0..4 {
        world.flexslot.on_revoke(OnRevoke::NotSent);
    }
    world.flexslot.on_revoke(OnRevoke::RefuseForNow(Some(10 * MINUTE)));
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    assert!(refusal(&pick(&world, "acme").await) == &Refusal::ReconnectRequired(DisconnectReason::Disconnected));
    pass(&world, 5 * MINUTE).await;
    assert!(world.flexslot.on_revoke.lock().is_empty(), "each pause is longer than the last");
    assert!(world.flexslot.is_active("one"));
    pass(&world, 10 * MINUTE).await;
    assert_eq!(world.flexslot.revoked(), ["one.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_does_not_wait_for_ever() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    world.flexslot.on_revoke(OnRevoke::NeverAnswer);
    let began = tokio::time::Instant::now();
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    assert!(began.elapsed() <= 15 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_the_store_did_not_take_for_too_long_is_revoked_when_it_is_back() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    let (id, new) = (opened(&world).await, consented(&world, "one", "u1").await);
    is_away(&world, true);
    assert!(matches!(world.credentials.connect(&id, new).await, Err(ConsentError::Store(_))));
    is_away(&world, false);
    pass(&world, MINUTE).await;
    assert_eq!(world.flexslot.revoked(), ["one.0"]);
    assert_eq!(grant(&world).await, GrantState::NeverConnected);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_no_revocation_and_is_asked_again() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    world.flexslot.on_revoke(OnRevoke::Refuse);
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    assert!(world.flexslot.revoked().is_empty());
    pass(&world, HOUR).await;
    assert_eq!(world.flexslot.revoked().len(), 1, "once the client's secret is mended, say");
}

#[tokio::test(start_paused = true)]
async fn after_a_day_nobody_asks_any_more() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    for _ in 0..100 {
        world.flexslot.on_revoke(OnRevoke::NotSent);
    }
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    pass(&world, 25 * HOUR).await;
    let asked = 100 - world.flexslot.on_revoke.lock().len();
    assert!((15..60).contains(&asked), "{asked}");
    pass(&world, 25 * HOUR).await;
    assert_eq!(100 - world.flexslot.on_revoke.lock().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_sent_before_the_next_code_is_redeemed() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    world.flexslot.on_revoke(OnRevoke::NotSent);
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    world.credentials.clear_revocations(&tenant("acme")).await;
    assert_eq!(world.flexslot.revoked(), ["one.0"], "before its time has come");
}

#[tokio::test(start_paused = true)]
async fn a_code_waits_for_whoever_is_revoking() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    let gate = world.flexslot.hold_revocations();
    let credentials = world.credentials.clone();
    let disconnecting = tokio::spawn(async move { credentials.disconnect(&tenant("acme")).await });
    world.settle().await;
    let other = world.another();
    let credentials = other.credentials.clone();
    let clearing = tokio::spawn(async move { credentials.clear_revocations(&tenant("acme")).await });
    pass(&world, 5 * SECOND).await;
    assert!(!clearing.is_finished());
    gate.add_permits(1);
    pass(&world, SECOND).await;
    assert!(clearing.is_finished());
    assert_eq!(disconnecting.await.unwrap(), Ok(DisconnectOutcome::Revoked));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_revoked_once_the_next_grant_of_the_same_user_is_stored() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    world.flexslot.on_revoke(OnRevoke::NotSent);
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    connect(&world, "two", "u1").await.unwrap();
    pass(&world, 25 * HOUR).await;
    assert!(world.flexslot.revoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_waits_for_a_revocation_that_is_under_way() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    let gate = world.flexslot.hold_revocations();
    let credentials = world.credentials.clone();
    let disconnecting = tokio::spawn(async move { credentials.disconnect(&tenant("acme")).await });
    world.settle().await;
    let (other, id) = (world.another(), opened(&world).await);
    let (credentials, new) = (other.credentials.clone(), consented(&world, "two", "u1").await);
    let connecting = tokio::spawn(async move { credentials.connect(&id, new).await });
    pass(&world, 5 * SECOND).await;
    assert!(matches!(grant(&world).await, GrantState::Disconnected(_)), "not stored yet");
    gate.add_permits(1);
    pass(&world, SECOND).await;
    assert!(connecting.await.unwrap().is_ok());
    assert_eq!(disconnecting.await.unwrap(), Ok(DisconnectOutcome::Revoked));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_whose_owner_dies_is_taken_over() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    let Disconnection::ToRevoke(grants) = world.store.disconnect(&tenant("acme")).await.unwrap() else { panic!() };
    let id = RevocationId { tenant: tenant("acme"), grant: grants[0] };
    let claim = world.store.claim_revocation(&id, Patience::AtOnce).await.unwrap();
    assert!(matches!(claim, Claim::Ours(_)), "and is never heard of again");
    let _background = world.credentials.start().await.unwrap();
    pass(&world, 25 * SECOND).await;
    assert!(world.flexslot.revoked().is_empty());
    pass(&world, 15 * SECOND).await;
    assert_eq!(world.flexslot.revoked(), ["one.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_upstream_is_not_told_to_this_one() {
    let mut world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    world.move_upstream_to("https://other.test");
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    let _background = world.credentials.start().await.unwrap();
    pass(&world, HOUR).await;
    assert!(world.flexslot.revoked().is_empty());
    world.move_upstream_to(ORIGIN);
    pass(&world, 2 * HOUR).await;
    assert_eq!(world.flexslot.revoked(), ["one.0"]);
}

// === against a refresh in flight ===

/// A tenant whose refresh is under way: Flexslot has rotated, and its answer waits for the gate.
async fn in_flight(world: &World) -> Arc<Semaphore> {
    connect(world, "one", "u1").await.unwrap();
    pass(world, HOUR).await;
    let gate = world.flexslot.hold();
    drop(caller(world, "acme"));
    world.settle().await;
    assert_eq!(world.flexslot.requests(), 1);
    gate
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_comes_back_after_a_disconnect_is_revoked_and_never_stored() {
    for by_other in [false, true] {
        let world = World::new().await;
        let _background = world.credentials.start().await.unwrap();
        let gate = in_flight(&world).await;
        let other = world.another();
        assert_eq!(disconnect(if by_other { &other } else { &world }).await, DisconnectOutcome::Revoked);
        assert!(world.flexslot.is_active("one"), "the token that was presented is spent");
        gate.add_permits(1);
        pass(&world, 10 * SECOND).await;
        assert_eq!(world.flexslot.revoked(), ["one.0", "one.1"]);
        assert!(!world.flexslot.is_active("one"));
        assert!(matches!(grant(&world).await, GrantState::Disconnected(end) if end.version.number() == 1));
        assert!(pick(&world, "acme").await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_comes_back_after_a_reconnect_or_a_removal_is_dropped() {
    for removed in [false, true] {
        let world = World::new().await;
        let _background = world.credentials.start().await.unwrap();
        let gate = in_flight(&world).await;
        if removed {
            let _ = world.credentials.remove(&tenant("acme")).await.unwrap();
        } else {
            assert_eq!(disconnect(&world).await, DisconnectOutcome::Revoked);
            connect(&world, "two", "u1").await.unwrap();
        }
        let before = grant(&world).await;
        let told = world.flexslot.revoked();
        gate.add_permits(1);
        pass(&world, 10 * SECOND).await;
        assert_eq!(grant(&world).await, before);
        assert_eq!(world.flexslot.revoked(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_waits_for_the_store_is_the_one_that_is_revoked() {
    let world = World::new().await;
    let gate = in_flight(&world).await;
    is_away(&world, true);
    gate.add_permits(1);
    world.settle().await;
    assert_eq!(world.credentials.health().waiting, 1);
    is_away(&world, false);
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Revoked);
    assert_eq!(world.flexslot.revoked(), ["one.1"]);
    assert!(!world.flexslot.is_active("one"));
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_another_process_holds_is_revoked_when_it_is_offered() {
    let world = World::new().await;
    let other = world.another();
    let gate = in_flight(&world).await;
    is_away(&world, true);
    gate.add_permits(1);
    world.settle().await;
    assert_eq!(world.credentials.health().waiting, 1);
    is_away(&world, false);
    assert_eq!(disconnect(&other).await, DisconnectOutcome::Revoked);
    let _background = world.credentials.start().await.unwrap();
    pass(&world, 10 * SECOND).await;
    assert_eq!(world.flexslot.revoked(), ["one.0", "one.1"]);
    assert_eq!(world.credentials.health().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pair_in_the_spool_is_revoked_by_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new().await.another_in(Some(dir.path()));
    let gate = in_flight(&world).await;
    is_away(&world, true);
    gate.add_permits(1);
    pass(&world, SECOND).await;
    assert_eq!((world.credentials.health().waiting, world.credentials.health().at_risk), (1, 0));
    is_away(&world, false);
    let next = world.another_in(Some(dir.path()));
    drop(world);
    assert_eq!(disconnect(&next).await, DisconnectOutcome::Revoked);
    let _background = next.credentials.start().await.unwrap();
    pass(&next, 10 * SECOND).await;
    assert_eq!(next.flexslot.revoked(), ["one.0", "one.1"]);
    assert!(matches!(grant(&next).await, GrantState::Disconnected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_flexslot_refuses_because_of_the_disconnect_changes_nothing() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    pass(&world, HOUR).await;
    let gate = world.flexslot.hold();
    world.flexslot.will(Behaviour::NotSent);
    drop(caller(&world, "acme"));
    world.settle().await;
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Revoked);
    gate.add_permits(1);
    pass(&world, SECOND).await;
    assert!(
        matches!(grant(&world).await, GrantState::Disconnected(end) if end.reason == DisconnectReason::Disconnected)
    );
}

// === when the store travels ===

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_the_store_has_lost_is_written_back_and_revoked() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    assert!(pick(&world, "acme").await.is_ok(), "who has it in memory knows of its end too");
    let copy = world.backend.inner.snapshot();
    world.flexslot.on_revoke(OnRevoke::NotSent);
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Queued);
    pass(&world, SECOND).await;
    world.backend.inner.restore(copy);
    assert!(matches!(grant(&world).await, GrantState::Connected(_)), "as it was");
    pass(&world, 30 * SECOND).await;
    assert!(matches!(grant(&world).await, GrantState::Disconnected(_)));
    assert_eq!(world.flexslot.revoked(), ["one.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_pair_does_not_outlive_its_disconnect_by_a_store_that_comes_back_older() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    let gate = in_flight(&world).await;
    let copy = world.backend.inner.snapshot();
    assert_eq!(disconnect(&world).await, DisconnectOutcome::Revoked);
    world.backend.inner.restore(copy);
    gate.add_permits(1);
    pass(&world, 30 * SECOND).await;
    assert!(matches!(grant(&world).await, GrantState::Disconnected(_)));
    assert!(!world.flexslot.is_active("one"), "{:?}", world.flexslot.revoked());
}

#[tokio::test(start_paused = true)]
async fn a_later_pair_in_a_store_that_has_lost_the_disconnect_does_not_bring_the_grant_back() {
    let world = World::new().await;
    let other = world.another();
    connect(&world, "one", "u1").await.unwrap();
    assert!(pick(&other, "acme").await.is_ok(), "who has it in memory knows of its end too");
    pass(&world, HOUR).await;
    let gate = world.flexslot.hold();
    drop(caller(&world, "acme"));
    world.settle().await;
    assert_eq!(world.flexslot.requests(), 1);
    let copy = world.backend.inner.snapshot();
    assert_eq!(disconnect(&other).await, DisconnectOutcome::Revoked);
    world.backend.inner.restore(copy);
    gate.add_permits(1);
    world.settle().await;
    assert!(matches!(grant(&world).await, GrantState::Connected(grant) if grant.version.number() == 2));
    let _background = other.credentials.start().await.unwrap();
    pass(&world, 30 * SECOND).await;
    assert!(matches!(grant(&world).await, GrantState::Disconnected(_)));
    assert_eq!(world.flexslot.revoked(), ["one.0", "one.1"]);
    assert!(!world.flexslot.is_active("one"));
}

// === what apps and people put in ===

#[tokio::test(start_paused = true)]
async fn a_pat_is_used_at_once_and_gone_at_once() {
    let world = World::new().await;
    world.credentials.set_pat(&tenant("acme"), Secret::new("flx_pat_1")).await.unwrap();
    assert_eq!(value(&pick(&world, "acme").await), "Bearer flx_pat_1");
    world.credentials.set_pat(&tenant("acme"), Secret::new("flx_pat_2")).await.unwrap();
    assert_eq!(value(&pick(&world, "acme").await), "Bearer flx_pat_2");
    assert_eq!(world.credentials.remove_pat(&tenant("acme")).await, Ok(true));
    assert_eq!(refusal(&pick(&world, "acme").await), &Refusal::NotConnected);
    assert_eq!(world.credentials.remove_pat(&tenant("acme")).await, Ok(false));
    let malformed = world.credentials.set_pat(&tenant("acme"), Secret::new("flx pat")).await;
    assert_eq!(malformed, Err(EditError::Malformed));
}

#[tokio::test(start_paused = true)]
async fn a_pat_of_the_configuration_is_changed_there() {
    let mut world = World::new().await;
    let policy = TenantPolicy { pat: Some(Secret::new("flx_pat_file")), ..TenantPolicy::default() };
    world.set_policy("acme", policy);
    let pat = || Secret::new("flx_pat_1");
    assert_eq!(world.credentials.set_pat(&tenant("acme"), pat()).await, Err(EditError::PatIsConfigured));
    assert_eq!(world.credentials.remove_pat(&tenant("acme")).await, Err(EditError::PatIsConfigured));
    let brought = Brought { pat: Some(pat()), grant: None };
    let import = world.credentials.import_grant(&tenant("acme"), brought, Existing::Replace).await;
    assert_eq!(import, Err(EditError::PatIsConfigured));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_an_app_brings_is_used_at_once_and_is_nobodys_that_is_known() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    let brought = |client: &str| {
        let (access, refresh) = world.flexslot.issue("two");
        let tokens = tokens(access, refresh, START.plus(HOUR));
        Brought { pat: None, grant: Some(BroughtGrant { client_id: client.into(), tokens }) }
    };
    let import = async |brought, existing| world.credentials.import_grant(&tenant("acme"), brought, existing).await;
    assert_eq!(import(brought("other"), Existing::Replace).await, Err(EditError::UnknownClient("other".into())));
    assert_eq!(import(brought(CLIENT), Existing::Skip).await, Ok(Import::Skipped));
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.one.0");
    assert_eq!(import(brought(CLIENT), Existing::Replace).await, Ok(Import::Replaced));
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.two.0");
    assert_eq!(world.credentials.identity(&tenant("acme")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_removed_tenant_is_gone_at_once_and_nothing_is_revoked() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    connect(&world, "one", "u1").await.unwrap();
    world.give_pat("acme").await;
    assert!(pick(&world, "acme").await.is_ok());
    let removed = world.credentials.remove(&tenant("acme")).await.unwrap();
    assert!(removed.grant && removed.pat);
    assert!(pick(&world, "acme").await.is_err());
    pass(&world, MINUTE).await;
    assert!(world.flexslot.revoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_the_store_out_of_reach_nothing_is_disconnected() {
    let world = World::new().await;
    connect(&world, "one", "u1").await.unwrap();
    is_away(&world, true);
    let failed = world.credentials.disconnect(&tenant("acme")).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))));
    assert!(world.flexslot.revoked().is_empty());
}

/// The client that is chosen for a session of acme's; `None`: the usual one.
async fn chosen(world: &World, client: Option<&str>) -> Option<String> {
    let callback = "http://127.0.0.1:3540/oauth/callback".parse().unwrap();
    let client = client.map(str::to_owned);
    let wish = SessionWish { tenant: tenant("acme"), scopes: None, return_to: None, client };
    world.credentials.choose_client(wish, &callback).await.unwrap().unwrap().client
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_asked_by_the_client_of_its_last_connection_as_long_as_that_can_ask() {
    let world = World::new().await;
    *world.flexslot.asking.lock() = vec!["usual", CLIENT];
    assert_eq!(chosen(&world, None).await, None);
    world.connect("acme", HOUR, None).await;
    assert_eq!(chosen(&world, None).await.as_deref(), Some(CLIENT));
    assert_eq!(chosen(&world, Some("usual")).await.as_deref(), Some("usual"));
    disconnect(&world).await;
    assert_eq!(chosen(&world, None).await.as_deref(), Some(CLIENT), "also after its end");
    *world.flexslot.asking.lock() = vec!["usual"];
    assert_eq!(chosen(&world, None).await, None);
}
