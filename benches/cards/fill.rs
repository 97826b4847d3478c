//! Tenants in every state: of ten, five are connected, one each is expiring, to be connected again, not connected, in
//! error, and connected with a PAT besides. In the last tenth all are connected.

use std::{collections::BTreeMap, time::Duration};

use flexslot_proxy::{
    model::{Clock, GrantId, Random, ScopeSet, Secret, SystemClock, TenantId, TokenSet, TokenType, Version},
    store::{
        Existing, NewGrant, NewTenant, StoredPat, TokenStore,
        backend::{Backend, Change, Expect, Key, Kind, Label, RowState, Written},
        record::Body,
    },
};

pub(crate) const ORIGIN: &str = "https://api.flexslot.gg";
pub(crate) const CLIENT: &str = "flx_client_cards";

const BATCH: usize = 1000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What becomes of a tenant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lot {
    Connected,
    ConnectedWithPat,
    Expiring,
    Ended,
    PatAlone,
    OtherClient,
}

pub(crate) fn name(number: usize) -> String {
    format!("tenant-{number:07}")
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().expect("a tenant's name")
}

/// Fills an empty store with `count` tenants.
pub(crate) async fn fill(store: &TokenStore, backend: &dyn Backend, count: usize) {
    for from in (0..count).step_by(BATCH) {
        let numbers = from..count.min(from + BATCH);
        let (ended, others): (Vec<_>, Vec<_>) = numbers.partition(|number| lot(*number, count) == Lot::Ended);
        let new = others.into_iter().map(|number| new(number, lot(number, count))).collect();
        store.import(new, Existing::Skip).await.expect("imported");
        let written = backend.write(ended.into_iter().map(ended_row).collect()).await.expect("answered");
        assert!(matches!(written, Written::Done(_)), "the store was empty");
    }
}

fn lot(number: usize, count: usize) -> Lot {
    match number % 10 {
        _ if number >= count - count / 10 => Lot::Connected,
        5 => Lot::ConnectedWithPat,
        6 => Lot::Expiring,
        7 => Lot::Ended,
        8 => Lot::PatAlone,
        9 => Lot::OtherClient,
        _ => Lot::Connected,
    }
}

fn new(number: usize, lot: Lot) -> NewTenant {
    let origin = || ORIGIN.parse().expect("an origin");
    let now = SystemClock.now();
    let age = if lot == Lot::Expiring { 25 * DAY } else { DAY };
    let tokens = TokenSet {
        access: Secret::new(format!("flx_at_{number:032x}")),
        refresh: Secret::new(format!("flx_rt_{number:032x}")),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::new("decks:read cards:read"),
        expires_at: now.plus(DAY),
        answered_at: Some(now.minus(age)),
    };
    let client_id = if lot == Lot::OtherClient { "flx_client_other" } else { CLIENT };
    let has_pat = matches!(lot, Lot::PatAlone | Lot::ConnectedWithPat);
    NewTenant {
        tenant: tenant(&name(number)),
        pat: has_pat.then(|| StoredPat { pat: Secret::new(format!("flx_pat_{number:032x}")), origin: origin() }),
        grant: (lot != Lot::PatAlone).then(|| NewGrant { client_id: client_id.into(), origin: origin(), tokens }),
    }
}

/// As a grant is stored that Flexslot has ended.
fn ended_row(number: usize) -> Change {
    let grant = GrantId::random(&Random::system());
    let fields = BTreeMap::from([
        ("format", serde_json::json!(1)),
        ("grant", serde_json::json!(grant.to_string())),
        ("version", serde_json::json!(1)),
        ("reason", serde_json::json!("invalid_grant")),
        ("at", serde_json::json!(SystemClock.now().millis())),
    ]);
    let body = Body::from_stored(serde_json::to_vec(&fields).expect("text"));
    let state = RowState::Disconnected;
    let label = Label { grant: Some(grant), version: Some(Version::FIRST), state, due: None };
    Change { key: Key::new(Kind::Grant, name(number)), expect: Expect::Absent, label, body }
}
