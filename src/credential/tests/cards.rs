//! One card: every state and every reason, and what comes before what.

use std::time::Duration;

use super::{
    flexslot::Behaviour,
    world::{CLIENT, HOUR, ORIGIN, SECOND, START, World, ask, ask_for, caller, pass, pick, tenant},
};
use crate::{
    credential::{Ask, CardQuery, PathClass, TenantPolicy, Unauthorized},
    model::{
        Card, ConnectionState, CredentialKind, GrantState, Identity, NextStep, PatFallback, PatState, ProofKey, Reason,
        Scope, ScopeSet, Secret,
        observe::RetryOutcome,
        scope::{Access, Resource},
        token::{Attempt, DisconnectReason, Intent, Owner},
    },
    store::{
        Cas, IdentityRecord, Settlement, StoredPat,
        backend::{Backend, Change, Expect, Key, Kind},
        record::Body,
    },
};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
const MOMENT: Duration = Duration::from_millis(1);

type Said = (ConnectionState, Option<Reason>, Option<NextStep>);

async fn card(world: &World, name: &str) -> Card {
    world.credentials.card(&tenant(name)).await.unwrap().unwrap()
}

/// What the card of `name` says of the connection, and what a request gets.
async fn said(world: &World, name: &str) -> (Said, Option<CredentialKind>) {
    let Card { state, reason, next_step, serves, .. } = card(world, name).await;
    ((state, reason, next_step), serves)
}

pub(super) fn file_pat() -> TenantPolicy {
    TenantPolicy { pat: Some(Secret::new("flx_pat_file")), ..TenantPolicy::default() }
}

/// The intent of a token request for the tenant's grant is in the store.
async fn begin(world: &World, name: &str) -> Intent {
    let record = world.store.load(&tenant(name)).await.unwrap();
    let grant = record.grant.grant().unwrap();
    let intent = Intent {
        grant: grant.id,
        version: grant.version,
        refresh_hash: grant.tokens.refresh_hash(),
        owner: Owner { host: "elsewhere".into(), instance: "1".into() },
        at: START,
        attempt: Attempt::First,
    };
    assert_eq!(world.store.begin(&tenant(name), record.revision.unwrap(), grant, &intent).await, Ok(Cas::Stored));
    intent
}

/// The tenant's grant ends in the store.
pub(super) async fn end(world: &World, name: &str, reason: DisconnectReason) {
    let intent = begin(world, name).await;
    let GrantState::Uncertain(grant, _) = world.store.load(&tenant(name)).await.unwrap().grant else { panic!() };
    let settlement = Settlement::Ended(grant.disconnected(reason, START));
    assert_eq!(world.store.settle(&tenant(name), &intent, settlement).await, Ok(Cas::Stored));
}

/// A token request for the tenant's expired token is answered, and the store takes nothing from then on until it takes
/// writes again.
pub(super) async fn renew_without_the_store(world: &World, name: &'static str) {
    world.backend.refuse_writes(false);
    let gate = world.flexslot.hold();
    let caller = caller(world, name);
    world.settle().await;
    world.backend.refuse_writes(true);
    gate.add_permits(1);
    let _ = caller.await.unwrap();
    *world.flexslot.gate.lock() = None;
}

pub(super) async fn spoil(world: &World, kind: Kind, name: &str) {
    let key = Key::new(kind, name);
    let label = world.backend.get(std::slice::from_ref(&key)).await.unwrap()[0].as_ref().unwrap().label;
    let change = Change { key, expect: Expect::Anything, label, body: Body::from_stored(b"{\"format\":9}".to_vec()) };
    let _ = world.backend.write(vec![change]).await.unwrap();
}

// === a grant that holds ===

