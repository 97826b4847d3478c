use std::{sync::Arc, time::Duration};

use super::{
    Again, Awaited, Awaiting, Connected, Connecting, ConsentError, NewConsent, NewFlow, Outset, Parked, Progress,
    SESSION, STATE, SessionOutcome, SessionWish, Word, key,
};
use crate::{
    model::{
        ClientDescription, ClientStatus, GrantState, Identity, Random, Scope, ScopeSet, Secret, SessionId,
        token::DisconnectReason,
    },
    store::{
        Cas, Claim, ClientStep, Disconnection, Patience, RevocationId, TokenStore,
        backend::{Backend, Change, Expect, Key, Kind, Label, Names, RowState},
        record::Body,
        revocation::CLAIM,
        testing::{World, meddled::Meddled, new_grant, pat, sealer, tenant},
    },
};

const MINUTE: Duration = Duration::from_secs(60);

/// Of a visit.
const LIFE: Duration = Duration::from_secs(12 * 3600);

fn visit(number: u8) -> Secret {
    Secret::new(format!("visit-canary-{number}"))
}

fn wish(name: &str, return_to: Option<&str>) -> SessionWish {
    let scopes = Some(ScopeSet::new("decks:read"));
    SessionWish { tenant: tenant(name), scopes, return_to: return_to.map(str::to_owned), client: None }
}

async fn opened(store: &TokenStore, name: &str) -> SessionId {
    store.open_session(wish(name, None)).await.expect("opened").id
}

fn user(sub: &str) -> Option<Identity> {
    Some(Identity { sub: sub.into(), username: Some(format!("{sub}-name")) })
}

/// What a user of Flexslot has consented to, of a tenant that was not disconnected before.
fn consent(store: &TokenStore, name: &str, sub: &str) -> NewConsent {
    store.new_consent(new_grant(name), user(sub), Outset::default())
}

/// The same of a tenant as it stands now.
async fn consent_now(store: &TokenStore, of: &str, name: &str, sub: &str) -> NewConsent {
    let outset = store.outset(&tenant(of)).await.expect("read");
    store.new_consent(new_grant(name), user(sub), outset)
}

fn completion() -> Awaiting {
    Awaiting::Completion { code: Secret::new("the code") }
}

fn confirmation() -> Awaiting {
    Awaiting::Confirmation { binding: Secret::new("the cookie") }
}

fn new_flow() -> NewFlow {
    NewFlow {
        state: Secret::new("state-canary"),
        verifier: Secret::new("verifier-canary"),
        binding: Secret::new("binding-canary"),
        client_id: "flx_client_1".into(),
        redirect_uri: "http://127.0.0.1:4180/oauth/callback".into(),
        scopes: ScopeSet::new("decks:read"),
    }
}

async fn progress(store: &TokenStore, id: &SessionId) -> Option<Progress> {
    store.session(id).await.expect("read").map(|session| session.progress)
}

/// Which refresh tokens are to be revoked now, as those who send them find out.
async fn to_revoke(store: &TokenStore) -> Vec<String> {
    let mut found = Vec::new();
    for id in store.revocations(None, 100).await.expect("listed").due {
        match store.claim_revocation(&id, Patience::WhenDue).await.expect("answered") {
            Claim::Ours(claimed) => found.push(claimed.revocation.refresh.expose().to_owned()),
            Claim::Dropped => {}
            other => panic!("{other:?}"),
        }
    }
    found
}

async fn connect(store: &TokenStore, name: &str, sub: &str) -> NewConsent {
    let (id, new) = (opened(store, name).await, consent_now(store, name, name, sub).await);
    assert!(matches!(store.connect(&id, &new).await, Ok(Connecting::Connected(_))));
    new
}

fn is_connected(connecting: &Result<Connecting, ConsentError>) -> bool {
    matches!(connecting, Ok(Connecting::Connected(_)))
}

// === sessions and flows ===

#[tokio::test]
async fn a_session_lasts_ten_minutes_by_the_stores_clock() {
    let world = World::new().await;
    let opened = world.store.open_session(wish("acme", Some("https://app.test/done"))).await.expect("opened");
    world.clock.pass(10 * MINUTE - Duration::from_millis(1));
    let session = world.store.session(&opened.id).await.expect("read").expect("there");
    assert_eq!((session.tenant, session.expires_at), (tenant("acme"), opened.expires_at));
    assert_eq!(
        (session.scopes, session.return_to.as_deref()),
        (Some(ScopeSet::new("decks:read")), Some("https://app.test/done"))
    );
    assert_eq!(session.progress, Progress::Open);
    world.clock.pass(Duration::from_millis(1));
    assert_eq!(world.store.session(&opened.id).await, Ok(None));
    let new = consent(&world.store, "acme", "u1");
    assert_eq!(world.store.connect(&opened.id, &new).await, Err(ConsentError::Unknown));
    assert_eq!(world.store.park(&opened.id, &new, &completion()).await, Err(ConsentError::Unknown));
    assert_eq!(world.store.begin_flow(&opened.id, new_flow()).await, Err(ConsentError::Unknown));
    assert_eq!(world.grant("acme").await, None);
}

