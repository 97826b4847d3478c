use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Body, Fault, StoredSession, Tries, What, examine, flow, grant, link, read_flow, read_grant, read_identity_record,
    read_link, read_pat, read_revocation, read_session, read_spooled, revocation, session, spooled,
};
use crate::{
    model::{
        Grant, GrantId, GrantState, Identity, ProofKey, Provenance, ScopeSet, Secret, SessionId, Timestamp, TokenSet,
        TokenType, Version,
        token::{Attempt, DisconnectReason, Disconnected, Intent, Owner},
    },
    store::{
        Awaited, Flow, IdentityRecord, Parked, Progress, Proof, Revocation, Session, SessionOutcome, StoreError,
        backend::{Key, Kind, Label, Revision, Row, RowState},
        seal::{Beside, Place, SealFault},
        testing::{self, intent, pat, sealer, tenant},
    },
};

const FORGED: &str = "it or its record was altered, or it was sealed for another place";

fn row((label, body): (Label, Body)) -> Row {
    Row { revision: Revision(1), label, body, last_used: None }
}

fn json(body: &Body) -> Value {
    serde_json::from_slice(body.as_bytes()).expect("JSON")
}

fn edited(row: &Row, edit: impl FnOnce(&mut Value)) -> Row {
    let mut value = json(&row.body);
    edit(&mut value);
    Row { body: Body::from_stored(value.to_string().into_bytes()), ..row.clone() }
}

fn fault(row: &Row) -> String {
    match read_grant(&sealer(1), &tenant("acme"), row) {
        Err(StoreError::Unreadable { record, what }) => {
            assert_eq!(record, "grant acme");
            what
        }
        other => panic!("readable: {other:?}"),
    }
}

#[test]
fn a_grant_looks_as_the_module_says() {
    let grant_ = testing::grant("acme");
    let (label, body) = grant(&sealer(1), &tenant("acme"), &grant_, Some(&intent(&grant_)));
    let mut value = json(&body);
    for field in ["access_token", "refresh_token"] {
        let sealed = value.as_object_mut().and_then(|fields| fields.remove(field)).expect("there");
        assert!(sealed.as_str().is_some_and(|text| text.starts_with("A")), "format 1 in base64");
    }
    let hash = value["intent"].as_object_mut().and_then(|fields| fields.remove("refresh_hash")).expect("there");
    assert_eq!(hash.as_str().map(str::len), Some(44));
    let id = grant_.id.to_string();
    let expected = json!({
        "format": 1, "grant": id, "version": 1,
        "client_id": "flx_client_1", "origin": "https://api.flexslot.gg",
        "token_type": "Bearer", "scope": "decks:read cards:read",
        "expires_at": 1_795_203_600_000_i64, "answered_at": 1_795_200_000_000_i64,
        "intent": {
            "grant": id, "version": 1, "host": "boot/host", "instance": "0".repeat(32),
            "at": 1_795_200_100_000_i64, "attempt": "first",
        },
    });
    assert_eq!(value, expected);
    assert_eq!((label.grant, label.version, label.state), (Some(grant_.id), Some(Version::FIRST), RowState::Live));
    assert_eq!(label.due, None, "a purge never takes it");
}

#[test]
fn a_fault_names_the_field_and_never_the_value() {
    let grant_ = testing::grant("acme");
    let good = row(grant(&sealer(1), &tenant("acme"), &grant_, Some(&intent(&grant_))));
    let set = |field: &str, value: Value| fault(&edited(&good, |body| body[field] = value));
    assert_eq!(set("format", json!(2)), "format: expected 1");
    assert_eq!(set("grant", json!("canary")), "grant: expected 32 hexadecimal digits");
    assert_eq!(set("version", json!("canary")), "version: expected a whole number");
    assert_eq!(set("client_id", json!(7)), "client_id: expected a text");
    assert_eq!(set("origin", json!("http://canary.test")), "origin: expected an origin, https or on loopback");
    assert_eq!(set("token_type", json!("canary")), "token_type: expected a token type that this version knows");
    assert_eq!(set("expires_at", json!("canary")), "expires_at: expected milliseconds since 1970");
    assert_eq!(set("access_token", json!("canary!")), "access_token: expected base64");
    assert_eq!(set("access_token", json!("AAAA")), "access_token: not a sealed value");
    assert_eq!(set("intent", json!("canary")), "intent: expected an object");
    assert_eq!(set("more", json!("canary")), "more: this version knows no such field");
    assert_eq!(fault(&edited(&good, |body| *body = json!("canary"))), "(whole): expected a JSON object");
    let inner = |field: &str, value: Value| fault(&edited(&good, |body| body["intent"][field] = value));
    assert_eq!(inner("attempt", json!("canary")), "intent.attempt: expected first or last_resort");
    assert_eq!(inner("version", json!(2)), "intent: expected the grant's own id and version");
    assert_eq!(inner("more", json!("canary")), "intent.more: this version knows no such field");
}