#[tokio::test(start_paused = true)]
async fn a_grant_that_holds_is_connected() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(Duration::ZERO)).await;
    let expected = Card {
        tenant: tenant("acme"),
        state: ConnectionState::Connected,
        serves: Some(CredentialKind::OAuth),
        username: None,
        scopes: ScopeSet::new("decks:read cards:read"),
        lacks: ScopeSet::unknown(),
        pat: PatState::None,
        last_used: None,
        expires_at: Some(START.plus(HOUR)),
        refresh_expires_at: Some(START.plus(30 * DAY)),
        reason: None,
        next_step: None,
    };
    assert_eq!(card(&world, "acme").await, expected);
}

#[tokio::test(start_paused = true)]
async fn of_an_imported_pair_nobody_knows_when_its_refresh_token_ends() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let card = card(&world, "acme").await;
    assert_eq!((card.state, card.refresh_expires_at), (ConnectionState::Connected, None));
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_less_than_seven_days_left_is_expiring() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(23 * DAY)).await;
    world.connect("beta", HOUR, Some(23 * DAY + MOMENT)).await;
    let oauth = Some(CredentialKind::OAuth);
    assert_eq!(said(&world, "acme").await, ((ConnectionState::Connected, None, None), oauth));
    assert_eq!(said(&world, "beta").await, ((ConnectionState::Expiring, None, Some(NextStep::Reconnect)), oauth));
}

/// Only Flexslot knows whether it is over. The next request asks, and is told; until then nothing stops on a guess.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_not_used_for_thirty_days_is_still_asked_for() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(30 * DAY)).await;
    let probably = Some(Reason::ProbablyExpired);
    let expected = ((ConnectionState::Expiring, probably, Some(NextStep::Reconnect)), Some(CredentialKind::OAuth));
    assert_eq!(said(&world, "acme").await, expected);
    assert!(pick(&world, "acme").await.is_ok());
    assert_eq!(said(&world, "acme").await, ((ConnectionState::Connected, None, None), Some(CredentialKind::OAuth)));
}

#[tokio::test(start_paused = true)]
async fn a_token_request_without_an_answer_is_told() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(31 * DAY)).await;
    begin(&world, "acme").await;
    let (said, _) = said(&world, "acme").await;
    assert_eq!(said.1, Some(Reason::RefreshUncertain), "it is just being found out whether it has expired");
}

// === a grant that has ended ===

