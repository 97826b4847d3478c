use std::{fs, sync::Arc, time::Duration};

use super::{
    Cas, Existing, GrantStanding, Imported, NewTenant, OpenError, PatStanding, Removed, Settlement, Standing,
    StoreError, TokenStore,
    backend::{Backend, Change, Expect, Key, Kind, Revision},
    conformance::ManualClock,
    memory::MemoryBackend,
    seal::{KeyRing, Sealer},
    sqlite::SqliteBackend,
    testing::{World, intent, new_grant, pat, sealer, tenant, tokens},
};
use crate::model::{
    CredentialKind, GrantState, Random, Secret, Timestamp,
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

async fn begun(world: &World, name: &str) -> Intent {
    let record = world.store.load(&tenant(name)).await.expect("loaded");
    let grant = record.grant.grant().expect("connected");
    let intent = intent(grant);
    let at = record.revision.expect("a row");
    assert_eq!(world.store.begin(&tenant(name), at, grant, &intent).await, Ok(Cas::Stored));
    intent
}

#[tokio::test]
async fn an_intent_makes_the_grant_uncertain_until_the_new_pair_is_there() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let intent = begun(&world, "acme").await;
    let loaded = world.store.load(&tenant("acme")).await.expect("loaded").grant;
    assert_eq!(loaded, GrantState::Uncertain(grant.clone(), intent.clone()));
    let renewed = grant.renewed(tokens("next"));
    let settled = world.store.settle(&tenant("acme"), &intent, Settlement::Renewed(renewed.clone())).await;
    assert_eq!(settled, Ok(Cas::Stored));
    let loaded = world.store.load(&tenant("acme")).await.expect("loaded").grant;
    assert_eq!(loaded, GrantState::Connected(renewed.clone()));
    let again = world.store.settle(&tenant("acme"), &intent, Settlement::Renewed(renewed)).await;
    assert_eq!(again, Ok(Cas::Moved));
}

#[tokio::test]
async fn a_request_begins_only_on_the_row_as_it_was_read() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let at = world.store.load(&tenant("acme")).await.expect("loaded").revision.expect("a row");
    let _ = begun(&world, "acme").await;
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
    let intent = begun(&world, "acme").await;
    for _ in 0..2 {
        let settled = world.store.settle(&tenant("acme"), &intent, Settlement::Untouched).await;
        assert_eq!(settled, Ok(Cas::Stored), "also when an earlier answer was lost");
    }
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").grant, GrantState::Connected(grant));
}

#[tokio::test]
async fn nobody_clears_an_intent_that_is_not_theirs() {
    let world = World::new().await;
    world.connect("acme").await;
    let theirs = begun(&world, "acme").await;
    let ours = Intent { attempt: Attempt::LastResort, ..theirs.clone() };
    let settled = world.store.settle(&tenant("acme"), &ours, Settlement::Untouched).await;
    assert_eq!(settled, Ok(Cas::Moved));
    let loaded = world.store.load(&tenant("acme")).await.expect("loaded").grant;
    assert!(matches!(loaded, GrantState::Uncertain(_, intent) if intent == theirs));
}

#[tokio::test]
async fn the_end_of_a_grant_deletes_its_tokens_and_buries_its_id() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let intent = begun(&world, "acme").await;
    let end = grant.disconnected(DisconnectReason::InvalidGrant, Timestamp::from_secs(1_795_200_200));
    let settled = world.store.settle(&tenant("acme"), &intent, Settlement::Ended(end.clone())).await;
    assert_eq!(settled, Ok(Cas::Stored));
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").grant, GrantState::Disconnected(end));
    let rows = world.backend.list(Kind::Tombstone, None, None, 10).await.expect("listed");
    assert_eq!(rows.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), [grant.id.to_string()]);
    let late = Settlement::Renewed(grant.renewed(tokens("next")));
    let settled = world.store.settle(&tenant("acme"), &intent, late).await;
    assert_eq!(settled, Ok(Cas::Moved), "a pair that comes back after that is not stored");
}

#[tokio::test]
async fn a_pair_that_comes_back_after_a_removal_or_a_reconnect_is_not_stored() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    let intent = begun(&world, "acme").await;
    let late = || Settlement::Renewed(grant.clone().renewed(tokens("late")));
    let _ = world.store.remove(&tenant("acme")).await.expect("removed");
    assert_eq!(world.store.settle(&tenant("acme"), &intent, late()).await, Ok(Cas::Moved));
    let reconnected = world.connect("acme").await;
    assert_eq!(world.store.settle(&tenant("acme"), &intent, late()).await, Ok(Cas::Moved));
    assert_eq!(world.grant("acme").await, Some(reconnected));
}