#[test]
fn every_field_is_needed_and_none_that_was_there_may_be_missing() {
    let good = row(grant(&sealer(1), &tenant("acme"), &testing::grant("acme"), None));
    let fields: Vec<_> = json(&good.body).as_object().expect("an object").keys().cloned().collect();
    for field in fields {
        let without = edited(&good, |body| {
            body.as_object_mut().expect("an object").remove(&field);
        });
        let needed = fault(&without);
        let may_be_missing = ["scope", "answered_at"].contains(&field.as_str());
        assert_eq!(needed == format!("access_token: {FORGED}"), may_be_missing, "{field}: {needed}");
    }
}

#[test]
fn label_and_body_must_agree() {
    let good = row(grant(&sealer(1), &tenant("acme"), &testing::grant("acme"), None));
    let with = |label: Label| fault(&Row { label, ..good.clone() });
    let other = Some(GrantId::from_stored([7; 16]));
    assert_eq!(with(Label { grant: other, ..good.label }), "grant: expected the grant id of the row's label");
    let later = Some(Version::from_stored(2));
    assert_eq!(with(Label { version: later, ..good.label }), "version: expected the version of the row's label");
    assert!(with(Label { state: RowState::Disconnected, ..good.label }).starts_with("reason: "));
}

#[test]
fn tokens_cannot_change_places() {
    let good = row(grant(&sealer(1), &tenant("acme"), &testing::grant("acme"), None));
    let swapped = edited(&good, |body| {
        let access = body["access_token"].take();
        body["access_token"] = body["refresh_token"].take();
        body["refresh_token"] = access;
    });
    assert_eq!(fault(&swapped), format!("access_token: {FORGED}"));
}

/// Another text, number or word than the field has, of the same shape.
fn another(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() == 44 => json!(format!("{}=", "A".repeat(43))),
        Value::String(text) if text.len() == 32 => json!("7".repeat(32)),
        Value::String(text) if text.starts_with("https://") => json!("https://evil.test"),
        Value::String(text) => json!(format!("{text}x")),
        Value::Number(number) => json!(number.as_u64().map(|number| number + 1)),
        Value::Bool(flag) => json!(!flag),
        Value::Array(_) => json!(["=https://evil.test/cb"]),
        other => panic!("a field of another kind: {other}"),
    }
}

/// Whatever whoever can write to the store, and has no key, changes in a record: each of its plain fields, also of those
/// further inside.
fn forgeries(row: &Row) -> Vec<(String, Row)> {
    let mut found = Vec::new();
    for (field, value) in json(&row.body).as_object().expect("an object") {
        if let Value::Object(inside) = value {
            found.extend(inside.iter().map(|(inner, value)| {
                let forged = edited(row, |body| body[field][inner] = another(value));
                (format!("{field}.{inner}"), forged)
            }));
        } else if field != "format" && super::fields::sealed_text(value.as_str().unwrap_or("")).is_none() {
            found.push((field.clone(), edited(row, |body| body[field] = another(value))));
        }
    }
    found
}

/// Each of the `expected` forgeries is refused.
fn refuses_forgeries<T: std::fmt::Debug>(good: &Row, expected: usize, read: impl Fn(&Row) -> Result<T, StoreError>) {
    let found = forgeries(good);
    assert_eq!(found.len(), expected, "{found:?}");
    assert!(read(good).is_ok(), "as it is");
    for (field, forged) in found {
        let what = read(&forged).expect_err("refused").to_string();
        assert!(what.contains(FORGED), "{field}: {what}");
    }
}

