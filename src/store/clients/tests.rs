use std::sync::Arc;

use super::*;
use crate::model::{ScopeSet, TokenSet, TokenType};
use crate::{
    model::{ClientStatus, Random, clock::TokioClock, token::DisconnectReason},
    store::{
        Existing, GrantState, NewGrant, NewTenant,
        backend::{Backend, Revision},
        memory::MemoryBackend,
        record::Body,
        seal::{KeyRing, Sealer},
    },
};

const ORIGIN: &str = "https://api.flexslot.gg";

/// A store, and what is under it.
struct Test {
    store: TokenStore,
    backend: Arc<MemoryBackend>,
}

async fn test() -> Test {
    let (random, clock) = (Random::system(), Arc::new(TokioClock::starting_at(Timestamp::from_secs(1_795_200_000))));
    let backend = Arc::new(MemoryBackend::new(clock, &random));
    let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
    let store = TokenStore::open(Arc::clone(&backend) as _, sealer, random).await.unwrap();
    Test { store, backend }
}

fn origin() -> Origin {
    ORIGIN.parse().unwrap()
}

fn george() -> TenantId {
    "george".parse().unwrap()
}

fn described(id: &str, rotated: i64) -> ClientDescription {
    ClientDescription {
        client_id: id.into(),
        // As long as a sealed value, and of its alphabet.
        name: "AQ".repeat(60),
        client_type: Some(ClientType::Confidential),
        status: ClientStatus::Active,
        redirect_uris: vec!["https://a.example/cb".into()],
        scopes: vec!["decks:read".into()],
        dpop_bound_access_tokens: true,
        created_at: Some(Timestamp::from_secs(1)),
        last_used_at: None,
        secret_rotated_at: Some(Timestamp::from_secs(rotated)),
    }
}

fn kept(id: &str, secret: &str, rotated: i64) -> ClientRecord {
    ClientRecord {
        client: described(id, rotated),
        origin: origin(),
        tenant: george(),
        secret: Some(Secret::new(secret)),
        intent: None,
        generation: Generation::default(),
    }
}

impl Test {
    async fn create(&self, kept: &ClientRecord) {
        let creation = self.store.begin_creation("App", &origin(), &george(), vec!["other".into()]).await.unwrap();
        assert_eq!(self.store.clients().await.unwrap().creations, std::slice::from_ref(&creation));
        assert_eq!(self.store.finish_creation(&creation, kept).await, Ok(SecretOutcome::Stored));
    }

    async fn rotate(&self, id: &str) -> BegunStep {
        self.store.begin_step(&described(id, 10), &origin(), &george(), ClientStep::Rotate).await.unwrap()
    }