// === tenants ===

#[tokio::test]
async fn a_removed_tenant_is_as_one_that_never_was() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    assert_eq!(world.store.remove(&tenant("acme")).await, Ok(Removed { grant: true, pat: true }));
    assert_eq!(world.store.remove(&tenant("acme")).await, Ok(Removed { grant: false, pat: false }));
    let record = world.store.load(&tenant("acme")).await.expect("loaded");
    assert_eq!((record.grant, record.pat), (GrantState::NeverConnected, None));
    let page = world.store.list(None, 10, None).await.expect("listed");
    assert!(page.tenants.is_empty() && page.next.is_none());
    assert!(world.backend.get(&[Key::new(Kind::Tombstone, grant.id.to_string())]).await.expect("read")[0].is_some());
    world.clock.pass(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(world.store.purge().await, Ok(3), "two markers and a tombstone");
}

#[tokio::test]
async fn a_purge_leaves_the_living_alone() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    world.clock.pass(Duration::from_secs(400 * 24 * 3600));
    assert_eq!(world.store.purge().await, Ok(0));
    assert_eq!(world.grant("acme").await, Some(grant));
}

#[tokio::test]
async fn a_use_is_noted_with_the_credential_that_was_used() {
    let world = World::new().await;
    world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    let (early, late) = (Timestamp::from_secs(1), Timestamp::from_secs(2));
    let used = [(tenant("acme"), CredentialKind::Pat, late), (tenant("acme"), CredentialKind::OAuth, early)];
    world.store.touch(&used).await.expect("noted");
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").last_used, Some(late));
}

/// Tenants `0` to `9`: even ones have a grant, those that 3 divides a PAT, and `8`'s grant has ended.
async fn ten(world: &World) {
    for number in 0..10 {
        let name = number.to_string();
        if number % 2 == 0 {
            world.connect(&name).await;
        }
        if number % 3 == 0 {
            world.store.put_pat(&tenant(&name), &pat("canary")).await.expect("stored");
        }
    }
    let intent = begun(world, "8").await;
    let end = world.grant("8").await.expect("there").disconnected(DisconnectReason::InvalidGrant, intent.at);
    let settled = world.store.settle(&tenant("8"), &intent, Settlement::Ended(end)).await;
    assert_eq!(settled, Ok(Cas::Stored));
}