#[tokio::test]
async fn a_session_that_nobody_opened_is_not_there() {
    let world = World::new().await;
    assert_eq!(world.store.session(&SessionId::from_text("guess")).await, Ok(None));
    assert_eq!(world.store.take_sign_in("guess", &visit(1), LIFE).await, Ok(false));
    assert!(world.store.take_flow("guess").await.expect("read").is_none());
}

#[tokio::test]
async fn a_flow_comes_back_once() {
    let world = World::new().await;
    let id = opened(&world.store, "acme").await;
    world.store.begin_flow(&id, new_flow()).await.expect("begun");
    let flow = world.store.of_another_process().take_flow("state-canary").await.expect("read").expect("there");
    assert_eq!((flow.session, flow.verifier), (id, Secret::new("verifier-canary")));
    assert!(flow.binding.is_of("binding-canary") && !flow.binding.is_of("another"));
    assert!(world.store.take_flow("state-canary").await.expect("read").is_none());
}

#[tokio::test]
async fn of_two_who_take_a_flow_at_once_one_has_it() {
    let world = World::new().await;
    let id = opened(&world.store, "acme").await;
    world.store.begin_flow(&id, new_flow()).await.expect("begun");
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let backend = Arc::clone(&meddled) as Arc<dyn Backend>;
    let ours = TokenStore::open(backend, sealer(1), Random::system()).await.expect("opened");
    let theirs = world.store.clone();
    meddled.before_the_next_write(async move {
        assert!(theirs.take_flow("state-canary").await.expect("read").is_some());
    });
    assert!(ours.take_flow("state-canary").await.expect("read").is_none());
}

#[tokio::test]
async fn a_flow_is_over_with_its_session() {
    let world = World::new().await;
    let id = opened(&world.store, "acme").await;
    world.clock.pass(9 * MINUTE);
    world.store.begin_flow(&id, new_flow()).await.expect("begun");
    world.clock.pass(MINUTE);
    assert!(world.store.take_flow("state-canary").await.expect("read").is_none());
}

#[tokio::test]
async fn a_sign_in_link_works_once_and_for_five_minutes() {
    let world = World::new().await;
    let [first, second] = [world.store.open_sign_in().await, world.store.open_sign_in().await].map(Result::unwrap);
    assert_eq!(world.store.take_sign_in(first.token.expose(), &visit(1), LIFE).await, Ok(true));
    assert_eq!(world.store.take_sign_in(first.token.expose(), &visit(2), LIFE).await, Ok(false));
    world.clock.pass(5 * MINUTE);
    assert_eq!(world.store.take_sign_in(second.token.expose(), &visit(3), LIFE).await, Ok(false));
    let visits = [1, 2, 3].map(|number| (number, visit(number)));
    for (number, visit) in &visits {
        assert_eq!(world.store.is_visit(visit).await, Ok(*number == 1), "{number}");
    }
}

#[tokio::test]
async fn a_visit_ends_for_every_process_when_it_is_ended_in_one() {
    let world = World::new().await;
    for number in [1, 2] {
        let link = world.store.open_sign_in().await.expect("opened");
        assert_eq!(world.store.take_sign_in(link.token.expose(), &visit(number), LIFE).await, Ok(true));
    }
    let elsewhere = world.store.of_another_process();
    assert_eq!(elsewhere.is_visit(&visit(1)).await, Ok(true));
    assert_eq!(elsewhere.end_visit(&visit(1)).await, Ok(()));
    assert_eq!((world.store.is_visit(&visit(1)).await, world.store.is_visit(&visit(2)).await), (Ok(false), Ok(true)));
    assert_eq!(world.store.end_visit(&visit(1)).await, Ok(()), "once more does no harm");
}

