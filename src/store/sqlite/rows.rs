//! The statements. Each touches as many rows as it answers for, whatever the store's size; the indices in `schema` see
//! to it.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use crate::{
    model::{GrantId, TenantId, Timestamp, Version, token::Owner},
    store::{
        StoreError,
        backend::{Bid, Change, Expect, Key, Kind, Label, Listed, Names, Revision, Row, RowState, Written},
        record::Body,
    },
};

/// What [`row_of`] reads, in its order.
macro_rules! columns {
    () => {
        "revision, grant_id, version, state, due, body, last_used"
    };
}

const GET: &str = concat!("SELECT ", columns!(), " FROM records WHERE kind = ?1 AND name = ?2");

const LABEL: &str = "SELECT revision, grant_id, version, state, due FROM records WHERE kind = ?1 AND name = ?2";

const PUT: &str = "INSERT INTO records (kind, name, revision, grant_id, version, state, due, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, grant_id = excluded.grant_id,
        version = excluded.version, state = excluded.state, due = excluded.due, body = excluded.body,
        last_used = CASE excluded.state WHEN 2 THEN NULL ELSE last_used END";

/// The index is named because, with two bounds, SQLite would take the one of names, and look at the rows of all states.
/// Without an end, that is the empty blob: it comes after all texts.
pub(super) const LIST_STATE: &str = concat!(
    "SELECT ",
    columns!(),
    ", name FROM records INDEXED BY records_by_state WHERE kind = ?1 AND state = ?2
    AND name >= ?3 AND name <> ?4 AND name < coalesce(?5, x'') ORDER BY name LIMIT ?6"
);

/// `+` keeps the kind out of the choice of an index.
const CHANGES: &str = "SELECT kind, name, revision FROM records
    WHERE +kind BETWEEN ?3 AND ?4 AND revision > ?1 AND revision <= coalesce(
        (SELECT revision FROM records WHERE +kind BETWEEN ?3 AND ?4 AND revision > ?1 ORDER BY revision LIMIT 1 OFFSET ?2 - 1),
        9223372036854775807)
    ORDER BY revision, kind, name";

const TOUCH: &str = "UPDATE records SET last_used = ?3
    WHERE kind = ?1 AND name = ?2 AND state <> 2 AND (last_used IS NULL OR last_used < ?3)";

const PURGE: &str = "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE kind = ?1 AND due < ?2 LIMIT ?3)";

pub(super) fn store_id(connection: &Connection) -> Result<[u8; 16], StoreError> {
    Ok(connection.query_row("SELECT id FROM store", [], |row| row.get(0))?)
}

/// The store's id and its newest revision.
pub(super) fn head(connection: &Connection) -> Result<([u8; 16], Revision), StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, head FROM store")?;
    Ok(statement.query_row([], |row| Ok((row.get(0)?, Revision(row.get::<_, i64>(1)?.unsigned_abs()))))?)
}

pub(super) fn get(connection: &Connection, key: &Key) -> Result<Option<Row>, StoreError> {
    let mut statement = connection.prepare_cached(GET)?;
    let mut rows = statement.query(params![key.kind.code(), key.name])?;
    rows.next()?.map(|row| row_of(row, key)).transpose()
}

pub(super) fn write(writing: &Connection, changes: &[Change]) -> Result<Written, StoreError> {
    let head: i64 =
        writing.prepare_cached("UPDATE store SET head = head + 1 RETURNING head")?.query_row([], |row| row.get(0))?;
    for (at, change) in changes.iter().enumerate() {
        if change.expect != Expect::Anything {
            let found = label(writing, &change.key)?;
            if !change.expect.holds(found.as_ref().map(|(revision, label)| (*revision, label))) {
                return Ok(Written::Conflict(at));
            }
        }
        put(writing, head, change)?;
    }
    Ok(Written::Done(Revision(head.unsigned_abs())))
}

fn label(connection: &Connection, key: &Key) -> Result<Option<(Revision, Label)>, StoreError> {
    let mut statement = connection.prepare_cached(LABEL)?;
    let mut rows = statement.query(params![key.kind.code(), key.name])?;
    rows.next()?.map(|row| label_of(row, key)).transpose()
}

