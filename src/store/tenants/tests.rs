use std::{sync::Arc, time::Duration};

use super::{GrantPage, GrantStanding, PatStanding, Removed, Standing};
use crate::{
    model::{CredentialKind, GrantState, Random, Timestamp, token::DisconnectReason},
    store::{
        Cas, Existing, Imported, NewTenant, Settlement, Skipped, StoreError, There, TokenStore,
        backend::{Change, Expect, Key, Kind, Label, Names, Revision},
        record::Body,
        testing::{World, meddled::Meddled, new_grant, pat, sealer, tenant, tokens},
    },
};

#[tokio::test]
async fn a_removed_tenant_is_as_one_that_never_was() {
    let world = World::new().await;
    let grant = world.connect("acme").await;
    world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    assert_eq!(world.store.remove(&tenant("acme")).await, Ok(Removed { grant: true, pat: true }));
    assert_eq!(world.store.remove(&tenant("acme")).await, Ok(Removed { grant: false, pat: false }));
    let record = world.store.load(&tenant("acme")).await.expect("loaded");
    assert_eq!((record.grant, record.pat), (GrantState::NeverConnected, None));
    let page = world.store.list(Names::ALL, 10, None).await.expect("listed");
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
    let intent = world.begun("8").await;
    let end = world.grant("8").await.expect("there").disconnected(DisconnectReason::InvalidGrant, intent.at);
    let settled = world.store.settle(&tenant("8"), &intent, Settlement::Ended(end)).await;
    assert_eq!(settled, Ok(Cas::Stored));
}