#[tokio::test]
async fn a_copy_of_the_store_opens_no_session_and_no_flow() {
    let world = World::new().await;
    let id = opened(&world.store, "acme").await;
    world.store.begin_flow(&id, new_flow()).await.expect("begun");
    let link = world.store.open_sign_in().await.expect("opened");
    let (shared, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    world.store.park(&shared, &new, &completion()).await.expect("parked");
    let mut seen = String::new();
    for kind in [Kind::Flow, Kind::Revocation] {
        for (name, row) in world.backend.list(kind, None, Names::default(), 100).await.expect("listed") {
            seen += &format!("{name} {}", String::from_utf8_lossy(row.expect("read").body.as_bytes()));
        }
    }
    assert!(seen.contains("flx_client_1"), "the search finds what is there");
    for secret in [id.expose(), shared.expose(), link.token.expose(), "canary", "the code"] {
        assert!(!seen.contains(secret));
    }
}

#[tokio::test]
async fn what_is_over_is_purged() {
    let world = World::new().await;
    let id = opened(&world.store, "acme").await;
    world.store.begin_flow(&id, new_flow()).await.expect("begun");
    world.store.park(&id, &consent(&world.store, "acme", "u1"), &completion()).await.expect("parked");
    world.clock.pass(11 * MINUTE);
    assert_eq!(world.store.purge().await, Ok(2), "session and flow; the revocation has a day");
    world.clock.pass(Duration::from_secs(25 * 3600));
    assert_eq!(world.store.purge().await, Ok(1));
}

#[tokio::test]
async fn a_denial_uses_up_only_a_session_that_an_app_waits_for() {
    let world = World::new().await;
    let plain = opened(&world.store, "acme").await;
    let apps = world.store.open_session(wish("acme", Some("https://app.test/"))).await.expect("opened").id;
    for id in [&plain, &apps] {
        world.store.end_session(id, SessionOutcome::Denied).await.expect("ended");
    }
    assert_eq!(progress(&world.store, &plain).await, Some(Progress::Open));
    assert_eq!(progress(&world.store, &apps).await, Some(Progress::Ended(SessionOutcome::Denied)));
    let new = consent(&world.store, "acme", "u1");
    let ended = ConsentError::Ended(SessionOutcome::Denied);
    assert_eq!(world.store.connect(&apps, &new).await, Err(ended.clone()));
    assert_eq!(world.store.begin_flow(&apps, new_flow()).await, Err(ended));
    assert!(is_connected(&world.store.connect(&plain, &new).await));
}

// === connecting ===

#[tokio::test]
async fn a_grant_whose_owner_was_tampered_with_is_somebodys_and_the_next_to_consent_is_asked() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    assert!(is_connected(&world.store.connect(&id, &new).await));
    let key = Key::new(Kind::Identity, "acme");
    let row = world.backend.get(std::slice::from_ref(&key)).await.expect("read").remove(0).expect("a row");
    let forged = String::from_utf8_lossy(row.body.as_bytes()).replace("\"u1\"", "\"u2\"");
    let change =
        Change { key, expect: Expect::Anything, label: row.label, body: Body::from_stored(forged.into_bytes()) };
    world.backend.write(vec![change]).await.expect("written");
    let before = world.store.outset(&tenant("acme")).await.expect("told").identity.expect("somebody");
    assert!(before.sub != "u1" && before.sub != "u2" && before.username.is_none(), "{before:?}");
    // With the word of the browser that consented it goes on, and the record is good again.
    let (id, new) = (opened(&world.store, "acme").await, consent_now(&world.store, "acme", "beta", "u2").await);
    assert!(is_connected(&world.store.connect(&id, &new).await));
    let known = world.store.identity(&tenant("acme")).await.expect("read").and_then(|record| record.identity);
    assert_eq!(known, user("u2"));
}

async fn put(world: &World, key: &Key, label: Label, body: &str) {
    let (key, body) = (key.clone(), Body::from_stored(body.as_bytes().to_vec()));
    world.backend.write(vec![Change { key, expect: Expect::Anything, label, body }]).await.expect("written");
}

/// Whoever can write to the store can take the row away that says whose a grant is, or bring back another grant's.
#[tokio::test]
async fn a_grant_whose_owner_was_taken_away_is_somebodys_as_well() {
    let world = World::new().await;
    let (identity, grant) = (Key::new(Kind::Identity, "acme"), Key::new(Kind::Grant, "acme"));
    let read =
        async |key: &Key| world.backend.get(std::slice::from_ref(key)).await.expect("read").remove(0).expect("a row");
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    assert!(is_connected(&world.store.connect(&id, &new).await));
    let of_first = read(&identity).await;
    let (id, new) = (opened(&world.store, "acme").await, consent_now(&world.store, "acme", "beta", "u1").await);
    assert!(is_connected(&world.store.connect(&id, &new).await));
    let sub = async || world.store.outset(&tenant("acme")).await.expect("told").identity.map(|identity| identity.sub);
    assert_eq!(sub().await.as_deref(), Some("u1"));
    put(&world, &identity, of_first.label, std::str::from_utf8(of_first.body.as_bytes()).unwrap()).await;
    assert_eq!(sub().await.as_deref(), Some(""), "another grant's is brought back");
    put(&world, &identity, Label { state: RowState::Gone, ..Label::default() }, "{}").await;
    assert_eq!(sub().await.as_deref(), Some(""), "it is taken away");
    let lacks = [Scope::from_name("decks:write").expect("a scope")];
    world.store.put_lacking(&tenant("acme"), new.grant.id, &lacks).await.expect("read");
    assert_eq!(sub().await.as_deref(), Some(""), "what the grant lacks says nothing of its user");
    let row = read(&grant).await;
    let claimed = String::from_utf8_lossy(row.body.as_bytes()).replace("\"came_by\":\"consent\",", "");
    assert!(claimed.len() < row.body.as_bytes().len(), "{claimed}");
    put(&world, &grant, row.label, &claimed).await;
    assert_eq!(sub().await.as_deref(), Some(""), "the grant is made to look like one that was imported");
}

#[tokio::test]
async fn a_consent_becomes_its_tenants_grant_and_uses_up_the_session() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    let connected =
        Connected { tenant: tenant("acme"), identity: user("u1"), scopes: ScopeSet::new("decks:read cards:read") };
    // A second time as if the first answer had been lost.
    for _ in 0..2 {
        assert_eq!(world.store.connect(&id, &new).await, Ok(Connecting::Connected(connected.clone())));
    }
    assert_eq!(world.grant("acme").await, Some(new.grant));
    let known = world.store.identity(&tenant("acme")).await.expect("read").and_then(|record| record.identity);
    assert_eq!(known, user("u1"));
    let again = consent(&world.store, "acme", "u1");
    let ended = ConsentError::Ended(SessionOutcome::Connected);
    assert_eq!(world.store.connect(&id, &again).await, Err(ended.clone()));
    assert_eq!(world.store.park(&id, &again, &completion()).await, Err(ended));
}