#[tokio::test(start_paused = true)]
async fn a_grant_that_flexslot_has_ended_asks_to_be_connected_again() {
    for (reason, shown) in [
        (DisconnectReason::InvalidGrant, Reason::InvalidGrant),
        (DisconnectReason::RefreshOutcomeLost, Reason::RefreshOutcomeLost),
    ] {
        let world = World::new().await;
        world.connect("acme", HOUR, None).await;
        end(&world, "acme", reason).await;
        let expected = (ConnectionState::ReconnectRequired, Some(shown), Some(NextStep::Reconnect));
        assert_eq!(said(&world, "acme").await, (expected.clone(), None));
        let gone = card(&world, "acme").await;
        assert_eq!((gone.scopes.as_str(), gone.expires_at, gone.refresh_expires_at), (None, None, None));
        world.give_pat("acme").await;
        assert_eq!(said(&world, "acme").await, (expected, Some(CredentialKind::Pat)), "the PAT stands in");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_disconnected_here_is_not_connected() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    end(&world, "acme", DisconnectReason::Disconnected).await;
    let expected = (ConnectionState::NotConnected, Some(Reason::Disconnected), Some(NextStep::Connect));
    assert_eq!(said(&world, "acme").await, (expected.clone(), None));
    world.give_pat("acme").await;
    assert_eq!(said(&world, "acme").await, (expected, Some(CredentialKind::Pat)));
}

// === no grant ===

#[tokio::test(start_paused = true)]
async fn a_tenant_that_only_the_file_names_has_a_card_and_one_that_nobody_knows_has_none() {
    let mut world = World::new().await;
    world.set_policy("acme", TenantPolicy::default());
    world.set_policy("beta", file_pat());
    let never = (ConnectionState::NotConnected, None, Some(NextStep::Connect));
    assert_eq!(said(&world, "acme").await, (never.clone(), None));
    assert_eq!(said(&world, "beta").await, (never, Some(CredentialKind::Pat)));
    assert_eq!(card(&world, "beta").await.pat, PatState::Ok);
    assert_eq!(world.credentials.card(&tenant("nobody")).await, Ok(None));
    assert_eq!(format!("{:?}", world.credentials), "Credentials { tenants: 0, .. }", "nothing was loaded for it");
}

#[tokio::test(start_paused = true)]
async fn a_removed_tenant_has_no_card() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    assert_eq!(world.credentials.card(&tenant("acme")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_use_a_grant_is_asked_for_a_pat() {
    let mut world = World::new().await;
    world.set_policy("acme", TenantPolicy { credentials: vec![CredentialKind::Pat], ..TenantPolicy::default() });
    assert_eq!(said(&world, "acme").await.0.2, Some(NextStep::SetPat));
    world.give_pat("acme").await;
    assert_eq!(said(&world, "acme").await.0.2, None);
}

// === errors ===

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_is_an_error_that_names_it() {
    for kind in [Kind::Grant, Kind::Pat] {
        let mut world = World::new().await;
        world.connect("acme", HOUR, None).await;
        world.give_pat("acme").await;
        spoil(&world, kind, "acme").await;
        let ((state, reason, next_step), serves) = said(&world, "acme").await;
        assert_eq!((state, next_step, serves), (ConnectionState::Error, Some(NextStep::FixConfig), None));
        let Some(Reason::Unreadable(what)) = reason else { panic!("{reason:?}") };
        assert!(what.starts_with(&format!("{} acme: ", kind.as_str())), "{what}");
        assert!(pick(&world, "acme").await.is_err());
        world.set_policy("acme", file_pat());
        assert_eq!(
            said(&world, "acme").await.1,
            Some(CredentialKind::Pat),
            "the file's serves whatever the store says"
        );
        assert!(pick(&world, "acme").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_did_not_open_is_an_error_until_it_is_another_one() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", HOUR, None).await;
    world.connect("beta", HOUR, None).await;
    let mut rows = world.backend.get(&[Key::new(Kind::Grant, "acme"), Key::new(Kind::Grant, "beta")]).await.unwrap();
    let (beta, acme) = (rows.pop().flatten().unwrap(), rows.pop().flatten().unwrap());
    let put = async |body: Body, label| {
        let change = Change { key: Key::new(Kind::Grant, "acme"), expect: Expect::Anything, label, body };
        let _ = world.backend.write(vec![change]).await.unwrap();
    };
    put(beta.body.clone(), beta.label).await;
    assert_eq!(said(&world, "acme").await.0.0, ConnectionState::Connected, "nothing is opened for a card");
    assert!(pick(&world, "acme").await.is_err());
    let ((state, reason, _), serves) = said(&world, "acme").await;
    assert_eq!((state, serves), (ConnectionState::Error, None));
    assert!(matches!(reason, Some(Reason::Unreadable(what)) if what.contains("access_token")));
    put(acme.body.clone(), acme.label).await;
    pass(&world, 2 * SECOND).await;
    assert_eq!(said(&world, "acme").await, ((ConnectionState::Connected, None, None), Some(CredentialKind::OAuth)));
}

#[tokio::test(start_paused = true)]
async fn what_was_known_of_a_tenant_goes_on_serving_when_its_record_cannot_be_read_any_more() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    assert!(pick(&world, "acme").await.is_ok());
    spoil(&world, Kind::Grant, "acme").await;
    let ((state, ..), serves) = said(&world, "acme").await;
    assert_eq!((state, serves), (ConnectionState::Error, Some(CredentialKind::OAuth)));
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_this_configuration_must_not_present_is_an_error() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.connect("beta", HOUR, None).await;
    world.give_pat("beta").await;
    world.move_grants_to("cli_other");
    let error = (ConnectionState::Error, Some(Reason::OtherClient(CLIENT.into())), Some(NextStep::FixConfig));
    assert_eq!(said(&world, "acme").await, (error.clone(), None));
    assert_eq!(said(&world, "beta").await, (error, Some(CredentialKind::Pat)));
    world.move_upstream_to("https://staging.example.com");
    let other = Reason::OtherOrigin(ORIGIN.parse().unwrap());
    assert_eq!(said(&world, "acme").await.0.1, Some(other), "whose origin is another is not asked for its client");
}

#[tokio::test(start_paused = true)]
async fn a_lone_pat_of_another_origin_is_an_error_and_counts_as_none() {
    let mut world = World::new().await;
    world.give_pat("acme").await;
    world.move_upstream_to("https://staging.example.com");
    let other = Reason::OtherOrigin(ORIGIN.parse().unwrap());
    let error = (ConnectionState::Error, Some(other), Some(NextStep::FixConfig));
    assert_eq!(said(&world, "acme").await, (error, None));
    assert_eq!(card(&world, "acme").await.pat, PatState::None);
}

#[tokio::test(start_paused = true)]
async fn a_pat_that_cannot_stand_in_a_header_is_an_error() {
    let mut world = World::new().await;
    world.set_policy("acme", TenantPolicy { pat: Some(Secret::new("flx pat")), ..TenantPolicy::default() });
    let ((state, reason, _), serves) = said(&world, "acme").await;
    assert_eq!((state, serves), (ConnectionState::Error, None));
    assert!(matches!(reason, Some(Reason::Unreadable(what)) if what.contains("header") && !what.contains("flx pat")));
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_is_an_error_where_no_proof_may_be_made() {
    let mut world = World::new().await;
    world.connect_bound("acme", HOUR, Some(ProofKey::generate())).await;
    assert_eq!(said(&world, "acme").await, ((ConnectionState::Connected, None, None), Some(CredentialKind::OAuth)));
    world.make_no_proofs();
    let error = (ConnectionState::Error, Some(Reason::TokenUnusable), Some(NextStep::FixConfig));
    assert_eq!(said(&world, "acme").await, (error, None));
}

/// Flexslot has said whose the tenant's grant is, and perhaps another user since.
async fn say_whose(world: &World, name: &str, username: &str, other_sub: Option<&str>) {
    let tenant = tenant(name);
    let grant = world.store.load(&tenant).await.unwrap().grant.id().unwrap();
    let identity = Some(Identity { sub: format!("sub-{name}"), username: Some(username.into()) });
    let other_sub = other_sub.map(str::to_owned);
    let record = IdentityRecord { identity, checked_at: START, other_sub, ..IdentityRecord::unasked(grant) };
    let found = world.store.identities(std::slice::from_ref(&tenant)).await.unwrap().remove(0).unwrap();
    assert_eq!(world.store.put_identity(&tenant, &found, &record).await, Ok(Cas::Stored));
}

#[tokio::test(start_paused = true)]
async fn a_card_names_the_user_of_its_own_grant() {
    let world = World::new().await;
    for name in ["acme", "beta", "gamma"] {
        world.connect(name, HOUR, None).await;
        say_whose(&world, name, "george", None).await;
    }
    let username = async |name| card(&world, name).await.username;
    assert_eq!(username("acme").await.as_deref(), Some("george"));
    end(&world, "acme", DisconnectReason::InvalidGrant).await;
    assert_eq!(username("acme").await.as_deref(), Some("george"), "to be recognised when connecting again");
    end(&world, "beta", DisconnectReason::Disconnected).await;
    assert_eq!(username("beta").await, None);
    world.connect_to("gamma", "another", HOUR, None).await;
    assert_eq!(username("gamma").await, None, "of the grant before");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_became_anothers_is_an_error() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.connect("beta", HOUR, None).await;
    say_whose(&world, "acme", "george", Some("sub-other")).await;
    let error = (ConnectionState::Error, Some(Reason::SubjectChanged), Some(NextStep::Reconnect));
    assert_eq!(said(&world, "acme").await, (error, Some(CredentialKind::OAuth)));
    for (state, expected) in [(ConnectionState::Error, "acme"), (ConnectionState::Connected, "beta")] {
        let query = CardQuery { state: Some(state), limit: 5, ..CardQuery::default() };
        let cards = world.credentials.cards(&query).await.unwrap().cards;
        assert_eq!(cards.iter().map(|card| card.tenant.as_str()).collect::<Vec<_>>(), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_it_cannot_be_read_whose_a_grant_is_the_card_does_without() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    say_whose(&world, "acme", "george", None).await;
    spoil(&world, Kind::Identity, "acme").await;
    let acme = card(&world, "acme").await;
    assert_eq!((acme.state, acme.username), (ConnectionState::Connected, None));
}

/// Flexslot refuses the token, and the one that a refresh brings.
async fn refuse_anew(world: &World, name: &str) -> crate::credential::Picked {
    let name = tenant(name);
    let first = world.credentials.pick(&ask(&name)).await.unwrap();
    let Unauthorized::Retry(second) = world.credentials.unauthorized(&ask(&name), &first).await else { panic!() };
    world.credentials.retried(&ask(&name), &second, RetryOutcome::StillUnauthorized);
    second
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_was_just_refreshed_is_an_error_until_one_is_taken() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let refused = refuse_anew(&world, "acme").await;
    let error = (ConnectionState::Error, Some(Reason::UnauthorizedAfterRefresh), None);
    assert_eq!(said(&world, "acme").await, (error, Some(CredentialKind::OAuth)), "it is sent all the same");
    world.credentials.accepted(&ask(&tenant("acme")), &refused);
    assert_eq!(said(&world, "acme").await, ((ConnectionState::Connected, None, None), Some(CredentialKind::OAuth)));
}

#[tokio::test(start_paused = true)]
async fn what_was_found_out_about_a_grant_is_not_told_of_the_next_one() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    refuse_anew(&world, "acme").await;
    world.connect_to("acme", "again", HOUR, None).await;
    assert_eq!(said(&world, "acme").await.0, (ConnectionState::Connected, None, None));
}

// === refreshes that fail ===

#[tokio::test(start_paused = true)]
async fn an_expired_token_that_cannot_be_refreshed_for_now_is_told_and_the_pat_stands_in() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, None).await;
    world.connect("beta", Duration::ZERO, None).await;
    world.give_pat("beta").await;
    for (name, serves) in [("acme", None), ("beta", Some(CredentialKind::Pat))] {
        assert_eq!(said(&world, name).await.1, Some(CredentialKind::OAuth), "nobody has tried");
        world.flexslot.will(Behaviour::NotSent);
        assert_eq!(pick(&world, name).await.is_ok(), serves.is_some());
        let expected = ((ConnectionState::Connected, Some(Reason::RefreshUnavailable), None), serves);
        assert_eq!(said(&world, name).await, expected, "{name}");
    }
    tokio::time::advance(60 * SECOND).await;
    assert_eq!(said(&world, "acme").await.1, Some(CredentialKind::OAuth), "the next request tries again");
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_of_a_token_that_still_serves_is_not_told() {
    let world = World::new().await;
    world.connect("acme", Duration::from_secs(60), Some(HOUR)).await;
    world.flexslot.will(Behaviour::NotSent);
    assert!(pick(&world, "acme").await.is_ok());
    world.settle().await;
    assert_eq!(said(&world, "acme").await.0, (ConnectionState::Connected, None, None));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_flexslot_refuses_for_the_configurations_sake_is_an_error() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, None).await;
    world.flexslot.will(Behaviour::Misconfigured);
    assert!(pick(&world, "acme").await.is_err());
    let error = (ConnectionState::Error, Some(Reason::RefreshMisconfigured), Some(NextStep::FixConfig));
    assert_eq!(said(&world, "acme").await, (error, None));
}

// === PATs ===

#[tokio::test(start_paused = true)]
async fn a_pat_that_stands_in_for_some_requests_is_told() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    assert_eq!(said(&world, "acme").await.0.1, None);
    let acme = tenant("acme");
    let write = ask_for(&acme, Scope(Resource::Decks, Access::Write));
    assert_eq!(world.credentials.pick(&write).await.unwrap().kind, CredentialKind::Pat);
    let stands_in = (ConnectionState::Connected, Some(Reason::PatStandsIn), None);
    assert_eq!(said(&world, "acme").await, (stands_in, Some(CredentialKind::OAuth)));
}

async fn reject_pat(world: &World, name: &str) {
    let name = tenant(name);
    let ask = Ask { class: PathClass::PatOnly, ..ask(&name) };
    for _ in 0..3 {
        let pat = world.credentials.pick(&ask).await.unwrap();
        assert!(matches!(world.credentials.unauthorized(&ask, &pat).await, Unauthorized::Pass));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_pat_is_told_and_a_card_is_nobodys_probe() {
    let mut world = World::new().await;
    world.give_pat("acme").await;
    world.set_policy("beta", file_pat());
    world.connect("gamma", HOUR, None).await;
    world.give_pat("gamma").await;
    for name in ["acme", "beta", "gamma"] {
        reject_pat(&world, name).await;
        assert_eq!(card(&world, name).await.pat, PatState::Rejected);
    }
    let set = |state| (state, Some(Reason::PatRejected), Some(NextStep::SetPat));
    assert_eq!(said(&world, "acme").await, (set(ConnectionState::NotConnected), None));
    assert_eq!(said(&world, "beta").await, (set(ConnectionState::NotConnected), None));
    assert_eq!(said(&world, "gamma").await, (set(ConnectionState::Connected), Some(CredentialKind::OAuth)));
    tokio::time::advance(60 * SECOND).await;
    for _ in 0..2 {
        assert_eq!(said(&world, "acme").await.1, None);
    }
    assert!(pick(&world, "acme").await.is_ok(), "the probe is the request's");
}

// === what comes before what ===

#[tokio::test(start_paused = true)]
async fn what_has_to_be_mended_first_is_told_first() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, Some(25 * DAY)).await;
    world.give_pat("acme").await;
    reject_pat(&world, "acme").await;
    let reason = async |world: &World| said(world, "acme").await.0.1;
    assert_eq!(reason(&world).await, Some(Reason::PatRejected));
    refuse_anew(&world, "acme").await;
    assert_eq!(reason(&world).await, Some(Reason::UnauthorizedAfterRefresh));
    world.move_grants_to("cli_other");
    assert_eq!(reason(&world).await, Some(Reason::OtherClient(CLIENT.into())));
    spoil(&world, Kind::Pat, "acme").await;
    assert!(matches!(reason(&world).await, Some(Reason::Unreadable(_))));
}

#[tokio::test(start_paused = true)]
async fn how_a_grant_ended_is_told_before_what_is_wrong_with_the_pat() {
    for (ended, shown) in
        [(DisconnectReason::InvalidGrant, Reason::InvalidGrant), (DisconnectReason::Disconnected, Reason::Disconnected)]
    {
        let world = World::new().await;
        world.connect("acme", HOUR, None).await;
        world.give_pat("acme").await;
        end(&world, "acme", ended).await;
        reject_pat(&world, "acme").await;
        assert_eq!(said(&world, "acme").await.0.1, Some(shown));
    }
}

// === what only this process knows ===

#[tokio::test(start_paused = true)]
async fn an_outcome_that_the_store_has_still_to_take_is_shown() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(29 * DAY)).await;
    world.connect("beta", Duration::ZERO, None).await;
    renew_without_the_store(&world, "acme").await;
    let renewed = card(&world, "acme").await;
    assert_eq!((renewed.state, renewed.reason), (ConnectionState::Connected, None));
    assert_eq!(renewed.refresh_expires_at, Some(START.plus(30 * DAY)));

    world.flexslot.revoke("beta");
    renew_without_the_store(&world, "beta").await;
    let ended = (ConnectionState::ReconnectRequired, Some(Reason::InvalidGrant), Some(NextStep::Reconnect));
    assert_eq!(said(&world, "beta").await, (ended, None));
}

#[tokio::test(start_paused = true)]
async fn a_use_is_shown_before_the_store_is_told() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    pass(&world, 5 * SECOND).await;
    assert!(pick(&world, "acme").await.is_ok());
    assert_eq!(card(&world, "acme").await.last_used, Some(START.plus(5 * SECOND)));
}

