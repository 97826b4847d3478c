use std::{fs, sync::Arc};

use super::{
    Cas, OpenError, Settlement, StoreError, TokenStore,
    backend::{Backend, Change, Expect, Key, Kind, Names, Revision},
    conformance::ManualClock,
    memory::MemoryBackend,
    seal::{KeyRing, Sealer},
    sqlite::SqliteBackend,
    testing::{World, intent, pat, sealer, tenant, tokens},
};
use crate::model::{
    GrantState, Random, Secret, Timestamp,
    token::{Attempt, DisconnectReason, Intent},
};

// === opening ===

#[tokio::test]
async fn a_wrong_key_is_found_at_the_start_and_nothing_is_written() {
    let world = World::new().await;
    world.connect("acme").await;
    let before = world.backend.changes(Revision(0), 100).await;
    let error = TokenStore::open(Arc::clone(&world.backend), sealer(2), Random::system()).await.expect_err("refused");
    assert!(matches!(error, OpenError::WrongKey { sealed_with, .. } if sealed_with == sealer(1).sealing_key()));
    assert!(error.hint().is_some_and(|hint| hint.contains("store.encryption_key")));
    assert_eq!(world.backend.changes(Revision(0), 100).await, before);
}

#[tokio::test]
async fn who_only_looks_at_a_store_that_nobody_has_taken_into_use_writes_nothing() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(ManualClock::new(), &Random::system()));
    let look = |key| TokenStore::look(Arc::clone(&backend), sealer(key), Random::system());
    assert!(look(2).await.expect("looked at").is_none());
    assert_eq!(backend.changes(Revision(0), 100).await, Ok((Revision(0), vec![])));
    let opened = TokenStore::open(Arc::clone(&backend), sealer(1), Random::system()).await;
    assert!(opened.is_ok() && look(1).await.expect("looked at").is_some());
    assert!(matches!(look(2).await, Err(OpenError::WrongKey { .. })));
}

#[tokio::test]
async fn a_key_that_is_among_several_opens_the_store() {
    let world = World::new().await;
    let random = Random::system();
    let lines = ["AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="];
    let ring = KeyRing::parse(&Secret::new(lines.join("\n"))).expect("keys");
    let rotating = Sealer::new(ring, random.clone());
    assert!(TokenStore::open(Arc::clone(&world.backend), rotating, random).await.is_ok());
}

#[tokio::test]
async fn of_two_processes_that_begin_with_different_keys_one_is_refused() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(ManualClock::new(), &Random::system()));
    let open = |key| TokenStore::open(Arc::clone(&backend), sealer(key), Random::system());
    let (a, b) = tokio::join!(open(1), open(2));
    assert!(a.is_ok() != b.is_ok());
}

#[tokio::test]
async fn a_damaged_key_check_is_told_from_a_wrong_key() {
    let world = World::new().await;
    let key = Key::new(Kind::Meta, "key");
    let body = super::record::Body::from_stored(b"{}".to_vec());
    let change = Change { key, expect: Expect::Anything, label: Default::default(), body };
    let _ = world.backend.write(vec![change]).await.expect("written");
    let error = TokenStore::open(world.backend, sealer(1), Random::system()).await.expect_err("refused");
    assert!(matches!(error, OpenError::KeyCheckDamaged { .. }), "{error}");
}

#[tokio::test]
async fn a_probe_writes_and_reads() {
    let world = World::new().await;
    assert_eq!(world.store.probe().await, Ok(()));
    assert_eq!(world.store.probe().await, Ok(()));
}

// === renewal ===

#[tokio::test]
async fn an_intent_makes_the_grant_uncertain_until_the_new_pair_is_there() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let intent = world.begun("acme").await;
    let loaded = world.store.load(&tenant("acme")).await.expect("loaded").grant;
    assert_eq!(loaded, GrantState::Uncertain(grant.clone(), intent.clone()));
    let renewed = grant.renewed(tokens("next"));
    let settled = world.store.settle(&tenant("acme"), &intent, Settlement::Renewed(renewed.clone())).await;
    assert_eq!(settled, Ok(Cas::Stored));
    let loaded = world.store.load(&tenant("acme")).await.expect("loaded").grant;
    assert_eq!(loaded, GrantState::Connected(renewed.clone()));
    let again = world.store.settle(&tenant("acme"), &intent, Settlement::Renewed(renewed)).await;
    assert_eq!(again, Ok(Cas::Stored), "an earlier answer may have been lost");
}

#[tokio::test]
async fn a_request_begins_only_on_the_row_as_it_was_read() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let at = world.store.load(&tenant("acme")).await.expect("loaded").revision.expect("a row");
    let _ = world.begun("acme").await;
    assert_eq!(world.store.begin(&tenant("acme"), at, &grant, &intent(&grant)).await, Ok(Cas::Moved));
}

#[tokio::test]
async fn an_intent_for_another_pair_is_never_written() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let at = world.store.load(&tenant("acme")).await.expect("loaded").revision.expect("a row");
    let other = intent(&grant.clone().renewed(tokens("next")));
    assert_eq!(world.store.begin(&tenant("acme"), at, &grant, &other).await, Ok(Cas::Moved));
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").grant, GrantState::Connected(grant));
}

