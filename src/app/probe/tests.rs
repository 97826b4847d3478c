//! What is made of Flexslot's answers. That it is asked, and how, is shown by the tests of `check --online` with the
//! binary.

use http::{HeaderMap, HeaderValue, header::DATE};

use super::{
    clients, grants, pats,
    subjects::{Pat, PatFrom},
    upstream,
};
use crate::{
    app::finding::Finding,
    flexslot::clients::PatMetadata,
    model::{ClientDescription, ClientStatus, ClientType, ScopeSet, Secret, Timestamp, token::DpopMode},
};
use clients::{Expected, Secrecy};

const NOW: Timestamp = Timestamp::from_secs(1_796_000_000);
const DAY: i64 = 24 * 3600;
const HERE: &str = "http://127.0.0.1:3540/oauth/callback";

fn after(secs: i64) -> Option<Timestamp> {
    Some(Timestamp::from_secs(NOW.secs() + secs))
}

fn clock(off: i64) -> Finding {
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs((NOW.secs() + off) as u64);
    let mut headers = HeaderMap::new();
    headers.insert(DATE, HeaderValue::try_from(httpdate::fmt_http_date(date)).unwrap());
    upstream::clock(&headers, NOW, NOW)
}

fn doubt(finding: &Finding) -> &str {
    let Finding::Doubtful(failure) = finding else { panic!("{finding:?}") };
    &failure.what
}

fn fault(finding: &Finding) -> &str {
    let Finding::Bad(failure) = finding else { panic!("{finding:?}") };
    &failure.what
}

#[test]
fn a_clock_is_good_within_five_seconds_and_worth_a_look_beyond() {
    for off in [-5, 0, 5] {
        assert!(matches!(clock(off), Finding::Good(_)), "{off}");
    }
    assert!(doubt(&clock(600)).contains("600 s behind"), "{:?}", clock(600));
    assert!(doubt(&clock(-600)).contains("599 s ahead of"), "{:?}", clock(-600));
    assert!(doubt(&upstream::clock(&HeaderMap::new(), NOW, NOW)).contains("says nothing of its time"));
}

#[test]
fn a_pat_is_judged_by_its_end() {
    let pat = Pat { secret: Secret::new("flx_pat_canary"), from: PatFrom::File };
    let judged = |expires_at, revoked_at| {
        let scopes = vec!["decks:read".to_owned()];
        let metadata = PatMetadata { name: Some("ci".into()), scopes, expires_at, revoked_at };
        pats::judged(&"acme".parse().unwrap(), &pat, &metadata, NOW)
    };
    assert!(matches!(judged(None, None), Finding::Good(good) if good.contains("without an end, for decks:read")));
    assert!(matches!(judged(after(15 * DAY), None), Finding::Good(_)));
    assert!(doubt(&judged(after(13 * DAY), None)).contains("in 13 days"));
    assert!(fault(&judged(after(0), None)).contains("expired"));
    assert!(fault(&judged(after(DAY), after(-DAY))).contains("revoked"));
}

fn expected() -> Expected {
    Expected {
        client_id: "flx_client_A".into(),
        called: "flx_client_A".into(),
        secret: Secrecy::Has,
        redirect_uri: Some(HERE.parse().unwrap()),
        scopes: Some(ScopeSet::new("decks:read cards:read")),
        dpop: DpopMode::Auto,
    }
}

fn registered() -> ClientDescription {
    ClientDescription {
        client_id: "flx_client_A".into(),
        name: "A".into(),
        client_type: Some(ClientType::Confidential),
        status: ClientStatus::Active,
        redirect_uris: vec!["https://app.example/cb".into(), HERE.into()],
        scopes: vec!["decks:read".into(), "cards:read".into(), "guides:read".into()],
        dpop_bound_access_tokens: true,
        created_at: None,
        last_used_at: None,
        secret_rotated_at: None,
    }
}

#[test]
fn a_client_is_good_where_everything_is_as_it_is_counted_on() {
    assert_eq!(clients::faults(&expected(), &registered()), []);
    // One of the store that this sidecar's users are not asked by need not know where it is.
    let stored = Expected { redirect_uri: None, scopes: None, ..expected() };
    let elsewhere = ClientDescription { redirect_uris: vec![], scopes: vec![], ..registered() };
    assert_eq!(clients::faults(&stored, &elsewhere), []);
}

#[test]
fn each_thing_that_is_otherwise_at_flexslot_is_a_fault_with_what_mends_it() {
    let cases: [(Expected, ClientDescription, &str); 8] = [
        (expected(), ClientDescription { status: ClientStatus::Suspended, ..registered() }, "suspended"),
        (expected(), ClientDescription { status: ClientStatus::Revoked, ..registered() }, "revoked"),
        (
            // Byte for byte: a slash more is another URI.
            expected(),
            ClientDescription { redirect_uris: vec![format!("{HERE}/")], ..registered() },
            "none of its redirect URIs",
        ),
        (
            expected(),
            ClientDescription { redirect_uris: vec![HERE.replace("127.0.0.1", "localhost")], ..registered() },
            "none of its redirect URIs",
        ),
        (
            expected(),
            ClientDescription { scopes: vec!["decks:read".into()], ..registered() },
            "may not ask for cards:read",
        ),
        (Expected { dpop: DpopMode::Off, ..expected() }, registered(), "bound to keys"),
        (Expected { secret: Secrecy::HasNone, ..expected() }, registered(), "its secret is neither"),
        (expected(), ClientDescription { client_type: Some(ClientType::Public), ..registered() }, "has no secret"),
    ];
    for (expected, registered, said) in cases {
        let faults = clients::faults(&expected, &registered);
        assert!(faults.len() == 1 && faults[0].what.contains(said) && faults[0].hint.is_some(), "{said}: {faults:?}");
    }
}

#[test]
fn all_faults_of_a_client_are_told_at_once() {
    let expected = Expected { secret: Secrecy::HasNone, dpop: DpopMode::Off, ..expected() };
    let registered = ClientDescription { redirect_uris: vec![], ..registered() };
    let faults = clients::faults(&expected, &registered);
    let said = ["redirect URIs", "bound to keys", "secret"];
    assert_eq!(faults.len(), said.len(), "{faults:?}");
    said.iter().for_each(|said| assert!(faults.iter().any(|fault| fault.what.contains(said)), "{said}: {faults:?}"));
}

#[test]
fn scopes_that_are_missing_are_told_with_a_command_that_asks_for_them_and_keeps_the_others() {
    let compared = |granted: &str, wanted: &str, lacks: &str| {
        let lacks = if lacks.is_empty() { ScopeSet::unknown() } else { ScopeSet::new(lacks) };
        grants::compared(
            &"acme".parse().unwrap(),
            " of @george",
            &ScopeSet::new(granted),
            &ScopeSet::new(wanted),
            &lacks,
        )
    };
    // `write` implies `read`.
    assert!(matches!(compared("decks:write cards:read", "decks:read cards:read", "decks:read"), Finding::Good(_)));
    let unasked = compared("decks:read", "decks:read cards:read", "");
    assert!(doubt(&unasked).contains("asks for cards:read, too"), "{unasked:?}");
    let needed = compared("decks:read", "decks:read", "decks:write");
    let Finding::Doubtful(failure) = &needed else { panic!("{needed:?}") };
    assert!(failure.what.contains("permission to create, change and delete your decks"), "{failure:?}");
    let hint = failure.hint.as_deref();
    assert_eq!(hint, Some("flexslot-proxy connect acme --scope decks:read --scope decks:write"));
}