#[tokio::test]
async fn of_two_tabs_that_complete_one_session_one_connects() {
    let world = World::new().await;
    let id = opened(&world.store, "acme").await;
    let (first, second) = (consent(&world.store, "first", "u1"), consent(&world.store, "second", "u1"));
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let backend = Arc::clone(&meddled) as Arc<dyn Backend>;
    let ours = TokenStore::open(backend, sealer(1), Random::system()).await.expect("opened");
    let (theirs, session, grant) = (world.store.clone(), id.clone(), first.grant.clone());
    meddled.before_the_next_write(async move {
        assert!(is_connected(&theirs.connect(&session, &first).await));
    });
    assert_eq!(ours.connect(&id, &second).await, Err(ConsentError::Ended(SessionOutcome::Connected)));
    assert_eq!(world.grant("acme").await, Some(grant));
}

#[tokio::test]
async fn the_old_grant_stays_until_the_new_one_is_there_and_never_comes_back() {
    let world = World::new().await;
    let old = world.connect("acme").await;
    let id = opened(&world.store, "acme").await;
    world.store.begin_flow(&id, new_flow()).await.expect("begun");
    assert_eq!(world.grant("acme").await.as_ref(), Some(&old));
    let new = consent(&world.store, "more", "u1");
    assert!(is_connected(&world.store.connect(&id, &new).await));
    assert_eq!(world.grant("acme").await, Some(new.grant));
    let tombstones = world.backend.list(Kind::Tombstone, None, Names::default(), 10).await.expect("listed");
    assert_eq!(tombstones.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), [old.id.to_string()]);
    assert!(to_revoke(&world.store).await.is_empty(), "of the same user, as far as anybody knows");
}

#[tokio::test]
async fn the_old_grant_of_another_user_is_revoked() {
    let world = World::new().await;
    connect(&world.store, "acme", "u1").await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "new", "u2"));
    assert!(is_connected(&world.store.connect(&id, &new).await));
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-acme"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_can_be_connected_over() {
    let world = World::new().await;
    let elsewhere = TokenStore::open(Arc::clone(&world.backend), sealer(1), Random::system()).await.expect("opened");
    let grant = elsewhere.new_consent(new_grant("acme"), None, Outset::default()).grant;
    let change = Change {
        key: Key::new(Kind::Grant, "acme"),
        expect: Expect::Anything,
        label: Label { grant: Some(grant.id), ..Default::default() },
        body: Body::from_stored(b"damaged".to_vec()),
    };
    let _ = world.backend.write(vec![change]).await.expect("written");
    let new = connect(&world.store, "acme", "u1").await;
    assert_eq!(world.grant("acme").await, Some(new.grant));
}

#[tokio::test]
async fn a_session_is_void_once_its_tenant_was_removed() {
    for has_grant in [true, false] {
        let world = World::new().await;
        if has_grant {
            world.connect("acme").await;
        } else {
            world.store.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
        }
        let ids = [opened(&world.store, "acme").await, opened(&world.store, "acme").await];
        let new = consent(&world.store, "new", "u1");
        world.store.park(&ids[1], &new, &completion()).await.expect("parked");
        world.clock.pass(MINUTE);
        let _ = world.store.remove(&tenant("acme")).await.expect("removed");
        assert_eq!(world.store.connect(&ids[0], &new).await, Err(ConsentError::Overtaken));
        assert_eq!(
            world.store.last_word(&ids[1], &mut Word::completed("the code")).await,
            Err(ConsentError::Overtaken)
        );
        assert_eq!(world.grant("acme").await, None);
        world.clock.pass(9 * MINUTE);
        assert_eq!(to_revoke(&world.store).await, ["refresh-canary-new"]);
        world.clock.pass(CLAIM);
        connect(&world.store, "acme", "u1").await;
    }
}

// === parking ===

#[tokio::test]
async fn a_parked_grant_is_nobodys_until_the_app_says_so() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    for _ in 0..2 {
        assert_eq!(world.store.park(&id, &new, &completion()).await, Ok(()), "also where an answer was lost");
    }
    assert_eq!(world.grant("acme").await, None);
    let awaiting = Awaited::from(&completion());
    assert_eq!(progress(&world.store, &id).await, Some(Progress::Parked(Parked { identity: user("u1"), awaiting })));
    assert_eq!(world.store.connect(&id, &new).await, Err(ConsentError::OutOfStep));
    assert_eq!(world.store.last_word(&id, &mut Word::completed("a guess")).await, Err(ConsentError::Mismatch));
    assert_eq!(world.store.last_word(&id, &mut Word::confirmed("the cookie")).await, Err(ConsentError::OutOfStep));
    assert!(is_connected(&world.store.last_word(&id, &mut Word::completed("the code")).await));
    assert_eq!(world.grant("acme").await, Some(new.grant));
    let ended = ConsentError::Ended(SessionOutcome::Connected);
    assert_eq!(world.store.last_word(&id, &mut Word::completed("the code")).await, Err(ended), "a code works once");
    world.clock.pass(11 * MINUTE);
    assert!(to_revoke(&world.store).await.is_empty());
}

