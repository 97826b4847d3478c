//! Tenants in every state: of ten, five are connected, one each is expiring, to be connected again, not connected, in
//! error, and connected with a PAT besides. In the last tenth all are connected.
//!
//! Nothing is opened for a card, so one tenant of each kind is sealed, and the others are copies of its rows.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lot {
    Connected,
    ConnectedWithPat,
    Expiring,
    Ended,
    PatAlone,
    OtherClient,
}

/// A row without its name.
type Pattern = (Kind, Label, Body);

pub(crate) fn name(number: usize) -> String {
    format!("tenant-{number:07}")
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().expect("a tenant's name")
}

/// Fills an empty store with `count` tenants.
pub(crate) async fn fill(store: &TokenStore, backend: &dyn Backend, count: usize) {
    let mut patterns = BTreeMap::new();
    for number in 0..count.min(10) {
        let lot = lot(number, count);
        patterns.insert(lot, pattern(store, backend, lot).await);
    }
    for from in (0..count).step_by(BATCH) {
        let rows = (from..count.min(from + BATCH)).flat_map(|number| {
            let pattern = patterns.get(&lot(number, count)).into_iter().flatten();
            pattern.map(move |(kind, label, body)| Change {
                key: Key::new(*kind, name(number)),
                expect: Expect::Absent,
                label: *label,
                body: body.clone(),
            })
        });
        let written = backend.write(rows.collect()).await.expect("answered");
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

/// The rows of a tenant of that kind, who is not there afterwards.
async fn pattern(store: &TokenStore, backend: &dyn Backend, lot: Lot) -> Vec<Pattern> {
    if lot == Lot::Ended {
        return vec![ended()];
    }
    let tenant = tenant("pattern");
    let _ = store.import(vec![new(&tenant, lot)], Existing::Skip).await.expect("imported");
    let keys = [Kind::Grant, Kind::Pat].map(|kind| Key::new(kind, tenant.as_str()));
    let rows = backend.get(&keys).await.expect("read");
    let rows = keys.iter().zip(rows).filter_map(|(key, row)| row.map(|row| (key.kind, row.label, row.body)));
    let rows = rows.filter(|(_, label, _)| label.state != RowState::Gone).collect();
    let _ = store.remove(&tenant).await.expect("removed");
    rows
}

fn new(tenant: &TenantId, lot: Lot) -> NewTenant {
    let origin = || ORIGIN.parse().expect("an origin");
    let now = SystemClock.now();
    let age = if lot == Lot::Expiring { 25 * DAY } else { DAY };
    let tokens = TokenSet {
        access: Secret::new(format!("flx_at_{:032x}", 1)),
        refresh: Secret::new(format!("flx_rt_{:032x}", 1)),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::new("decks:read cards:read"),
        expires_at: now.plus(DAY),
        answered_at: Some(now.minus(age)),
        key: None,
    };
    let client_id = if lot == Lot::OtherClient { "flx_client_other" } else { CLIENT };
    let has_pat = matches!(lot, Lot::PatAlone | Lot::ConnectedWithPat);
    NewTenant {
        tenant: tenant.clone(),
        pat: has_pat.then(|| StoredPat { pat: Secret::new(format!("flx_pat_{:032x}", 1)), origin: origin() }),
        grant: (lot != Lot::PatAlone).then(|| NewGrant { client_id: client_id.into(), origin: origin(), tokens }),
    }
}

/// As a grant is stored that Flexslot has ended.
fn ended() -> Pattern {
    let grant = GrantId::random(&Random::system());
    let fields = serde_json::json!({
        "format": 1, "grant": grant.to_string(), "version": 1, "reason": "invalid_grant", "at": SystemClock.now().millis(),
    });
    let body = Body::from_stored(fields.to_string().into_bytes());
    let state = RowState::Disconnected;
    (Kind::Grant, Label { grant: Some(grant), version: Some(Version::FIRST), state, due: None }, body)
}
