//! What stands in columns, as values of ours, and the other way round.

use tokio_postgres::Row as SqlRow;

use super::faults::Fault;
use crate::{
    model::{GrantId, Timestamp, Version, token::Owner},
    store::{
        backend::{Key, Kind, Label, Revision, Row, RowState},
        record::Body,
    },
};

/// The columns of keys, as arrays.
pub(super) fn columns<'a>(keys: impl IntoIterator<Item = &'a Key>) -> (Vec<i16>, Vec<&'a str>) {
    keys.into_iter().map(|key| (code_of(key.kind), key.name.as_str())).unzip()
}

pub(super) fn code_of(kind: Kind) -> i16 {
    kind.code().into()
}

/// The store's id, in the first column.
pub(super) fn id_of(row: &SqlRow) -> Result<[u8; 16], Fault> {
    row.try_get::<_, &[u8]>(0)?.try_into().map_err(|_| unreadable("store".into(), "id: expected 16 bytes"))
}

/// A row from its second column on: revision, label, body, time of use.
pub(super) fn row_of(row: &SqlRow, key: &Key) -> Result<Row, Fault> {
    let (revision, label) = label_of(row, key)?;
    let last_used = row.try_get::<_, Option<i64>>(7)?.map(Timestamp::from_millis);
    Ok(Row { revision, label, body: Body::from_stored(row.try_get(6)?), last_used })
}

/// The first five columns of [`row_of`].
pub(super) fn label_of(row: &SqlRow, key: &Key) -> Result<(Revision, Label), Fault> {
    let grant = match row.try_get::<_, Option<&[u8]>>(2)? {
        None => None,
        Some(bytes) => match <[u8; 16]>::try_from(bytes) {
            Ok(id) => Some(GrantId::from_stored(id)),
            Err(_) => return Err(unreadable(key.to_string(), "grant_id: expected 16 bytes")),
        },
    };
    let state = u8::try_from(row.try_get::<_, i16>(4)?)
        .ok()
        .and_then(RowState::from_code)
        .ok_or_else(|| unreadable(key.to_string(), "state: expected a state that this version knows"))?;
    let label = Label {
        grant,
        version: row.try_get::<_, Option<i64>>(3)?.map(|number| Version::from_stored(number.unsigned_abs())),
        state,
        due: row.try_get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
    };
    Ok((Revision(row.try_get::<_, i64>(1)?.unsigned_abs()), label))
}

pub(super) fn time_of(row: Option<&SqlRow>) -> Result<Timestamp, Fault> {
    Ok(Timestamp::from_millis(row.ok_or_else(no_store)?.try_get(0)?))
}

pub(super) fn lease_of(row: &SqlRow) -> Result<Option<(Owner, Timestamp)>, Fault> {
    let Some(host) = row.try_get(1)? else { return Ok(None) };
    let owner = Owner { host, instance: row.try_get(2)? };
    Ok(Some((owner, Timestamp::from_millis(row.try_get(3)?))))
}

pub(super) fn no_store() -> Fault {
    Fault::Refused {
        what: "the table flexslot_proxy.store has lost its row".into(),
        hint: "restore the schema from a backup, or drop it: DROP SCHEMA flexslot_proxy CASCADE".into(),
    }
}

fn unreadable(record: String, what: &str) -> Fault {
    Fault::Unreadable { record, what: what.into() }
}

/// PostgreSQL's integers are signed. What does not fit is beyond everything that is stored.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