#[tokio::test]
async fn a_last_word_whose_answer_was_lost_can_be_said_again_and_no_other_word_stands_for_it() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    world.store.park(&id, &new, &completion()).await.expect("parked");
    let [mut right, mut wrong] = ["the code", "a guess"].map(Word::completed);
    assert_eq!(world.store.last_word(&id, &mut wrong).await, Err(ConsentError::Mismatch));
    let first = world.store.last_word(&id, &mut right).await;
    assert!(is_connected(&first));
    assert_eq!(world.store.last_word(&id, &mut right).await, first);
    let ended = ConsentError::Ended(SessionOutcome::Connected);
    for mut other in [wrong, Word::completed("the code")] {
        assert_eq!(world.store.last_word(&id, &mut other).await, Err(ended.clone()));
    }
}

#[tokio::test]
async fn another_users_grant_is_taken_when_the_browser_confirms_and_the_old_one_revoked() {
    let world = World::new().await;
    connect(&world.store, "acme", "u1").await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "new", "u2"));
    world.store.park(&id, &new, &confirmation()).await.expect("parked");
    let Some(Progress::Parked(parked)) = progress(&world.store, &id).await else { panic!("not parked") };
    assert!(parked.is_bound_to("the cookie") && !parked.is_bound_to("another"));
    assert_eq!(world.store.last_word(&id, &mut Word::confirmed("another")).await, Err(ConsentError::Mismatch));
    assert!(is_connected(&world.store.last_word(&id, &mut Word::confirmed("the cookie")).await));
    assert_eq!(world.grant("acme").await, Some(new.grant));
    let known = world.store.identity(&tenant("acme")).await.expect("read").and_then(|record| record.identity);
    assert_eq!(known, user("u2"));
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-acme"]);
}

#[tokio::test]
async fn what_the_browser_confirms_may_still_wait_for_the_app() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u2"));
    world.store.park(&id, &new, &confirmation()).await.expect("parked");
    assert_eq!(world.store.hand_over(&id, "another", "the code").await, Err(ConsentError::Mismatch));
    assert_eq!(world.store.last_word(&id, &mut Word::completed("the code")).await, Err(ConsentError::OutOfStep));
    for _ in 0..2 {
        assert_eq!(world.store.hand_over(&id, "the cookie", "the code").await, Ok(()));
    }
    assert_eq!(world.grant("acme").await, None);
    assert_eq!(world.store.last_word(&id, &mut Word::confirmed("the cookie")).await, Err(ConsentError::OutOfStep));
    assert!(is_connected(&world.store.last_word(&id, &mut Word::completed("the code")).await));
    assert_eq!(world.grant("acme").await, Some(new.grant));
}

#[tokio::test]
async fn what_nobody_completes_is_revoked_when_the_session_is_over() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    world.store.park(&id, &new, &completion()).await.expect("parked");
    let revocation = RevocationId { tenant: tenant("acme"), grant: new.grant.id };
    world.clock.pass(10 * MINUTE - Duration::from_millis(1));
    let early = world.store.claim_revocation(&revocation, Patience::AtOnce).await.expect("answered");
    assert!(matches!(early, Claim::NotYet) && to_revoke(&world.store).await.is_empty());
    world.clock.pass(Duration::from_millis(1));
    assert_eq!(world.store.last_word(&id, &mut Word::completed("the code")).await, Err(ConsentError::Unknown));
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-acme"]);
}

#[tokio::test]
async fn who_completes_is_never_overtaken_by_the_end_of_the_session() {
    // The claim comes between the app's reading and its writing, by a clock that has jumped.
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    world.store.park(&id, &new, &completion()).await.expect("parked");
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let backend = Arc::clone(&meddled) as Arc<dyn Backend>;
    let ours = TokenStore::open(backend, sealer(1), Random::system()).await.expect("opened");
    let (theirs, clock) = (world.store.clone(), Arc::clone(&world.clock));
    meddled.before_the_next_write(async move {
        clock.pass(10 * MINUTE);
        assert_eq!(to_revoke(&theirs).await, ["refresh-canary-acme"]);
    });
    assert_eq!(ours.last_word(&id, &mut Word::completed("the code")).await, Err(ConsentError::Unknown));
    assert_eq!(world.grant("acme").await, None);
}

#[tokio::test]
async fn who_cancels_has_what_was_parked_revoked_at_once() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    world.store.park(&id, &new, &confirmation()).await.expect("parked");
    world.store.end_session(&id, SessionOutcome::Denied).await.expect("ended");
    assert_eq!(
        world.store.last_word(&id, &mut Word::confirmed("the cookie")).await,
        Err(ConsentError::Ended(SessionOutcome::Denied))
    );
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-acme"]);
}