    async fn secret(&self, id: &str) -> Option<Secret> {
        self.store.client(id).await.unwrap().and_then(|kept| kept.secret)
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_a_note_and_then_a_client() {
    let test = test().await;
    let client = kept("flx_client_1", "flx_cs_canary", 10);
    test.create(&client).await;
    let mut found = test.store.clients().await.unwrap();
    assert!(std::mem::take(&mut found.clients[0].generation) > Generation::default());
    assert_eq!((found.clients, found.creations.len(), found.unreadable.len()), (vec![client], 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_comes_late_leaves_the_secret_that_was_given_meanwhile() {
    let test = test().await;
    let creation = test.store.begin_creation("App", &origin(), &george(), vec![]).await.unwrap();
    let begun = test.rotate("c").await;
    assert_eq!(test.store.finish_rotation(&begun, &kept("c", "rotated", 20)).await, Ok(SecretOutcome::Stored));
    assert_eq!(test.store.finish_creation(&creation, &kept("c", "first", 10)).await, Ok(SecretOutcome::Overtaken));
    assert_eq!(test.secret("c").await, Some(Secret::new("rotated")));
    assert_eq!(test.store.clients().await.unwrap().creations, []);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_secret_is_in_its_row_and_it_opens_in_its_own_alone() {
    let test = test().await;
    test.create(&kept("flx_client_1", "flx_cs_canary", 10)).await;
    let row = test.store.row(&client_key("flx_client_1")).await.unwrap().unwrap();
    let text = String::from_utf8(row.body.as_bytes().to_vec()).unwrap();
    assert!(text.contains("client_secret") && !text.contains("canary"), "{text}");
    let moved = Change {
        key: client_key("flx_client_2"),
        expect: Expect::Anything,
        label: row.label,
        body: Body::from_stored(row.body.as_bytes().to_vec()),
    };
    let _ = test.backend.write(vec![moved]).await.unwrap();
    let found = test.store.clients().await.unwrap();
    assert_eq!((found.clients.len(), found.unreadable.len()), (1, 1), "{:?}", found.unreadable);
    // The survey of `key rotate` looks into clients as well.
    assert_eq!(test.store.survey().await.unwrap().unreadable, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_keeps_the_old_secret_until_it_has_the_new_one() {
    let test = test().await;
    test.create(&kept("c", "old", 10)).await;
    let begun = test.rotate("c").await;
    let found = test.store.client("c").await.unwrap().unwrap();
    assert_eq!((found.secret, found.intent), (Some(Secret::new("old")), Some(begun.intent.clone())));
    assert_eq!(test.store.finish_rotation(&begun, &kept("c", "new", 20)).await, Ok(SecretOutcome::Stored));
    let found = test.store.client("c").await.unwrap().unwrap();
    assert_eq!((found.secret, found.intent), (Some(Secret::new("new")), None));
}

#[tokio::test(start_paused = true)]
async fn of_two_rotations_the_later_one_by_flexslots_time_stays() {
    for (first, second, expected, secret) in [
        (("a", 20), ("b", 30), [SecretOutcome::Stored, SecretOutcome::Stored], "b"),
        (("b", 30), ("a", 20), [SecretOutcome::Stored, SecretOutcome::Overtaken], "b"),
        (("a", 20), ("b", 20), [SecretOutcome::Stored, SecretOutcome::Unsure], "a"),
    ] {
        let test = test().await;
        test.create(&kept("c", "old", 10)).await;
        let [one, two] = [test.rotate("c").await, test.rotate("c").await];
        let outcomes = [
            test.store.finish_rotation(&one, &kept("c", first.0, first.1)).await.unwrap(),
            test.store.finish_rotation(&two, &kept("c", second.0, second.1)).await.unwrap(),
        ];
        assert_eq!((outcomes, test.secret("c").await), (expected, Some(Secret::new(secret))), "{first:?} {second:?}");
        let noted = test.store.client("c").await.unwrap().unwrap().intent.is_some();
        assert_eq!(noted, expected[1] == SecretOutcome::Unsure, "whoever cannot tell leaves the note");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_was_not_taken_leaves_what_there_was() {
    let test = test().await;
    test.create(&kept("c", "old", 10)).await;
    let BegunStep { intent, .. } = test.rotate("c").await;
    test.store.withdraw_step("c", &intent).await.unwrap();
    let found = test.store.client("c").await.unwrap().unwrap();
    assert_eq!((found.secret, found.intent), (Some(Secret::new("old")), None));
    // Of a client that was made elsewhere nothing is kept.
    let BegunStep { intent, .. } = test.rotate("elsewhere").await;
    test.store.withdraw_step("elsewhere", &intent).await.unwrap();
    assert_eq!(test.store.client("elsewhere").await, Ok(None));
}

/// Else whoever is refused would manage it from then on, and be believed that Flexslot has it no longer.
#[tokio::test(start_paused = true)]
async fn another_partner_that_asks_does_not_become_the_clients_manager() {
    let test = test().await;
    test.create(&kept("c", "old", 10)).await;
    let other: TenantId = "beta".parse().unwrap();
    let client = kept("c", "old", 10).client;
    let begun = test.store.begin_step(&client, &origin(), &other, ClientStep::Rotate).await.unwrap();
    assert_eq!(test.store.client("c").await.unwrap().unwrap().tenant, george());
    test.store.withdraw_step("c", &begun.intent).await.unwrap();
    assert_eq!(test.store.client("c").await.unwrap().unwrap().tenant, george());
}

/// The time beside a secret is that secret's.
#[tokio::test(start_paused = true)]
async fn a_description_does_not_make_a_kept_secret_look_newer() {
    let test = test().await;
    test.create(&kept("c", "first", 10)).await;
    let begun = test.rotate("c").await;
    test.store.describe_clients(&[kept("c", "", 30).client]).await.unwrap();
    assert_eq!(test.store.finish_rotation(&begun, &kept("c", "second", 20)).await, Ok(SecretOutcome::Stored));
    assert_eq!(test.secret("c").await, Some(Secret::new("second")));
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_in_the_change_feed() {
    let test = test().await;
    let before = test.store.changed_since(Revision(0)).await.unwrap().head;
    assert!(!test.store.changed_since(before).await.unwrap().clients);
    test.create(&kept("c", "s", 10)).await;
    let changed = test.store.changed_since(before).await.unwrap();
    assert!(changed.clients && changed.tenants.is_empty());
    test.store.forget_client("c").await.unwrap();
    assert!(test.store.changed_since(changed.head).await.unwrap().clients);
    assert_eq!(test.store.client("c").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn grants_end_with_their_client_and_others_stay() {
    let test = test().await;
    let tokens = |name: &str| TokenSet {
        access: Secret::new("a"),
        refresh: Secret::new(format!("r-{name}")),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::unknown(),
        expires_at: Timestamp::from_secs(2_000_000_000),
        answered_at: None,
        key: None,
    };
    let new = |name: &str, client: &str| NewTenant {
        tenant: name.parse().unwrap(),
        pat: None,
        grant: Some(NewGrant { client_id: client.into(), origin: origin(), tokens: tokens(name) }),
    };
    let _ = test.store.import(vec![new("a", "c"), new("b", "c"), new("d", "other")], Existing::Skip).await.unwrap();
    let grants = test.store.grants_of("c", &origin()).await.unwrap();
    assert_eq!((grants.count, grants.named.len()), (2, 2));
    assert_eq!(test.store.grants_by_client(&origin()).await.unwrap()["other"], 1);
    assert_eq!(test.store.end_grants_of("c", &origin()).await, Ok(2));
    assert_eq!(test.store.end_grants_of("c", &origin()).await, Ok(0), "once");
    let state = async |name: &str| test.store.load(&name.parse().unwrap()).await.unwrap().grant;
    assert!(matches!(state("a").await, GrantState::Disconnected(end) if end.reason == DisconnectReason::ClientRevoked));
    assert!(matches!(state("d").await, GrantState::Connected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_has_lost_a_client_is_given_it_again_and_one_that_has_removed_it_is_not() {
    let test = test().await;
    let known = |secret: &str, generation| ClientRecord { generation: Generation(generation), ..kept("c", secret, 20) };
    assert_eq!(test.store.restore_client(&known("second", 2)).await, Ok(true));
    assert_eq!(test.store.restore_client(&known("second", 2)).await, Ok(false), "it has it");
    assert_eq!(test.store.restore_client(&known("first", 1)).await, Ok(false), "downwards");
    assert_eq!(test.store.restore_client(&known("third", 3)).await, Ok(true));
    assert_eq!(test.secret("c").await, Some(Secret::new("third")));
    test.store.forget_client("c").await.unwrap();
    let last = known("fourth", u64::MAX);
    assert_eq!(test.store.restore_client(&last).await, Ok(false));
    assert_eq!(test.store.client("c").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_generation_rises_with_secrets_and_removals_alone() {
    let test = test().await;
    let generation = async || test.store.client("c").await.unwrap().unwrap().generation;
    test.create(&kept("c", "first", 10)).await;
    let first = generation().await;
    let begun = test.rotate("c").await;
    test.store.describe_clients(&[ClientDescription { scopes: vec![], ..described("c", 10) }]).await.unwrap();
    test.store.withdraw_step("c", &begun.intent).await.unwrap();
    assert_eq!(generation().await, first, "no secret is newer by what is beside it");
    let begun = test.rotate("c").await;
    assert_eq!(test.store.finish_rotation(&begun, &kept("c", "second", 20)).await, Ok(SecretOutcome::Stored));
    let second = generation().await;
    test.store.forget_client("c").await.unwrap();
    let gone = test.store.clients().await.unwrap().gone.remove(0).generation;
    // Flexslot may have it all the same, as where a note was all that there was.
    let _ = test.rotate("c").await;
    assert!(first < second && second < gone && gone < generation().await);
}

#[test]
fn nobody_without_the_key_changes_a_client_or_a_creation() {
    let random = Random::system();
    let sealer = Sealer::new(KeyRing::ephemeral(&random), random);
    let public = ClientRecord { secret: None, ..kept("flx_client_1", "x", 1) };
    let creation = Creation {
        id: format!("{CREATION}00"),
        name: "shop".into(),
        origin: origin(),
        tenant: george(),
        at: Timestamp::from_secs(1),
        before: Vec::new(),
    };
    let (public_key, creation_key) = (client_key("flx_client_1"), client_key(&creation.id));
    for (key, (label, body)) in [
        (&public_key, record::client(&sealer, &public_key, &public)),
        (&public_key, record::client(&sealer, &public_key, &kept("flx_client_1", "flx_cs_canary", 1))),
        (&creation_key, record::creation(&sealer, &creation_key, &creation)),
    ] {
        let row = |body| Row { revision: Revision(1), label, body, last_used: None };
        let text = String::from_utf8(body.as_bytes().to_vec()).unwrap();
        assert!(record::read_client(&sealer, key, &row(body)).is_ok(), "as it is");
        let forged = text.replace(ORIGIN, "https://evil.example");
        assert_ne!(forged, text);
        let forged = row(Body::from_stored(forged.into_bytes()));
        let what = record::read_client(&sealer, key, &forged).unwrap_err().to_string();
        assert!(what.contains("it or its record was altered"), "{what}");
    }
}
