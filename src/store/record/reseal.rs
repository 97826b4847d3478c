//! Records whose secrets are sealed with another key, and are otherwise as they were.
//!
//! What is sealed is told by its looks and not by a list of fields, so that a field that nobody thought of here is
//! never left behind with a key that is about to go: either it opens where it stands, or the record counts as
//! unreadable.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Body, Fault, SPOOL,
    clients::read_client,
    fields::{Home, What, beside, sealed_text},
    flows::{read_flow, read_link, read_session},
    grants::read_grant,
    identities::read_identity_record,
    read_pat, read_spooled,
    revocations::read_revocation,
    unreadable,
};
use crate::{
    model::TenantId,
    store::{
        StoreError,
        backend::{Key, Kind, Row, RowState},
        consent::{SESSION, SIGN_IN, STATE, VISIT},
        seal::{KeyId, Place, Sealed, Sealer},
    },
};

/// Opens everything in a row, and answers which keys it is sealed with: none, where nothing in it is secret.
pub(in crate::store) fn examine(sealer: &Sealer, key: &Key, row: &Row) -> Result<BTreeSet<KeyId>, StoreError> {
    match key.kind {
        Kind::Grant => read_grant(sealer, &tenant_of(key)?, row).map(drop)?,
        Kind::Pat => read_pat(sealer, &tenant_of(key)?, row).map(drop)?,
        // Nothing is left in a marker.
        _ if row.label.state == RowState::Gone => {}
        Kind::Flow if key.name.starts_with(SESSION) => read_session(sealer, key, row).map(drop)?,
        Kind::Flow if key.name.starts_with(STATE) => read_flow(sealer, key, row).map(drop)?,
        Kind::Flow if key.name.starts_with(SIGN_IN) || key.name.starts_with(VISIT) => {
            read_link(sealer, key, row).map(drop)?;
        }
        Kind::Revocation => read_revocation(sealer, key, row).map(drop)?,
        Kind::Identity => read_identity_record(sealer, key, row).map(drop)?,
        Kind::Client => read_client(sealer, key, row).map(drop)?,
        Kind::Flow | Kind::Tombstone | Kind::Meta => {}
    }
    examine_fields(sealer, key, &row.body).map_err(unreadable(key.kind, &key.name))
}

fn examine_fields(sealer: &Sealer, key: &Key, body: &Body) -> Result<BTreeSet<KeyId>, Fault> {
    let (mut keys, fields) = (BTreeSet::new(), object(&body.0)?);
    let beside = beside(&fields);
    for (field, value) in &fields {
        let Some(sealed) = sealed(field, value)? else { continue };
        Home::from(key).open(sealer, field, beside, &sealed)?;
        keys.extend(sealed.key());
    }
    Ok(keys)
}

/// Which keys the secrets of a record are sealed with, without opening any.
pub(in crate::store) fn sealed_with(body: &Body) -> Result<BTreeSet<KeyId>, Fault> {
    let mut keys = BTreeSet::new();
    for (field, value) in &object(&body.0)? {
        keys.extend(sealed(field, value)?.and_then(|sealed| sealed.key()));
    }
    Ok(keys)
}

/// The record with all its secrets sealed with the key that seals now; `None` where they are.
pub(in crate::store) fn resealed(sealer: &Sealer, key: &Key, body: &Body) -> Result<Option<Body>, Fault> {
    let mut fields = object(&body.0)?;
    let changed = reseal(sealer, key.into(), &mut fields)?;
    Ok(changed.then(|| Body(Value::Object(fields).to_string().into_bytes())))
}

/// The same for a pair in the spool, of which all is looked at.
pub(in crate::store) fn resealed_spooled(sealer: &Sealer, bytes: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let (tenant, ..) = read_spooled(sealer, bytes)?;
    let mut fields = object(bytes)?;
    let Some(Value::Object(pair)) = fields.get_mut("pair") else {
        return Err(Fault { field: "pair".into(), what: What::Expected("an object") });
    };
    let changed = reseal(sealer, Home { kind: SPOOL, name: tenant.as_str() }, pair)?;
    Ok(changed.then(|| Value::Object(fields).to_string().into_bytes()))
}

fn reseal(sealer: &Sealer, home: Home<'_>, fields: &mut Map<String, Value>) -> Result<bool, Fault> {
    let (mut changed, beside) = (false, beside(fields));
    for (field, value) in fields.iter_mut() {
        let Some(old) = sealed(field, value)?.filter(|old| old.key() != Some(sealer.sealing_key())) else { continue };
        let secret = home.open(sealer, field, beside, &old)?;
        let place = Place { kind: home.kind, name: home.name, field, beside };
        *value = Value::String(sealer.seal(place, &secret).to_text());
        changed = true;
    }
    Ok(changed)
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    serde_json::from_slice(bytes).map_err(|_| Fault { field: "(whole)".into(), what: What::Expected("a JSON object") })
}

/// The field's value, where it is sealed. Sealed values stand in a record's own fields; one further inside is not of
/// this version.
fn sealed(field: &str, value: &Value) -> Result<Option<Sealed>, Fault> {
    match value {
        Value::String(text) => Ok(sealed_text(text)),
        value if holds_sealed(value) => Err(Fault { field: field.into(), what: What::Unexpected }),
        _ => Ok(None),
    }
}

fn holds_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => sealed_text(text).is_some(),
        Value::Array(values) => values.iter().any(holds_sealed),
        Value::Object(fields) => fields.values().any(holds_sealed),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn tenant_of(key: &Key) -> Result<TenantId, StoreError> {
    key.name.parse().map_err(|_| StoreError::Unreadable {
        record: key.to_string().escape_debug().to_string(),
        what: "its name: expected a tenant's name".into(),
    })
}