async fn listed(world: &World, limit: usize, standing: Option<Standing>) -> String {
    let (mut names, mut after) = (String::new(), None::<String>);
    loop {
        let page = world.store.list(Names::after(after.as_deref()), limit, standing).await.expect("listed");
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
async fn a_list_by_prefix_has_the_same_tenants_in_whatever_pages() {
    let world = World::new().await;
    for name in ["a", "ab", "ab.1", "abc", "ac"] {
        world.connect(name).await;
        world.store.put_pat(&tenant(name), &pat("canary")).await.expect("stored");
    }
    world.store.put_pat(&tenant("abb"), &pat("canary")).await.expect("stored");
    for limit in 1..6 {
        let (mut found, mut after) = (Vec::new(), Some(String::new()));
        while let Some(name) = after {
            let page = world.store.list(Names { after: &name, prefix: "ab" }, limit, None).await.expect("listed");
            found.extend(page.tenants.into_iter().map(|summary| summary.tenant.to_string()));
            after = page.next;
        }
        assert_eq!(found, ["ab", "ab.1", "abb", "abc"], "{limit} at a time");
    }
}

#[tokio::test]
async fn a_name_that_is_no_tenants_is_passed_over_and_does_not_end_a_list() {
    let world = World::new().await;
    ten(&world).await;
    for (kind, name) in [(Kind::Grant, "0 0"), (Kind::Pat, "3 3"), (Kind::Grant, "~")] {
        let change = Change {
            key: Key::new(kind, name),
            expect: Expect::Anything,
            label: Default::default(),
            body: Body::default(),
        };
        let _ = world.backend.write(vec![change]).await.expect("written");
    }
    for limit in 1..12 {
        assert_eq!(listed(&world, limit, None).await, "0234689", "{limit} at a time");
        assert_eq!(listed(&world, limit, Some(Standing::Connected)).await, "0246", "{limit} at a time");
        assert_eq!(listed(&world, limit, Some(Standing::NotConnected)).await, "39", "{limit} at a time");
    }
}

#[tokio::test]
async fn summaries_of_named_tenants_are_those_of_the_list() {
    let world = World::new().await;
    ten(&world).await;
    let page = world.store.list(Names::ALL, 10, None).await.expect("listed");
    let names: Vec<_> = page.tenants.iter().map(|summary| summary.tenant.clone()).collect();
    assert_eq!(world.store.summaries(&names).await, Ok(page.tenants));
    let nobody = world.store.summaries(&[tenant("nobody")]).await.expect("read");
    assert_eq!((&nobody[0].grant, &nobody[0].pat), (&GrantStanding::NeverConnected, &PatStanding::Absent));
}

#[tokio::test]
async fn a_list_tells_what_each_tenant_has() {
    let world = World::new().await;
    ten(&world).await;
    for standing in [None, Some(Standing::Connected)] {
        let page = world.store.list(Names::ALL, 10, standing).await.expect("listed");
        let six = page.tenants.iter().find(|summary| summary.tenant.as_str() == "6").expect("there");
        assert!(matches!(&six.grant, GrantStanding::Connected(grant) if grant.client_id == "flx_client_1"));
        assert!(matches!(&six.pat, PatStanding::Stored { origin } if origin.as_str() == "https://api.flexslot.gg"));
        assert!(!format!("{page:?}").contains("canary"));
    }
}

#[tokio::test]
async fn one_unreadable_record_does_not_spoil_the_list() {
    let world = World::new().await;
    ten(&world).await;
    let body = Body::from_stored(b"{\"format\":2}".to_vec());
    let key = Key::new(Kind::Grant, "2");
    let change = Change { key, expect: Expect::Anything, label: Default::default(), body };
    let _ = world.backend.write(vec![change]).await.expect("written");
    let page = world.store.list(Names::ALL, 10, None).await.expect("listed");
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
async fn a_name_that_is_no_tenants_does_not_hide_the_changes_around_it() {
    let world = World::new().await;
    let start = world.store.changed_since(Revision(0)).await.expect("read");
    world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    let key = Key::new(Kind::Pat, "no tenant\n");
    let change = Change { key, expect: Expect::Anything, label: Default::default(), body: Body::default() };
    let _ = world.backend.write(vec![change]).await.expect("written");
    world.store.put_pat(&tenant("beta"), &pat("canary")).await.expect("stored");
    let changed = world.store.changed_since(start.next).await.expect("read");
    assert_eq!((changed.tenants, changed.next), (vec![tenant("acme"), tenant("beta")], changed.head));
    assert!(
        matches!(&changed.unreadable[..], [StoreError::Unreadable { record, .. }] if record == "tenant no tenant\\n")
    );
    let changed = world.store.changed_since(changed.next).await.expect("read");
    assert_eq!(changed.unreadable, [], "it is told once");
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

fn counts(added: usize, replaced: usize, skipped: usize) -> Imported {
    Imported { added, replaced, skipped, ..Imported::default() }
}

fn new(name: &str, text: &str) -> NewTenant {
    NewTenant { tenant: tenant(name), pat: Some(pat(text)), grant: Some(new_grant(text)) }
}

#[tokio::test]
async fn a_second_run_never_puts_spent_tokens_over_rotated_ones() {
    let world = World::new().await;
    ten(&world).await;
    let before = world.grant("0").await;
    let batch = || ["0", "8", "9", "new"].iter().map(|name| new(name, "imported")).collect::<Vec<_>>();
    let done = world.store.import(batch(), Existing::Skip).await.expect("stored");
    let left = [("0", There::Credential), ("8", There::EndedConnection), ("9", There::Credential)];
    let left = left.map(|(name, there)| Skipped { tenant: tenant(name), there }).into();
    assert_eq!(done, Imported { left, ..counts(1, 0, 3) }, "a grant, an ended grant, a PAT");
    let done = world.store.import(batch(), Existing::Skip).await.expect("read");
    assert_eq!((done.left.len(), Imported { left: Vec::new(), ..done }), (4, counts(0, 0, 4)));
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
    assert_eq!(done, Ok(counts(1, 1, 0)));
    let record = world.store.load(&tenant("acme")).await.expect("loaded");
    let grant = record.grant.grant().expect("connected");
    assert!(grant.id != old.id && grant.tokens == tokens("imported"));
    assert_eq!(record.pat, Some(pat("kept")), "what the import does not bring stays");
    assert!(world.backend.get(&[Key::new(Kind::Tombstone, old.id.to_string())]).await.expect("read")[0].is_some());
}

/// Under a new grant id nobody would know that its refresh token has been presented, and it would be once more.
#[tokio::test]
async fn a_pair_that_is_being_refreshed_is_not_replaced_by_itself() {
    let world = World::new().await;
    let old = world.connect("acme").await;
    let intent = world.begun("acme").await;
    let line = || NewTenant { pat: Some(pat("taken")), ..new("acme", "acme") };
    let done = world.store.import(vec![line()], Existing::Replace).await;
    assert_eq!(done, Ok(Imported { uncertain: 1, ..counts(0, 0, 0) }));
    let record = world.store.load(&tenant("acme")).await.expect("loaded");
    assert_eq!((record.grant, record.pat), (GrantState::Uncertain(old.clone(), intent.clone()), Some(pat("taken"))));
    let answer = old.renewed(tokens("answer"));
    let settled = world.store.settle(&tenant("acme"), &intent, Settlement::Renewed(answer.clone())).await;
    assert_eq!((settled, world.grant("acme").await), (Ok(Cas::Stored), Some(answer)), "the answer finds its grant");
}

#[tokio::test]
async fn a_pair_that_is_being_refreshed_is_replaced_by_another_one() {
    let world = World::new().await;
    world.connect("acme").await;
    let _ = world.begun("acme").await;
    assert_eq!(world.store.import(vec![new("acme", "another")], Existing::Replace).await, Ok(counts(0, 1, 0)));
    assert_eq!(world.grant("acme").await.map(|grant| grant.tokens), Some(tokens("another")));
}

#[tokio::test]
async fn a_pat_whose_write_was_given_up_does_not_come_back_over_a_later_one() {
    let world = World::new().await;
    let halted = Meddled::new(Arc::clone(&world.backend));
    let behind = TokenStore::open(Arc::clone(&halted) as _, sealer(1), Random::system()).await.expect("opened");
    for name in ["new", "known"] {
        let tenant = tenant(name);
        if name == "known" {
            world.store.put_pat(&tenant, &pat("old")).await.expect("stored");
        }
        halted.hold_up_the_next_write();
        assert!(behind.put_pat(&tenant, &pat("first")).await.is_err());
        world.store.put_pat(&tenant, &pat("second")).await.expect("stored");
        halted.go_on().await;
        let record = world.store.load(&tenant).await.expect("loaded");
        assert_eq!(record.pat, Some(pat("second")), "{name}");
    }
}

#[tokio::test]
async fn of_two_pats_that_are_stored_at_once_one_is_there_afterwards() {
    let world = World::new().await;
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let store = TokenStore::open(Arc::clone(&meddled) as _, sealer(1), Random::system()).await.expect("opened");
    let other = world.store.clone();
    meddled.before_the_next_write(async move {
        other.put_pat(&tenant("acme"), &pat("in between")).await.expect("stored");
    });
    store.put_pat(&tenant("acme"), &pat("last")).await.expect("stored");
    assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").pat, Some(pat("last")));
}

#[tokio::test]
async fn of_a_tenant_that_comes_twice_the_first_or_the_last_counts() {
    for (existing, kept, expected) in
        [(Existing::Skip, "first", counts(1, 0, 1)), (Existing::Replace, "last", counts(1, 0, 1))]
    {
        let world = World::new().await;
        let done = world.store.import(vec![new("acme", "first"), new("acme", "last")], existing).await;
        assert_eq!(done, Ok(expected));
        assert_eq!(world.store.load(&tenant("acme")).await.expect("loaded").pat, Some(pat(kept)));
    }
}

#[tokio::test]
async fn a_removed_tenant_can_be_imported_again() {
    let world = World::new().await;
    let old = world.connect("acme").await;
    let _ = world.store.remove(&tenant("acme")).await.expect("removed");
    let done = world.store.import(vec![new("acme", "again")], Existing::Skip).await;
    assert_eq!(done, Ok(counts(1, 0, 0)));
    assert!(world.grant("acme").await.is_some_and(|grant| grant.id != old.id));
}

#[tokio::test]
async fn connected_grants_come_in_pages_and_what_cannot_be_read_stops_nobody() {
    let world = World::new().await;
    for name in ["a", "b", "c", "d"] {
        world.connect(name).await;
    }
    world.store.put_pat(&tenant("aa"), &pat("canary")).await.expect("stored");
    let _ = world.store.remove(&tenant("b")).await.expect("removed");
    let foreign = Change {
        key: Key::new(Kind::Grant, "c c"),
        expect: Expect::Anything,
        label: Label::default(),
        body: Body::from_stored(b"{}".to_vec()),
    };
    let _ = world.backend.write(vec![foreign]).await.expect("written");
    let names = |page: &GrantPage| page.grants.iter().map(|listed| listed.tenant.to_string()).collect::<Vec<_>>();
    let first = world.store.connected(None, 3).await.expect("listed");
    assert_eq!((names(&first), first.next.as_deref()), (vec!["a".to_owned(), "c".to_owned()], Some("c c")));
    let last = world.store.connected(first.next.as_deref(), 3).await.expect("listed");
    assert_eq!((names(&last), last.next), (vec!["d".to_owned()], None));
}