#[test]
fn a_grant_opens_only_as_it_was_sealed() {
    let sealer = sealer(1);
    let first = testing::grant("acme");
    let good = row(grant(&sealer, &tenant("acme"), &first, Some(&intent(&first))));
    let told = |row: &Row| read_grant(&sealer, &tenant("acme"), row).expect_err("refused").to_string();
    let found = forgeries(&good);
    assert!(found.iter().any(|(field, _)| field == "origin") && found.len() > 6, "{found:?}");
    for (field, forged) in found {
        let what = told(&forged);
        let told_before = ["grant", "version", "token_type", "intent.grant", "intent.version", "intent.attempt"];
        let told_before = told_before.contains(&field.as_str());
        assert_eq!(what.contains(FORGED), !told_before, "{field}: {what}");
    }
    let forgotten = edited(&good, |body| {
        body.as_object_mut().expect("an object").remove("intent");
    });
    assert!(told(&forgotten).contains(FORGED));
    // The tokens of an earlier version, in the row of the next.
    let next = row(grant(&sealer, &tenant("acme"), &first.renewed(testing::tokens("next")), None));
    let old = json(&good.body);
    for field in ["access_token", "refresh_token"] {
        assert!(told(&edited(&next, |body| body[field] = old[field].clone())).contains(FORGED), "{field}");
    }
}

#[test]
fn a_removed_row_holds_nothing() {
    let gone = row(super::gone(Timestamp::from_secs(1)));
    assert_eq!(read_grant(&sealer(1), &tenant("acme"), &gone), Ok(GrantState::NeverConnected));
    assert_eq!(read_pat(&sealer(1), &tenant("acme"), &gone), Ok(None));
}

#[test]
fn a_pat_comes_back() {
    let stored = row(super::pat(&sealer(1), &tenant("acme"), &pat("canary")));
    assert_eq!(read_pat(&sealer(1), &tenant("acme"), &stored), Ok(Some(pat("canary"))));
    assert_eq!(super::read_pat_origin(&tenant("acme"), &stored), Ok(testing::ORIGIN.parse().unwrap()));
    assert!(read_pat(&sealer(1), &tenant("beta"), &stored).is_err());
    let [(field, forged)] = &forgeries(&stored)[..] else { panic!("one plain field") };
    let what = read_pat(&sealer(1), &tenant("acme"), forged).expect_err("refused").to_string();
    assert!(field == "origin" && what.contains(FORGED), "{what}");
}