async fn listed(world: &World, limit: usize, standing: Option<Standing>) -> String {
    let (mut names, mut after) = (String::new(), None);
    loop {
        let page = world.store.list(after.as_ref(), limit, standing).await.expect("listed");
        assert!(page.tenants.len() <= limit);
        names.extend(page.tenants.iter().map(|summary| summary.tenant.as_str()));
        after = page.next;
        if after.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn a_list_merges_grants_and_pats_whatever_the_size_of_its_pages() {
    let world = World::new().await;
    ten(&world).await;
    for limit in 1..12 {
        assert_eq!(listed(&world, limit, None).await, "0234689", "{limit} at a time");
        assert_eq!(listed(&world, limit, Some(Standing::Connected)).await, "0246", "{limit} at a time");
        assert_eq!(listed(&world, limit, Some(Standing::Disconnected)).await, "8", "{limit} at a time");
        assert_eq!(listed(&world, limit, Some(Standing::NotConnected)).await, "39", "{limit} at a time");
    }
}

#[tokio::test]
async fn a_list_tells_what_each_tenant_has() {
    let world = World::new().await;
    ten(&world).await;
    for standing in [None, Some(Standing::Connected)] {
        let page = world.store.list(None, 10, standing).await.expect("listed");
        let six = page.tenants.iter().find(|summary| summary.tenant.as_str() == "6").expect("there");
        assert!(matches!(&six.grant, GrantStanding::Connected(grant) if grant.client_id == "flx_client_1"));
        assert!(matches!(&six.pat, PatStanding::Stored { origin } if origin == "https://api.flexslot.gg"));
        assert!(!format!("{page:?}").contains("canary"));
    }
}

#[tokio::test]
async fn one_unreadable_record_does_not_spoil_the_list() {
    let world = World::new().await;
    ten(&world).await;
    let body = super::record::Body::from_stored(b"{\"format\":2}".to_vec());
    let key = Key::new(Kind::Grant, "2");
    let change = Change { key, expect: Expect::Anything, label: Default::default(), body };
    let _ = world.backend.write(vec![change]).await.expect("written");
    let page = world.store.list(None, 10, None).await.expect("listed");
    assert_eq!(page.tenants.len(), 7);
    assert!(matches!(&page.tenants[1].grant, GrantStanding::Unreadable(StoreError::Unreadable { record, .. })
        if record == "grant 2"));
}

#[tokio::test]
async fn changes_name_each_tenant_once_and_what_to_ask_next() {
    let world = World::new().await;
    let start = world.store.changed_since(Revision(0)).await.expect("read");
    assert_eq!((start.tenants.len(), start.more, start.next), (0, false, start.head), "the key check is no tenant's");
    world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    world.store.put_pat(&tenant("beta"), &pat("canary")).await.expect("stored");
    let changed = world.store.changed_since(start.next).await.expect("read");
    assert_eq!(changed.tenants, [tenant("acme"), tenant("beta")]);
    let _ = world.store.remove(&tenant("beta")).await.expect("removed");
    let changed = world.store.changed_since(changed.next).await.expect("read");
    assert_eq!((changed.tenants, changed.more), (vec![tenant("beta")], false));
}

#[tokio::test]
async fn many_changes_come_in_parts_that_miss_nobody() {
    let world = World::new().await;
    for batch in 0..3 {
        let names = (0..900).map(|number| NewTenant {
            tenant: tenant(&format!("{batch}-{number}")),
            pat: Some(pat("canary")),
            grant: None,
        });
        let done = world.store.import(names.collect(), Existing::Skip).await.expect("imported");
        assert_eq!(done.added, 900);
    }
    let first = world.store.changed_since(Revision(0)).await.expect("read");
    assert!(first.more && first.next < first.head);
    let second = world.store.changed_since(first.next).await.expect("read");
    assert_eq!((first.tenants.len() + second.tenants.len(), second.more, second.next), (2700, false, second.head));
}

// === import ===

fn new(name: &str, text: &str) -> NewTenant {
    NewTenant { tenant: tenant(name), pat: Some(pat(text)), grant: Some(new_grant(text)) }
}

#[tokio::test]
async fn a_second_run_never_puts_spent_tokens_over_rotated_ones() {
    let world = World::new().await;
    ten(&world).await;
    let before = world.grant("0").await;
    let batch = || ["0", "8", "9", "new"].iter().map(|name| new(name, "imported")).collect::<Vec<_>>();
    let done = world.store.import(batch(), Existing::Skip).await;
    assert_eq!(done, Ok(Imported { added: 1, replaced: 0, skipped: 3 }), "a grant, an ended grant, a PAT");
    let done = world.store.import(batch(), Existing::Skip).await;
    assert_eq!(done, Ok(Imported { added: 0, replaced: 0, skipped: 4 }));
    assert_eq!(world.grant("0").await, before);
    assert_eq!(world.grant("new").await.map(|grant| grant.tokens), Some(tokens("imported")));
}

#[tokio::test]
async fn a_replaced_grant_has_a_new_id_and_the_old_one_is_buried() {
    let world = World::new().await;
    let old = world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("kept")).await.expect("stored");
    let grant_only = NewTenant { pat: None, ..new("acme", "imported") };
    let done = world.store.import(vec![grant_only, new("beta", "b")], Existing::Replace).await;
    assert_eq!(done, Ok(Imported { added: 1, replaced: 1, skipped: 0 }));
    let record = world.store.load(&tenant("acme")).await.expect("loaded");
    let grant = record.grant.grant().expect("connected");
    assert!(grant.id != old.id && grant.tokens == tokens("imported"));
    assert_eq!(record.pat, Some(pat("kept")), "what the import does not bring stays");
    assert!(world.backend.get(&[Key::new(Kind::Tombstone, old.id.to_string())]).await.expect("read")[0].is_some());
}

#[tokio::test]
async fn of_a_tenant_that_comes_twice_the_first_or_the_last_counts() {
    for (existing, kept, counts) in [
        (Existing::Skip, "first", Imported { added: 1, replaced: 0, skipped: 1 }),
        (Existing::Replace, "last", Imported { added: 1, replaced: 0, skipped: 1 }),
    ] {
        let world = World::new().await;
        let done = world.store.import(vec![new("acme", "first"), new("acme", "last")], existing).await;
        assert_eq!(done, Ok(counts));
        assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").pat, Some(pat(kept)));
    }
}

#[tokio::test]
async fn a_removed_tenant_can_be_imported_again() {
    let world = World::new().await;
    let old = world.connect("acme").await;
    let _ = world.store.remove(&tenant("acme")).await.expect("removed");
    let done = world.store.import(vec![new("acme", "again")], Existing::Skip).await;
    assert_eq!(done, Ok(Imported { added: 1, replaced: 0, skipped: 0 }));
    assert!(world.grant("acme").await.is_some_and(|grant| grant.id != old.id));
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
        let what = format!("{field}: altered, or sealed for another place");
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
    let intent = begun(&world, "acme").await;
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
