use std::sync::Arc;

use proptest::prelude::*;

use crate::{
    model::{GrantState, Random, ScopeSet, Secret, Timestamp, token::DisconnectReason},
    store::{
        Awaiting, Cas, Connecting, NewFlow, Outset, SessionWish, Settlement, StoreError, TokenStore, Word,
        backend::{Backend, Change, Expect, Key, Kind, Label, Row},
        record::{self, Body},
        seal::{Beside, Place, Sealer},
        testing::{World, grant, meddled::Meddled, new_grant, pat, ring, sealer, tenant},
    },
};

fn rotating() -> Sealer {
    Sealer::new(ring(&[2, 1]), Random::system())
}

async fn open(backend: &Arc<dyn Backend>, sealer: Sealer) -> TokenStore {
    TokenStore::open(Arc::clone(backend), sealer, Random::system()).await.expect("opened")
}

async fn row(backend: &Arc<dyn Backend>, kind: Kind, name: &str) -> Row {
    backend.get(&[Key::new(kind, name)]).await.expect("read").remove(0).expect("a row")
}

async fn put(backend: &Arc<dyn Backend>, kind: Kind, name: &str, label: Label, body: Body) {
    let change = Change { key: Key::new(kind, name), expect: Expect::Anything, label, body };
    let _ = backend.write(vec![change]).await.expect("written");
}

/// Seals everything with key 2.
async fn rotate(store: &TokenStore) -> u64 {
    let _ = store.take_first_key().await.expect("taken");
    store.reseal(|_| ()).await.expect("sealed")
}

/// A store with a grant in each state, a PAT, and a record of a kind that only later versions may have more of.
async fn full() -> World {
    let world = World::new().await;
    world.connect("connected").await;
    world.connect("uncertain").await;
    world.begun("uncertain").await;
    let ended = world.connect("ended").await;
    let intent = world.begun("ended").await;
    let end = ended.disconnected(DisconnectReason::InvalidGrant, Timestamp::from_secs(1_795_200_200));
    assert_eq!(world.store.settle(&tenant("ended"), &intent, Settlement::Ended(end)).await, Ok(Cas::Stored));
    world.store.put_pat(&tenant("connected"), &pat("flx_pat_canary")).await.expect("stored");
    world
}

#[tokio::test]
async fn afterwards_the_new_key_alone_opens_everything_and_nothing_else_has_changed() {
    let world = full().await;
    let names = ["connected", "uncertain", "ended"];
    let mut before = Vec::new();
    for name in names {
        before.push(world.store.load(&tenant(name)).await.expect("loaded"));
    }
    let label = row(&world.backend, Kind::Grant, "uncertain").await.label;
    let store = open(&world.backend, rotating()).await;
    assert_eq!(rotate(&store).await, 3, "two grants and a PAT; the key check went before");
    let survey = store.survey().await.expect("looked at");
    assert_eq!((survey.of(sealer(2).sealing_key()), survey.others_than(sealer(2).sealing_key())), (4, 0));
    let after = open(&world.backend, sealer(2)).await;
    for (name, before) in names.into_iter().zip(before) {
        let record = after.load(&tenant(name)).await.expect("loaded");
        assert_eq!((record.grant, record.pat, record.last_used), (before.grant, before.pat, before.last_used));
    }
    assert_eq!(row(&world.backend, Kind::Grant, "uncertain").await.label, label);
    assert!(TokenStore::open(world.backend, sealer(1), Random::system()).await.is_err(), "the old key is of no use");
}