#[tokio::test]
async fn a_flow_that_fails_leaves_what_another_window_has_brought() {
    let world = World::new().await;
    let id = world.store.open_session(wish("acme", Some("https://app.test/"))).await.expect("opened").id;
    world.store.park(&id, &consent(&world.store, "acme", "u1"), &completion()).await.expect("parked");
    let failed = SessionOutcome::Failed("late".into());
    assert_eq!(world.store.fail_flow(&id, failed.clone()).await, Ok(Again::Over));
    assert!(is_connected(&world.store.last_word(&id, &mut Word::completed("the code")).await));

    let open = opened(&world.store, "acme").await;
    assert_eq!(world.store.fail_flow(&open, failed).await, Ok(Again::Possible));
}

#[tokio::test]
async fn a_parked_grant_is_void_after_a_disconnect_and_after_another_grant() {
    let world = World::new().await;
    connect(&world.store, "acme", "u1").await;
    let ids = [opened(&world.store, "acme").await, opened(&world.store, "acme").await];
    let first = consent(&world.store, "first", "u1");
    world.store.park(&ids[0], &first, &completion()).await.expect("parked");
    assert!(matches!(world.store.disconnect(&tenant("acme")).await, Ok(Disconnection::ToRevoke(_))));
    assert_eq!(world.store.last_word(&ids[0], &mut Word::completed("the code")).await, Err(ConsentError::Overtaken));
    assert_eq!(to_revoke(&world.store).await.len(), 2, "both at once");
    world.clock.pass(MINUTE);
    let second = consent_now(&world.store, "acme", "second", "u1").await;
    world.store.park(&ids[1], &second, &completion()).await.expect("parked");
    let newest = connect(&world.store, "acme", "u1").await;
    assert_eq!(world.store.last_word(&ids[1], &mut Word::completed("the code")).await, Err(ConsentError::Overtaken));
    assert_eq!(world.grant("acme").await, Some(newest.grant));
    world.clock.pass(20 * MINUTE);
    assert!(to_revoke(&world.store).await.is_empty(), "dropped with the grant of the same user");
}

#[tokio::test]
async fn who_disconnects_after_a_code_came_back_has_the_last_word() {
    for parks in [false, true] {
        let world = World::new().await;
        connect(&world.store, "acme", "u1").await;
        let ids = [opened(&world.store, "acme").await, opened(&world.store, "acme").await];
        let before = consent_now(&world.store, "acme", "before", "u1").await;
        let _ = world.store.disconnect(&tenant("acme")).await.expect("disconnected");
        let after = consent_now(&world.store, "acme", "after", "u1").await;
        let came = async |id, new| match parks {
            true => world.store.park(id, new, &completion()).await,
            false => world.store.connect(id, new).await.map(drop),
        };
        assert_eq!(came(&ids[0], &before).await, Err(ConsentError::Overtaken));
        assert_eq!(world.grant("acme").await, None);
        assert_eq!(came(&ids[1], &after).await, Ok(()), "who consents anew connects again");
    }
}

#[tokio::test]
async fn of_one_who_parks_and_one_who_disconnects_at_once_the_disconnect_wins() {
    // In whichever order the two write.
    for parks_first in [false, true] {
        let world = World::new().await;
        connect(&world.store, "acme", "u1").await;
        let (id, new) = (opened(&world.store, "acme").await, consent_now(&world.store, "acme", "new", "u1").await);
        let meddled = Meddled::new(Arc::clone(&world.backend));
        let backend = Arc::clone(&meddled) as Arc<dyn Backend>;
        let ours = TokenStore::open(backend, sealer(1), Random::system()).await.expect("opened");
        let theirs = world.store.clone();
        if parks_first {
            let id = id.clone();
            meddled.before_the_next_write(async move {
                theirs.park(&id, &new, &completion()).await.expect("parked");
            });
            assert!(matches!(ours.disconnect(&tenant("acme")).await, Ok(Disconnection::ToRevoke(_))));
        } else {
            meddled.before_the_next_write(async move {
                assert!(matches!(theirs.disconnect(&tenant("acme")).await, Ok(Disconnection::ToRevoke(_))));
            });
            assert_eq!(ours.park(&id, &new, &completion()).await, Err(ConsentError::Overtaken));
            ours.discard(&id, &new.grant, Some("u1")).await.expect("queued");
        }
        assert!(!is_connected(&world.store.last_word(&id, &mut Word::completed("the code")).await));
        let mut revoked = to_revoke(&world.store).await;
        revoked.sort();
        assert_eq!(revoked, ["refresh-canary-acme", "refresh-canary-new"]);
    }
}

#[tokio::test]
async fn a_grant_that_is_parked_while_another_is_stored_is_void_as_well() {
    // The one that stores does not see the one that parks.
    let world = World::new().await;
    let ids = [opened(&world.store, "acme").await, opened(&world.store, "acme").await];
    let [stored, parked] = ["stored", "parked"].map(|name| consent(&world.store, name, "u1"));
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let backend = Arc::clone(&meddled) as Arc<dyn Backend>;
    let ours = TokenStore::open(backend, sealer(1), Random::system()).await.expect("opened");
    let (theirs, other) = (world.store.clone(), ids[1].clone());
    meddled.before_the_next_write(async move {
        theirs.park(&other, &parked, &completion()).await.expect("parked");
    });
    assert!(is_connected(&ours.connect(&ids[0], &stored).await));
    assert_eq!(world.store.last_word(&ids[1], &mut Word::completed("the code")).await, Err(ConsentError::Overtaken));
    world.clock.pass(10 * MINUTE);
    assert!(to_revoke(&world.store).await.is_empty(), "it would be sent after a later grant of the same user");
}