// === serves ===

/// Whatever there is of a tenant: before anything is loaded, and once it is.
#[tokio::test(start_paused = true)]
async fn what_a_card_says_is_served_is_what_a_request_gets() {
    use CredentialKind::{OAuth, Pat};
    let orders = [vec![OAuth, Pat], vec![Pat, OAuth], vec![OAuth], vec![Pat]];
    let fallbacks = [PatFallback::Always, PatFallback::UnlessRevoked, PatFallback::Never];
    let pats = ["none", "stored", "file", "rejected"];
    let grants = ["none", "held", "revoked", "disconnected", "foreign"];
    let mut met = [0; 3];
    for grant in grants {
        for pat in pats {
            for credentials in &orders {
                for pat_fallback in fallbacks {
                    let mut world = World::new().await;
                    if grant != "none" {
                        world.connect("acme", HOUR, None).await;
                    }
                    match grant {
                        "revoked" => end(&world, "acme", DisconnectReason::InvalidGrant).await,
                        "disconnected" => end(&world, "acme", DisconnectReason::Disconnected).await,
                        "foreign" => world.move_grants_to("cli_other"),
                        _ => {}
                    }
                    if matches!(pat, "stored" | "rejected") {
                        world.give_pat("acme").await;
                    }
                    let own = (pat == "file").then(|| Secret::new("flx_pat_file"));
                    if pat == "rejected" {
                        reject_pat(&world, "acme").await;
                    }
                    let credentials = credentials.clone();
                    let policy = TenantPolicy { pat: own, credentials, pat_fallback, allow: None };
                    world.set_policy("acme", policy.clone());
                    let cold = said(&world, "acme").await.1;
                    let got = pick(&world, "acme").await.ok().map(|picked| picked.kind);
                    assert_eq!(cold, got, "{grant}, {pat}, {policy:?}");
                    assert_eq!(said(&world, "acme").await.1, got, "{grant}, {pat}, {policy:?}, once it is loaded");
                    met[got.map_or(0, |kind| 1 + usize::from(kind == Pat))] += 1;
                }
            }
        }
    }
    assert!(met.iter().all(|count| *count > 20), "{met:?}");
}

// === secrets ===

#[tokio::test(start_paused = true)]
async fn no_card_has_a_secret_in_it() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let pat = StoredPat { pat: Secret::new("flx_pat_canary"), origin: ORIGIN.parse().unwrap() };
    world.store.put_pat(&tenant("acme"), &pat).await.unwrap();
    world.set_policy("beta", file_pat());
    world.connect("gamma", HOUR, None).await;
    spoil(&world, Kind::Grant, "gamma").await;
    assert!(
        pick(&world, "acme").await.is_ok()
            && pick(&world, "beta").await.is_ok()
            && pick(&world, "gamma").await.is_err()
    );
    for name in ["acme", "beta", "gamma"] {
        let text = format!("{:?}", card(&world, name).await);
        for secret in ["flx_pat_", "at.acme", "acme.0", "at.gamma"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