#[test]
fn a_spooled_pair_is_the_next_one_of_its_intent_and_of_no_use_in_the_store() {
    let first = testing::grant("acme");
    let next = first.clone().renewed(testing::tokens("next"));
    let sealer = sealer(1);
    let bytes = spooled(&sealer, &tenant("acme"), &intent(&first), &next);
    assert_eq!(read_spooled(&sealer, &bytes), Ok((tenant("acme"), intent(&first), next.clone())));
    let moved = String::from_utf8(bytes.clone()).expect("JSON").replace("\"acme\"", "\"beta\"");
    let sealed_elsewhere = What::Sealed(SealFault::Forged);
    assert_eq!(
        read_spooled(&sealer, moved.as_bytes()),
        Err(Fault { field: "access_token".into(), what: sealed_elsewhere })
    );
    let stale = spooled(&sealer, &tenant("acme"), &intent(&next), &first);
    assert!(read_spooled(&sealer, &stale).is_err(), "not a later version");

    let pair = serde_json::from_slice::<Value>(&bytes).expect("JSON")["pair"].clone();
    let (label, _) = grant(&sealer, &tenant("acme"), &next, None);
    let mut body = pair;
    body["format"] = json!(1);
    let planted = row((label, Body::from_stored(body.to_string().into_bytes())));
    assert_eq!(fault(&planted), format!("access_token: {FORGED}"));
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

prop_compose! {
    fn any_grant()(
        id in any::<[u8; 16]>(),
        version in any::<u64>(),
        texts in [".*", ".*", ".*"],
        origin in "https://[a-z]{1,8}(:[1-9][0-9]{0,3})?",
        token_type in prop_oneof![Just(TokenType::Bearer), Just(TokenType::Dpop)],
        scope in prop::option::of(".*"),
        expires_at in any_time(),
        answered_at in prop::option::of(any_time()),
        provenance in prop_oneof![Just(Provenance::Import), Just(Provenance::Consent)],
        key in prop::option::of(Just(()).prop_map(|()| ProofKey::generate())),
    ) -> Grant {
        let [client_id, access, refresh] = texts;
        let origin = origin.parse().unwrap();
        let scopes = scope.map_or(ScopeSet::unknown(), |text| ScopeSet::new(&text));
        let (access, refresh) = (Secret::new(access), Secret::new(refresh));
        let tokens = TokenSet { access, refresh, token_type, scopes, expires_at, answered_at, key };
        Grant { id: GrantId::from_stored(id), version: Version::from_stored(version), client_id, origin, provenance, tokens }
    }
}

prop_compose! {
    fn any_intent()(
        refresh_hash in any::<[u8; 32]>(),
        (host, instance) in (".*", ".*"),
        at in any_time(),
        attempt in prop_oneof![Just(Attempt::First), Just(Attempt::LastResort)],
    ) -> Intent {
        let (grant, version) = (GrantId::from_stored([0; 16]), Version::FIRST);
        Intent { grant, version, refresh_hash, owner: Owner { host, instance }, at, attempt }
    }
}

proptest! {
    #[test]
    fn any_grant_comes_back(stored in any_grant(), intent in prop::option::of(any_intent())) {
        let intent = intent.map(|intent| Intent { grant: stored.id, version: stored.version, ..intent });
        let read = row(grant(&sealer(1), &tenant("acme"), &stored, intent.as_ref()));
        let expected = match intent {
            None => GrantState::Connected(stored),
            Some(intent) => GrantState::Uncertain(stored, intent),
        };
        prop_assert_eq!(read_grant(&sealer(1), &tenant("acme"), &read), Ok(expected));
    }

    #[test]
    fn any_end_comes_back(id in any::<[u8; 16]>(), version in any::<u64>(), at in any_time(), reason in 0..3_usize) {
        let reasons =
            [DisconnectReason::InvalidGrant, DisconnectReason::RefreshOutcomeLost, DisconnectReason::Disconnected];
        let (id, version) = (GrantId::from_stored(id), Version::from_stored(version));
        let client_id = (at.millis() % 2 == 0).then(|| "flx_client_1".to_owned());
        let end = Disconnected { id, version, client_id, reason: reasons[reason], at };
        let read = row(super::disconnected(&end));
        prop_assert_eq!(read_grant(&sealer(1), &tenant("acme"), &read), Ok(GrantState::Disconnected(end)));
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in any::<Vec<u8>>(), text in "[{}\\[\\]\":,a-z0-9]{0,60}") {
        for bytes in [bytes, text.into_bytes()] {
            let label = Label { grant: Some(GrantId::from_stored([0; 16])), ..Label::default() };
            let read = row((label, Body::from_stored(bytes.clone())));
            prop_assert!(read_grant(&sealer(1), &tenant("acme"), &read).is_err());
            prop_assert!(read_spooled(&sealer(1), &bytes).is_err());
        }
    }
}

// === consents ===

fn identity(username: &str) -> Identity {
    Identity { sub: "u1".into(), username: Some(username.into()) }
}

fn parked(scopes: ScopeSet, answered_at: Option<Timestamp>) -> Revocation {
    let grant_ = testing::grant("acme");
    let key = answered_at.map(|_| ProofKey::generate());
    let tokens = TokenSet { scopes, answered_at, key, ..grant_.tokens.clone() };
    let revocation = Revocation::of(&grant_, Some("u1"), Timestamp::from_secs(5));
    let beside = Some(GrantId::from_stored([7; 16]));
    Revocation { beside, claimed_until: Some(Timestamp::from_secs(9)), attempts: 3, parked: Some(tokens), ..revocation }
}

fn key_of(revocation: &Revocation) -> Key {
    Key::new(Kind::Revocation, format!("acme {}", revocation.grant))
}

#[test]
fn a_session_comes_back_as_it_was_however_far_it_has_come() {
    let key = Key::new(Kind::Flow, "session 00");
    let proof = Proof::of("the code");
    let parked = |awaiting, identity| Progress::Parked(Parked { identity, awaiting });
    let progresses = [
        Progress::Open,
        parked(Awaited::Completion { code: proof }, Some(identity("george"))),
        parked(Awaited::Confirmation { binding: proof }, None),
        Progress::Ended(SessionOutcome::Connected),
        Progress::Ended(SessionOutcome::Denied),
        Progress::Ended(SessionOutcome::Failed("invalid_scope".into())),
    ];
    for (progress, some) in progresses.into_iter().zip([true, false].into_iter().cycle()) {
        let stored = StoredSession {
            session: Session {
                tenant: tenant("acme"),
                scopes: some.then(|| ScopeSet::new("decks:read")),
                return_to: some.then(|| "https://app.test/done?a=b".into()),
                client: some.then(|| "flx_client_1".into()),
                expires_at: Timestamp::from_secs(600),
                progress,
            },
            opened_at: Timestamp::from_secs(0),
            grant: some.then(|| GrantId::from_stored([7; 16])),
            tries: if some { Tries::One } else { Tries::Many },
            flows: if some { 3 } else { 0 },
        };
        let row = row(session(&sealer(1), &key, &stored));
        assert_eq!(read_session(&sealer(1), &key, &row), Ok(stored));
        assert_eq!(row.label.due, Some(Timestamp::from_secs(600)), "a purge takes it then");
    }
}

#[test]
fn a_revocation_comes_back_as_it_was_with_the_pair_of_a_parked_grant_or_without() {
    let parked_ = parked(ScopeSet::new("decks:read"), Some(Timestamp::from_secs(1)));
    let due = Revocation { parked: None, beside: None, sub: None, claimed_until: None, ..parked_.clone() };
    for revocation_ in [parked_, parked(ScopeSet::unknown(), None), due] {
        let key = key_of(&revocation_);
        let row = row(revocation(&sealer(1), &key, &revocation_));
        assert_eq!(read_revocation(&sealer(1), &key, &row), Ok(revocation_));
        assert!(examine(&sealer(1), &key, &row).is_ok());
    }
}

#[test]
fn what_is_sealed_for_a_consent_opens_in_its_own_row_only() {
    let revocation_ = parked(ScopeSet::unknown(), None);
    let there = row(revocation(&sealer(1), &key_of(&revocation_), &revocation_));
    let other = Key::new(Kind::Revocation, format!("evil {}", revocation_.grant));
    let what = read_revocation(&sealer(1), &other, &there).expect_err("refused").to_string();
    assert!(what.contains(&format!("refresh_token: {FORGED}")), "{what}");
    let new = Flow {
        session: SessionId::from_text("session-canary"),
        verifier: Secret::new("verifier-canary"),
        binding: Proof::of("binding"),
        client_id: "flx_client_1".into(),
        redirect_uri: "http://127.0.0.1/cb".into(),
        scopes: Some(ScopeSet::new("decks:read")),
    };
    let [key, other] = ["state 00", "state 11"].map(|name| Key::new(Kind::Flow, name));
    let there = row(flow(&sealer(1), &key, &new, Timestamp::from_secs(600)));
    let (read, expires_at) = read_flow(&sealer(1), &key, &there).expect("opens");
    assert_eq!((read.session, &read.verifier), (new.session.clone(), &new.verifier));
    assert_eq!((read.scopes, expires_at), (new.scopes.clone(), Timestamp::from_secs(600)));
    let what = read_flow(&sealer(1), &other, &there).expect_err("refused").to_string();
    assert!(what.contains(&format!("session: {FORGED}")) && !what.contains("canary"), "{what}");
    let earlier = row(flow(&sealer(1), &key, &Flow { scopes: None, ..new }, Timestamp::from_secs(600)));
    assert!(!String::from_utf8_lossy(earlier.body.as_bytes()).contains("scope"), "as an earlier version wrote it");
    assert_eq!(read_flow(&sealer(1), &key, &earlier).map(|(flow, _)| flow.scopes), Ok(None));
}

#[test]
fn nobody_without_the_key_writes_a_connect_session() {
    let (sealer, key) = (sealer(1), Key::new(Kind::Flow, "session 00"));
    let stored = StoredSession {
        session: Session {
            tenant: tenant("acme"),
            scopes: Some(ScopeSet::new("decks:read")),
            return_to: Some("https://app.test/done".into()),
            client: Some("flx_client_1".into()),
            expires_at: Timestamp::from_secs(600),
            progress: Progress::Parked(Parked {
                identity: Some(identity("george")),
                awaiting: Awaited::Completion { code: Proof::of("the code") },
            }),
        },
        opened_at: Timestamp::from_secs(0),
        grant: Some(GrantId::from_stored([6; 16])),
        tries: Tries::One,
        flows: 3,
    };
    let good = row(session(&sealer, &key, &stored));
    refuses_forgeries(&good, 14, |row| read_session(&sealer, &key, row));
    let elsewhere = Key::new(Kind::Flow, "session 11");
    let what = read_session(&sealer, &elsewhere, &good).expect_err("refused").to_string();
    assert!(what.contains(FORGED), "{what}");
}

#[test]
fn nobody_without_the_key_writes_a_sign_in_link() {
    let (sealer, key) = (sealer(1), Key::new(Kind::Flow, "sign-in 00"));
    let good = row(link(&sealer, &key, Timestamp::from_secs(300)));
    refuses_forgeries(&good, 1, |row| read_link(&sealer, &key, row));
    let told = |key: &Key, row: &Row| read_link(&sealer, key, row).expect_err("refused").to_string();
    let planted = edited(&good, |body| *body = json!({"format": 1, "expires_at": 300_000}));
    assert!(told(&key, &planted).contains("mark: expected a text"));
    let of_their_own = Key::new(Kind::Flow, "sign-in 11");
    assert!(told(&of_their_own, &good).contains(FORGED), "copied under a name of their own");
    let visit = Key::new(Kind::Flow, "visit 00");
    assert!(told(&visit, &good).contains(FORGED), "a link is no visit");
}

#[test]
fn nobody_without_the_key_changes_a_flow() {
    let (sealer, key) = (sealer(1), Key::new(Kind::Flow, "state 00"));
    let new = Flow {
        session: SessionId::from_text("session"),
        verifier: Secret::new("verifier"),
        binding: Proof::of("binding"),
        client_id: "flx_client_1".into(),
        redirect_uri: "https://app.test/cb".into(),
        scopes: Some(ScopeSet::new("decks:read")),
    };
    let good = row(flow(&sealer, &key, &new, Timestamp::from_secs(600)));
    refuses_forgeries(&good, 5, |row| read_flow(&sealer, &key, row));
}

#[test]
fn nobody_without_the_key_says_whose_a_grant_is() {
    let (sealer, key) = (sealer(1), Key::new(Kind::Identity, "acme"));
    let record = IdentityRecord {
        identity: Some(identity("george")),
        other_sub: Some("u2".into()),
        lacks: ScopeSet::new("decks:write"),
        ..IdentityRecord::unasked(GrantId::from_stored([6; 16]))
    };
    let good = row(super::identity(&sealer, &key, &record));
    refuses_forgeries(&good, 6, |row| read_identity_record(&sealer, &key, row));
}

#[test]
fn nobody_without_the_key_has_a_token_revoked_elsewhere() {
    let sealer = sealer(1);
    let revocation_ = parked(ScopeSet::new("decks:read"), Some(Timestamp::from_secs(1)));
    let key = key_of(&revocation_);
    let good = row(revocation(&sealer, &key, &revocation_));
    let found = forgeries(&good);
    assert!(found.iter().any(|(field, _)| field == "origin") && found.len() > 10, "{found:?}");
    for (field, forged) in found.iter().filter(|(field, _)| !["grant", "token_type"].contains(&field.as_str())) {
        let what = read_revocation(&sealer, &key, forged).expect_err("refused").to_string();
        assert!(what.contains(FORGED), "{field}: {what}");
    }
}

#[test]
fn no_name_that_a_user_gives_themselves_looks_like_a_sealed_value() {
    let key = Key::new(Kind::Identity, "acme");
    let place = Place { kind: "pat", name: "acme", field: "pat", beside: Beside::of(b"") };
    let looks_sealed = sealer(1).seal(place, &Secret::new("x")).to_text();
    let record = IdentityRecord {
        grant: GrantId::from_stored([7; 16]),
        identity: Some(identity(&looks_sealed)),
        checked_at: Timestamp::from_secs(5),
        other_sub: Some("u2".into()),
        lacks: ScopeSet::new("decks:write"),
    };
    let there = row(super::identity(&sealer(1), &key, &record));
    assert_eq!(read_identity_record(&sealer(1), &key, &there), Ok(record));
    assert_eq!(examine(&sealer(1), &key, &there).map(|keys| keys.len()), Ok(1), "the mark");
}