// === revocations ===

#[tokio::test]
async fn a_disconnect_forgets_the_grant_and_queues_its_revocation() {
    let world = World::new().await;
    let new = connect(&world.store, "acme", "u1").await;
    assert_eq!(world.store.disconnect(&tenant("acme")).await, Ok(Disconnection::ToRevoke(vec![new.grant.id])));
    let record = world.store.load(&tenant("acme")).await.expect("loaded");
    assert!(matches!(record.grant, GrantState::Disconnected(end) if end.reason == DisconnectReason::Disconnected));
    assert_eq!(world.store.identity(&tenant("acme")).await, Ok(None));
    assert!(world.backend.list(Kind::Identity, None, Names::default(), 10).await.expect("listed").is_empty());
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-acme"]);
    assert_eq!(world.store.disconnect(&tenant("acme")).await, Ok(Disconnection::Nothing));
    assert_eq!(world.store.disconnect(&tenant("nobody")).await, Ok(Disconnection::Nothing));
}

#[tokio::test]
async fn what_waits_for_a_last_word_is_disconnected_too() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    assert_eq!(world.store.has_parked(&tenant("acme")).await, Ok(false));
    world.store.park(&id, &new, &completion()).await.expect("parked");
    assert_eq!(world.store.has_parked(&tenant("acme")).await, Ok(true));
    assert_eq!(world.store.has_parked(&tenant("acm")).await, Ok(false));
    assert_eq!(world.store.disconnect(&tenant("acme")).await, Ok(Disconnection::ToRevoke(vec![new.grant.id])));
    assert_eq!(world.store.has_parked(&tenant("acme")).await, Ok(false));
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-acme"]);
}

#[tokio::test]
async fn a_revocation_is_sent_by_one_at_a_time_and_again_where_that_one_dies() {
    let world = World::new().await;
    let new = connect(&world.store, "acme", "u1").await;
    let _ = world.store.disconnect(&tenant("acme")).await.expect("disconnected");
    let id = RevocationId { tenant: tenant("acme"), grant: new.grant.id };
    let claim = |patience| world.store.claim_revocation(&id, patience);
    assert!(matches!(claim(Patience::WhenDue).await, Ok(Claim::Ours(claimed)) if claimed.revocation.attempts == 1));
    assert!(matches!(claim(Patience::AtOnce).await, Ok(Claim::Taken(left)) if left == CLAIM));
    assert!(world.store.revocations(None, 10).await.expect("listed").due.is_empty());
    world.clock.pass(CLAIM);
    let Ok(Claim::Ours(second)) = claim(Patience::WhenDue).await else { panic!("not ours") };
    assert_eq!(second.revocation.attempts, 2);
    let moved = world.store.not_revoked(&second, MINUTE).await;
    assert_eq!(moved, Ok(Cas::Stored));
    assert!(matches!(claim(Patience::WhenDue).await, Ok(Claim::NotYet)));
    let Ok(Claim::Ours(third)) = claim(Patience::AtOnce).await else { panic!("not ours") };
    assert_eq!(world.store.revoked(&third).await, Ok(Cas::Stored));
    assert!(matches!(claim(Patience::AtOnce).await, Ok(Claim::Nothing)));
}

#[tokio::test]
async fn a_revocation_is_given_up_after_a_day() {
    let world = World::new().await;
    let new = connect(&world.store, "acme", "u1").await;
    let _ = world.store.disconnect(&tenant("acme")).await.expect("disconnected");
    world.clock.pass(Duration::from_secs(24 * 3600));
    let id = RevocationId { tenant: tenant("acme"), grant: new.grant.id };
    let claim = world.store.claim_revocation(&id, Patience::WhenDue).await;
    assert!(matches!(claim, Ok(Claim::GivenUp)));
    assert!(world.backend.list(Kind::Revocation, None, Names::default(), 10).await.expect("listed").is_empty());
}

#[tokio::test]
async fn a_pending_revocation_is_dropped_with_the_next_grant_unless_it_is_another_users() {
    for (next, revoked) in [("u1", 0), ("u2", 1)] {
        let world = World::new().await;
        connect(&world.store, "acme", "u1").await;
        let _ = world.store.disconnect(&tenant("acme")).await.expect("disconnected");
        connect(&world.store, "acme", next).await;
        assert_eq!(to_revoke(&world.store).await.len(), revoked, "{next}");
        let rows =
            world.backend.list(Kind::Revocation, Some(RowState::Live), Names::default(), 10).await.expect("listed");
        assert_eq!(rows.len(), revoked, "with the very write");
    }
}