#[tokio::test]
async fn a_refresh_token_that_was_not_taken_is_as_before() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let intent = world.begun("acme").await;
    for _ in 0..2 {
        let settled = world.store.settle(&tenant("acme"), &intent, Settlement::Untouched { earlier: None }).await;
        assert_eq!(settled, Ok(Cas::Stored), "also when an earlier answer was lost");
    }
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").grant, GrantState::Connected(grant));
}

#[tokio::test]
async fn nobody_clears_an_intent_that_is_not_theirs() {
    let world = World::new().await;
    world.connect("acme").await;
    let theirs = world.begun("acme").await;
    let ours = Intent { attempt: Attempt::LastResort, ..theirs.clone() };
    let settled = world.store.settle(&tenant("acme"), &ours, Settlement::Untouched { earlier: None }).await;
    assert_eq!(settled, Ok(Cas::Moved));
    let loaded = world.store.load(&tenant("acme")).await.expect("loaded").grant;
    assert!(matches!(loaded, GrantState::Uncertain(_, intent) if intent == theirs));
}

#[tokio::test]
async fn the_end_of_a_grant_deletes_its_tokens_and_buries_its_id() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let intent = world.begun("acme").await;
    let end = grant.disconnected(DisconnectReason::InvalidGrant, Timestamp::from_secs(1_795_200_200));
    let settled = world.store.settle(&tenant("acme"), &intent, Settlement::Ended(end.clone())).await;
    assert_eq!(settled, Ok(Cas::Stored));
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").grant, GrantState::Disconnected(end));
    let rows = world.backend.list(Kind::Tombstone, None, Names::ALL, 10).await.expect("listed");
    assert_eq!(rows.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), [grant.id.to_string()]);
    let late = Settlement::Renewed(grant.renewed(tokens("next")));
    let settled = world.store.settle(&tenant("acme"), &intent, late).await;
    assert_eq!(settled, Ok(Cas::Moved), "a pair that comes back after that is not stored");
}

#[tokio::test]
async fn a_grant_is_given_up_only_for_the_intent_that_it_was_given_up_for() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let theirs = world.begun("acme").await;
    let end = grant.disconnected(DisconnectReason::RefreshOutcomeLost, Timestamp::from_secs(1_795_200_200));
    let other = Intent { attempt: Attempt::LastResort, ..theirs.clone() };
    for (intent, cas) in [(&other, Cas::Moved), (&theirs, Cas::Stored), (&theirs, Cas::Moved)] {
        let settled = world.store.settle(&tenant("acme"), intent, Settlement::Abandoned(end.clone())).await;
        assert_eq!(settled, Ok(cas));
    }
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").grant, GrantState::Disconnected(end));
}

#[tokio::test]
async fn a_pair_that_comes_back_after_a_removal_or_a_reconnect_is_not_stored() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let intent = world.begun("acme").await;
    let late = || Settlement::Renewed(grant.clone().renewed(tokens("late")));
    let _ = world.store.remove(&tenant("acme")).await.expect("removed");
    assert_eq!(world.store.settle(&tenant("acme"), &intent, late()).await, Ok(Cas::Moved));
    let reconnected = world.connect("acme").await;
    assert_eq!(world.store.settle(&tenant("acme"), &intent, late()).await, Ok(Cas::Moved));
    assert_eq!(world.grant("acme").await, Some(reconnected));
}

// === custody ===

#[tokio::test]
async fn a_value_moved_to_another_tenant_does_not_open() {
    let world = World::new().await;
    world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    for (kind, record, field) in [(Kind::Grant, "grant evil", "access_token"), (Kind::Pat, "pat evil", "pat")] {
        let row = world.backend.get(&[Key::new(kind, "acme")]).await.expect("read").remove(0).expect("there");
        let key = Key::new(kind, "evil");
        let change = Change { key, expect: Expect::Anything, label: row.label, body: row.body };
        let _ = world.backend.write(vec![change]).await.expect("written");
        let error = world.store.load(&tenant("evil")).await.expect_err("unreadable");
        let what = format!("{field}: it or its record was altered, or it was sealed for another place");
        assert_eq!(error, StoreError::Unreadable { record: record.into(), what });
        let _ = world.store.remove(&tenant("evil")).await.expect("removed");
    }
}

#[tokio::test]
async fn the_files_hold_no_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let backend = SqliteBackend::open(&dir.path().join("store.db"), ManualClock::new(), &Random::system());
    let backend: Arc<dyn Backend> = Arc::new(backend.expect("opened"));
    let store = TokenStore::open(Arc::clone(&backend), sealer(1), Random::system()).await.expect("opened");
    let world = World { clock: ManualClock::new(), backend, store };
    let grant = world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("flx_pat_canary")).await.expect("stored");
    let intent = world.begun("acme").await;
    let renewed = Settlement::Renewed(grant.renewed(tokens("next")));
    assert_eq!(world.store.settle(&tenant("acme"), &intent, renewed).await, Ok(Cas::Stored));
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir.path()).expect("listed") {
        bytes.extend(fs::read(entry.expect("an entry").path()).expect("read"));
    }
    let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds("flx_client_1") && holds("decks:read"), "the search finds what is there");
    // "canary" itself, and as base64 would show it at each of the three alignments.
    for needle in ["canary", "Y2FuYXJ5", "NhbmFye", "jYW5hcn"] {
        assert!(!holds(needle), "{needle}");
    }
}