#[tokio::test]
async fn a_second_run_finds_nothing_to_do_and_writes_nothing() {
    let world = full().await;
    let store = open(&world.backend, rotating()).await;
    rotate(&store).await;
    let head = store.changed_since(crate::store::backend::Revision(0)).await.expect("asked").head;
    assert_eq!(rotate(&store).await, 0);
    assert_eq!(store.changed_since(head).await.expect("asked").head, head);
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_goes_on_where_it_was() {
    let world = full().await;
    let first = open(&world.backend, rotating()).await;
    first.take_first_key().await.expect("taken");
    let some = [Key::new(Kind::Grant, "connected")];
    assert_eq!(first.reseal_rows(&some).await, Ok(1));
    // Cut off here. Who starts now, with the file as it is, opens both halves.
    let second = open(&world.backend, rotating()).await;
    assert!(matches!(second.load(&tenant("uncertain")).await.expect("loaded").grant, GrantState::Uncertain(..)));
    assert_eq!(rotate(&second).await, 2, "the other grant and the PAT");
}

#[tokio::test]
async fn a_record_that_is_renewed_meanwhile_keeps_what_was_renewed() {
    let world = full().await;
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let store = open(&(Arc::clone(&meddled) as Arc<dyn Backend>), rotating()).await;
    store.take_first_key().await.expect("taken");
    let old = world.store.clone();
    meddled.before_the_next_write(async move {
        old.put_pat(&tenant("connected"), &pat("flx_pat_newer")).await.expect("stored");
    });
    let keys = ["connected"].map(|name| Key::new(Kind::Pat, name));
    assert_eq!(store.reseal_rows(&keys).await, Ok(0), "left to a later look");
    assert_eq!(store.load(&tenant("connected")).await.expect("loaded").pat, Some(pat("flx_pat_newer")));
    assert_eq!(rotate(&store).await, 3, "which finds it");
    let after = open(&world.backend, sealer(2)).await;
    assert_eq!(after.load(&tenant("connected")).await.expect("loaded").pat, Some(pat("flx_pat_newer")));
}

#[tokio::test]
async fn what_does_not_open_is_named_by_tenant_and_field_and_the_rest_is_sealed() {
    let world = full().await;
    let source = row(&world.backend, Kind::Pat, "connected").await;
    put(&world.backend, Kind::Pat, "copied", source.label, source.body.clone()).await;
    let (label, body) = record::pat(&sealer(9), &tenant("foreign"), &pat("canary"));
    put(&world.backend, Kind::Pat, "foreign", label, body).await;
    put(&world.backend, Kind::Pat, "broken", Label::default(), Body::from_stored(b"{\"format\":1".to_vec())).await;
    let flipped =
        String::from_utf8(source.body.as_bytes().to_vec()).expect("JSON").replacen("\"pat\":\"A", "\"pat\":\"!", 1);
    put(&world.backend, Kind::Pat, "flipped", Label::default(), Body::from_stored(flipped.into_bytes())).await;
    let store = open(&world.backend, rotating()).await;
    assert_eq!(rotate(&store).await, 3);
    let survey = store.survey().await.expect("looked at");
    assert_eq!((survey.unreadable, survey.others_than(sealer(2).sealing_key())), (4, 0));
    let told: Vec<_> = survey.named.iter().map(StoreError::to_string).collect();
    for (at, tenant, field) in
        [(0, "broken", "(whole)"), (1, "copied", "pat"), (2, "flipped", "pat"), (3, "foreign", "pat")]
    {
        assert!(
            told[at].contains(&format!("\"pat {tenant}\"")) && told[at].contains(&format!("{field}: ")),
            "{told:?}"
        );
        assert!(!told[at].contains("canary"), "{told:?}");
    }
    assert_eq!(row(&world.backend, Kind::Pat, "copied").await.body, source.body, "what does not open stays as it is");
}

/// A later version may seal what this one does not know; its key must not go.
#[tokio::test]
async fn kinds_and_fields_that_nobody_thought_of_are_sealed_anew_or_counted_as_unreadable() {
    let world = World::new().await;
    let (_, check) = record::check(&sealer(1), "x", &Secret::new("canary"));
    let beside = Beside::of(br#"{"format":1,"verifier":null}"#);
    let place = Place { kind: "flow", name: "session", field: "verifier", beside };
    let sealed = sealer(1).seal(place, &Secret::new("canary")).to_text();
    let flow = |text: String| Body::from_stored(text.into_bytes());
    put(
        &world.backend,
        Kind::Flow,
        "session",
        Label::default(),
        flow(format!("{{\"format\":1,\"verifier\":\"{sealed}\"}}")),
    )
    .await;
    put(
        &world.backend,
        Kind::Flow,
        "inside",
        Label::default(),
        flow(format!("{{\"parts\":[{{\"a\":\"{sealed}\"}}]}}")),
    )
    .await;
    put(&world.backend, Kind::Flow, "other-place", Label::default(), check).await;
    let store = open(&world.backend, rotating()).await;
    assert_eq!(rotate(&store).await, 1);
    let survey = store.survey().await.expect("looked at");
    assert_eq!((survey.unreadable, survey.of(sealer(2).sealing_key())), (2, 2));
}

proptest! {
    #[test]
    fn sealing_anew_keeps_the_secrets_and_happens_once(access in "[a-z0-9]{1,80}", refresh in ".{1,80}", name in "[a-z][a-z0-9]{0,20}") {
        let (mut grant, name) = (grant(&name), tenant(&name));
        (grant.tokens.access, grant.tokens.refresh) = (Secret::new(access), Secret::new(refresh));
        let (label, body) = record::grant(&sealer(1), &name, &grant, None);
        let key = Key::new(Kind::Grant, name.as_str());
        let anew = record::resealed(&rotating(), &key, &body).expect("opens").expect("changed");
        prop_assert_eq!(record::resealed(&rotating(), &key, &anew), Ok(None));
        let row = Row { revision: crate::store::backend::Revision(1), label, body: anew, last_used: None };
        prop_assert_eq!(record::read_grant(&sealer(2), &name, &row), Ok(GrantState::Connected(grant)));
    }
}

#[tokio::test]
async fn what_is_on_its_way_to_a_consent_is_sealed_anew_too() {
    let world = World::new().await;
    let wish = || SessionWish { tenant: tenant("acme"), scopes: None, return_to: None, client: None };
    let flow = NewFlow {
        state: Secret::new("state"),
        verifier: Secret::new("verifier"),
        binding: Secret::new("binding"),
        client_id: "flx_client_1".into(),
        redirect_uri: "http://127.0.0.1/cb".into(),
        scopes: ScopeSet::new("decks:read"),
    };
    let [begun, parked] = [world.store.open_session(wish()).await, world.store.open_session(wish()).await]
        .map(|opened| opened.expect("opened").id);
    world.store.begin_flow(&begun, flow).await.expect("begun");
    let new = world.store.new_consent(new_grant("acme"), None, Outset::default());
    let code = Awaiting::Completion { code: Secret::new("code") };
    world.store.park(&parked, &new, &code).await.expect("parked");
    let store = open(&world.backend, rotating()).await;
    assert_eq!(rotate(&store).await, 4, "two sessions, the flow and the parked grant");
    assert_eq!(store.survey().await.expect("looked at").unreadable, 0);
    let after = open(&world.backend, sealer(2)).await;
    assert_eq!(after.take_flow("state").await.expect("read").map(|flow| flow.session), Some(begun));
    assert!(matches!(after.last_word(&parked, &mut Word::completed("code")).await, Ok(Connecting::Connected(_))));
    assert_eq!(after.load(&tenant("acme")).await.expect("loaded").grant, GrantState::Connected(new.grant));
}