#[tokio::test]
async fn a_grant_is_not_stored_while_an_earlier_one_is_being_revoked() {
    let world = World::new().await;
    connect(&world.store, "acme", "u1").await;
    let _ = world.store.disconnect(&tenant("acme")).await.expect("disconnected");
    assert_eq!(to_revoke(&world.store).await.len(), 1, "claimed");
    let (id, new) = (opened(&world.store, "acme").await, consent_now(&world.store, "acme", "acme", "u1").await);
    assert_eq!(world.store.connect(&id, &new).await, Ok(Connecting::Wait(CLAIM)));
    assert_eq!(world.grant("acme").await, None);
    world.clock.pass(CLAIM);
    assert!(is_connected(&world.store.connect(&id, &new).await));
    assert!(to_revoke(&world.store).await.is_empty());
}

#[tokio::test]
async fn a_claim_between_reading_and_storing_is_seen() {
    let world = World::new().await;
    connect(&world.store, "acme", "u1").await;
    let _ = world.store.disconnect(&tenant("acme")).await.expect("disconnected");
    let (id, new) = (opened(&world.store, "acme").await, consent_now(&world.store, "acme", "acme", "u1").await);
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let backend = Arc::clone(&meddled) as Arc<dyn Backend>;
    let ours = TokenStore::open(backend, sealer(1), Random::system()).await.expect("opened");
    let theirs = world.store.clone();
    meddled.before_the_next_write(async move { assert_eq!(to_revoke(&theirs).await.len(), 1) });
    assert!(matches!(ours.connect(&id, &new).await, Ok(Connecting::Wait(_))));
}

#[tokio::test]
async fn what_came_about_and_became_nobodys_is_revoked() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    world.clock.pass(11 * MINUTE);
    for _ in 0..2 {
        world.store.discard(&id, &new.grant, Some("u1")).await.expect("queued");
    }
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-acme"]);
}

#[tokio::test]
async fn what_became_nobodys_is_revoked_beside_an_earlier_grant_and_not_beside_its_sessions_own() {
    let world = World::new().await;
    connect(&world.store, "acme", "u1").await;
    let (late, new) = (opened(&world.store, "acme").await, consent(&world.store, "late", "u1"));
    world.clock.pass(11 * MINUTE);
    world.store.discard(&late, &new.grant, Some("u1")).await.expect("queued");
    assert_eq!(to_revoke(&world.store).await, ["refresh-canary-late"]);

    // Of two windows of one session, the second to come.
    let (id, first) = (opened(&world.store, "beta").await, consent(&world.store, "first", "u2"));
    assert!(is_connected(&world.store.connect(&id, &first).await));
    let second = consent(&world.store, "second", "u2");
    world.store.discard(&id, &second.grant, Some("u2")).await.expect("queued");
    assert_eq!(to_revoke(&world.store).await, Vec::<String>::new());
}

#[tokio::test]
async fn sessions_and_revocations_are_found_by_nothing_but_their_names() {
    let world = World::new().await;
    let id = opened(&world.store, "acme").await;
    world.store.begin_flow(&id, new_flow()).await.expect("begun");
    let names: Vec<_> = world
        .backend
        .list(Kind::Flow, None, Names::default(), 10)
        .await
        .expect("listed")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [key(SESSION, id.expose()).name, key(STATE, "state-canary").name]);
}

#[tokio::test]
async fn what_was_given_to_a_client_that_is_revoked_meanwhile_does_not_come_to_life() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    world.store.park(&id, &new, &completion()).await.expect("parked");
    world.store.forget_client(&new.grant.client_id).await.expect("forgotten");
    let mut word = Word::completed("the code");
    assert_eq!(world.store.last_word(&id, &mut word).await, Err(ConsentError::ClientRevoked));
    assert_eq!(world.grant("acme").await, None);
    let ended = SessionOutcome::Failed("client_revoked".into());
    assert_eq!(world.store.last_word(&id, &mut word).await, Err(ConsentError::Ended(ended)));
    world.clock.pass(10 * MINUTE);
    assert!(to_revoke(&world.store).await.is_empty(), "Flexslot has ended it with its client");
    let other = opened(&world.store, "acme").await;
    let late = consent(&world.store, "late", "u1");
    assert_eq!(world.store.connect(&other, &late).await, Err(ConsentError::ClientRevoked));
    assert_eq!(world.store.park(&other, &late, &completion()).await, Err(ConsentError::ClientRevoked));
}

/// As after a rotation that Flexslot has refused, of a client that the configuration names.
#[tokio::test]
async fn a_client_that_is_merely_not_kept_goes_on() {
    let world = World::new().await;
    let (id, new) = (opened(&world.store, "acme").await, consent(&world.store, "acme", "u1"));
    let client = ClientDescription {
        client_id: new.grant.client_id.clone(),
        name: "App".into(),
        client_type: None,
        status: ClientStatus::Active,
        redirect_uris: vec![],
        scopes: vec![],
        dpop_bound_access_tokens: false,
        created_at: None,
        last_used_at: None,
        secret_rotated_at: None,
    };
    let begun = world.store.begin_step(&client, &new.grant.origin, &tenant("george"), ClientStep::Rotate).await;
    world.store.withdraw_step(&client.client_id, &begun.expect("begun").intent).await.expect("withdrawn");
    assert!(is_connected(&world.store.connect(&id, &new).await));
}