fn put(connection: &Connection, head: i64, Change { key, label, body, .. }: &Change) -> Result<(), StoreError> {
    connection.prepare_cached(PUT)?.execute(params![
        key.kind.code(),
        key.name,
        head,
        label.grant.map(|grant| *grant.as_bytes()),
        label.version.map(|version| signed(version.number())),
        label.state.code(),
        label.due.map(Timestamp::millis),
        body.as_bytes(),
    ])?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    kind: Kind,
    state: RowState,
    names: Names<'_>,
    limit: usize,
) -> Result<Vec<Listed>, StoreError> {
    let mut statement = connection.prepare_cached(LIST_STATE)?;
    let (from, without) = names.from();
    let limit = signed(limit as u64);
    let mut rows = statement.query(params![kind.code(), state.code(), from, without, names.end(), limit])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        let key = Key::new(kind, row.get::<_, String>(7)?);
        let row = match row_of(row, &key) {
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            read => read,
        };
        listed.push((key.name, row));
    }
    Ok(listed)
}

pub(super) fn changes(
    connection: &Connection,
    since: Revision,
    limit: usize,
) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
    let (_, head) = head(connection)?;
    let mut statement = connection.prepare_cached(CHANGES)?;
    let (first, last) = (Kind::CODES.start(), Kind::CODES.end());
    let mut rows = statement.query(params![signed(since.0), signed(limit.max(1) as u64), first, last])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = Kind::from_code(row.get(0)?) else { continue };
        keys.push((Key::new(kind, row.get::<_, String>(1)?), Revision(row.get::<_, i64>(2)?.unsigned_abs())));
    }
    Ok((head, keys))
}

pub(super) fn touch(connection: &Connection, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(TOUCH)?;
    for (key, at) in used {
        statement.execute(params![key.kind.code(), key.name, at.millis()])?;
    }
    Ok(())
}

/// Deletes at most `limit` rows.
pub(super) fn purge(connection: &Connection, kind: Kind, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
    Ok(connection.prepare_cached(PURGE)?.execute(params![kind.code(), before.millis(), signed(limit)])? as u64)
}

pub(super) fn bid(
    writing: &Connection,
    tenant: &TenantId,
    owner: &Owner,
    now: Timestamp,
    length: std::time::Duration,
    by: Timestamp,
) -> Result<Bid, StoreError> {
    let held = writing
        .prepare_cached("SELECT host, instance, ends FROM leases WHERE tenant = ?1")?
        .query_row([tenant.as_str()], |row| {
            Ok((Owner { host: row.get(0)?, instance: row.get(1)? }, Timestamp::from_millis(row.get(2)?)))
        })
        .optional()?;
    let bid = Bid::decide(held.as_ref().map(|(holder, ends)| (holder, *ends)), owner, now, length, by);
    if bid == Bid::Won {
        writing
            .prepare_cached("INSERT OR REPLACE INTO leases (tenant, host, instance, ends) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![tenant.as_str(), owner.host, owner.instance, now.plus(length).millis()])?;
    }
    Ok(bid)
}

pub(super) fn release(connection: &Connection, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM leases WHERE tenant = ?1 AND host = ?2 AND instance = ?3")?
        .execute(params![tenant.as_str(), owner.host, owner.instance])?;
    Ok(())
}

fn row_of(row: &SqlRow<'_>, key: &Key) -> Result<Row, StoreError> {
    let (revision, label) = label_of(row, key)?;
    let last_used = row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis);
    Ok(Row { revision, label, body: Body::from_stored(row.get(5)?), last_used })
}

/// Reads the first five columns of [`row_of`].
fn label_of(row: &SqlRow<'_>, key: &Key) -> Result<(Revision, Label), StoreError> {
    let grant = match row.get::<_, Option<Vec<u8>>>(1)? {
        None => None,
        Some(bytes) => match <[u8; 16]>::try_from(bytes) {
            Ok(id) => Some(GrantId::from_stored(id)),
            Err(_) => return Err(unreadable(key.to_string(), "grant_id: expected 16 bytes")),
        },
    };
    let state = RowState::from_code(row.get(3)?)
        .ok_or_else(|| unreadable(key.to_string(), "state: expected a state that this version knows"))?;
    let label = Label {
        grant,
        version: row.get::<_, Option<i64>>(2)?.map(|number| Version::from_stored(number.unsigned_abs())),
        state,
        due: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
    };
    Ok((Revision(row.get::<_, i64>(0)?.unsigned_abs()), label))
}

fn unreadable(record: String, what: &str) -> StoreError {
    StoreError::Unreadable { record, what: what.into() }
}

/// SQLite's integers are signed. What does not fit is beyond everything that is stored.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Every statement that looks for rows, with its number of parameters; a test looks at how SQLite goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[(&str, usize)] =
    &[(GET, 2), (LABEL, 2), (LIST_STATE, 6), (CHANGES, 4), (TOUCH, 3), (PURGE, 3)];
