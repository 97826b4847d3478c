//! The statements that stand alone. Each is a transaction, sees one snapshot, and touches as many rows as it answers
//! for, whatever the store's size; the indices in `schema` see to it.

use std::time::Duration;

use tokio_postgres::{Row as SqlRow, types::ToSql};

use super::{
    faults::Fault,
    session::Session,
    values::{code_of, columns, id_of, lease_of, no_store, row_of, signed, time_of},
};
use crate::{
    model::{TenantId, Timestamp, token::Owner},
    store::{
        StoreError,
        backend::{Bid, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState},
    },
};

/// The server's clock as it is now, and not as it was when the transaction began.
macro_rules! now {
    () => {
        "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// In `RETURNING`: the commit does not wait for the disk. A lease only elects, and a lost note of use is no harm, so
/// none of them is worth a write to the disk each; whatever decides about tokens goes through `writer`.
macro_rules! hurried {
    () => {
        "set_config('synchronous_commit', 'off', true)"
    };
}

const STORE_ID: &str = "SELECT id FROM flexslot_proxy.store";

const NOW: &str = concat!("SELECT ", now!());

const PULSE: &str = concat!(
    "SELECT s.id, r.revision, r.grant_id, r.version, r.state, r.due, r.body, r.last_used, s.head, ",
    now!(),
    " FROM flexslot_proxy.store s LEFT JOIN flexslot_proxy.records r ON r.kind = $1::smallint AND r.name = $2::text"
);

const GET: &str = "SELECT asked.at, r.revision, r.grant_id, r.version, r.state, r.due, r.body, r.last_used
    FROM unnest($1::smallint[], $2::text[]) WITH ORDINALITY AS asked (kind, name, at)
    JOIN flexslot_proxy.records r ON r.kind = asked.kind AND r.name = asked.name";

/// The first of all the states are among the first of each; so the index on the state serves, and markers cost nothing.
macro_rules! list {
    ($end:literal) => {
        concat!(
            "SELECT r.name, r.revision, r.grant_id, r.version, r.state, r.due, r.body, r.last_used
    FROM unnest($2::smallint[]) AS wanted (state) CROSS JOIN LATERAL (
        SELECT * FROM flexslot_proxy.records
        WHERE kind = $1::smallint AND state = wanted.state AND name >= $3::text AND name <> $4::text",
            $end,
            " ORDER BY name LIMIT $5::bigint) AS r
    ORDER BY r.name LIMIT $5::bigint"
        )
    };
}

const LIST: &str = list!("");

/// There is no text that comes after all others, in whatever encoding, and so could be the end of a list without one.
pub(super) const LIST_TO_END: &str = list!(" AND name < $6::text");

const CHANGES: &str = "SELECT s.head, r.revision, r.kind, r.name
    FROM flexslot_proxy.store s LEFT JOIN (
        SELECT revision, kind, name FROM flexslot_proxy.records
        WHERE revision > $1::bigint AND kind BETWEEN $3::smallint AND $4::smallint ORDER BY revision FETCH FIRST ($2::bigint) ROWS WITH TIES) AS r ON true
    ORDER BY r.revision, r.kind, r.name";

const LOOK_AT_LEASE: &str = concat!(
    "SELECT ",
    now!(),
    ", l.host, l.instance, l.ends
    FROM (VALUES (1)) AS one LEFT JOIN flexslot_proxy.leases l ON l.tenant = $1"
);

/// Takes the lease if it is free or still as it was seen, and the bid not void yet.
const TAKE_LEASE: &str = concat!(
    "INSERT INTO flexslot_proxy.leases AS l (tenant, host, instance, ends)
    SELECT $1::text, $2::text, $3::text, $4::bigint WHERE ",
    now!(),
    " <= $8::bigint
    ON CONFLICT (tenant) DO UPDATE SET host = excluded.host, instance = excluded.instance, ends = excluded.ends
        WHERE (l.host, l.instance, l.ends) = ($5::text, $6::text, $7::bigint)
    RETURNING ",
    hurried!()
);

const RELEASE: &str = concat!(
    "DELETE FROM flexslot_proxy.leases WHERE tenant = $1 AND host = $2 AND instance = $3 RETURNING ",
    hurried!()
);

/// Rows that somebody writes at this moment are left out: so nobody waits here with other rows locked, and no deadlock
/// can come of it.
const TOUCH: &str = concat!(
    "WITH used AS (
        SELECT kind, name, max(at) AS at FROM unnest($1::smallint[], $2::text[], $3::bigint[]) AS u (kind, name, at)
        GROUP BY kind, name),
    free AS (
        SELECT r.kind, r.name, used.at FROM flexslot_proxy.records r JOIN used ON r.kind = used.kind AND r.name = used.name
        WHERE r.state <> 2 AND (r.last_used IS NULL OR r.last_used < used.at)
        FOR NO KEY UPDATE OF r SKIP LOCKED)
    UPDATE flexslot_proxy.records r SET last_used = free.at FROM free
    WHERE r.kind = free.kind AND r.name = free.name AND r.state <> 2 RETURNING ",
    hurried!()
);

/// Leaves rows out as `TOUCH` does; the next purge finds them. A row is locked where it lies (`ctid`), and so found
/// without a search.
const PURGE: &str = "WITH gone AS (
        DELETE FROM flexslot_proxy.records WHERE due < $2::bigint AND ctid = ANY (ARRAY(
            SELECT ctid FROM flexslot_proxy.records WHERE kind = $1::smallint AND due < $2::bigint
            ORDER BY due LIMIT $3::bigint FOR UPDATE SKIP LOCKED)) RETURNING 1)
    SELECT count(*) FROM gone";

const CAVEATS: &str = "SELECT current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
    current_setting('synchronous_commit') IN ('on', 'remote_apply'),
    NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'flexslot_proxy' AND c.relkind = 'r' AND c.relpersistence <> 'p')";

pub(super) async fn store_id(session: &Session) -> Result<[u8; 16], Fault> {
    let rows = session.query(STORE_ID, &[]).await?;
    id_of(rows.first().ok_or_else(no_store)?)
}

pub(super) async fn now(session: &Session) -> Result<Timestamp, Fault> {
    let rows = session.query(NOW, &[]).await?;
    time_of(rows.first())
}

pub(super) async fn pulse(session: &Session, beside: &Key) -> Result<Pulse, Fault> {
    let rows = session.query(PULSE, &[&code_of(beside.kind), &beside.name]).await?;
    let found = rows.first().ok_or_else(no_store)?;
    let is_there = found.try_get::<_, Option<i64>>(1)?.is_some();
    Ok(Pulse {
        store: id_of(found)?,
        newest: Revision(found.try_get::<_, i64>(8)?.unsigned_abs()),
        now: Timestamp::from_millis(found.try_get(9)?),
        row: is_there.then(|| row_of(found, beside)).transpose()?,
        connections: 0,
    })
}

pub(super) async fn get(session: &Session, keys: &[Key]) -> Result<Vec<Option<Row>>, Fault> {
    let (kinds, names) = columns(keys);
    let mut found = vec![None; keys.len()];
    for row in session.query(GET, &[&kinds, &names]).await? {
        let at = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default().wrapping_sub(1);
        if let (Some(key), Some(place)) = (keys.get(at), found.get_mut(at)) {
            *place = Some(row_of(&row, key)?);
        }
    }
    Ok(found)
}

pub(super) async fn list(
    session: &Session,
    kind: Kind,
    state: Option<RowState>,
    names: Names<'_>,
    limit: usize,
) -> Result<Vec<Listed>, Fault> {
    let states: Vec<i16> = match state {
        Some(state) => vec![state.code().into()],
        None => vec![RowState::Live.code().into(), RowState::Disconnected.code().into()],
    };
    let (kind_code, (from, without), limit) = (code_of(kind), names.from(), signed(limit as u64));
    let rows = match names.end() {
        None => session.query(LIST, &[&kind_code, &states, &from, &without, &limit]).await?,
        Some(end) => session.query(LIST_TO_END, &[&kind_code, &states, &from, &without, &limit, &end]).await?,
    };
    rows.iter().map(|row| listed(row, kind)).collect()
}

/// A row with its name in the first column.
fn listed(row: &SqlRow, kind: Kind) -> Result<Listed, Fault> {
    let key = Key::new(kind, row.try_get::<_, String>(0)?);
    match row_of(row, &key) {
        Ok(row) => Ok((key.name, Ok(row))),
        Err(Fault::Unreadable { record, what }) => Ok((key.name, Err(StoreError::Unreadable { record, what }))),
        Err(fault) => Err(fault),
    }
}

pub(super) async fn changes(
    session: &Session,
    since: Revision,
    limit: usize,
) -> Result<(Revision, Vec<(Key, Revision)>), Fault> {
    let (first, last) = (i16::from(*Kind::CODES.start()), i16::from(*Kind::CODES.end()));
    let rows = session.query(CHANGES, &[&signed(since.0), &signed(limit.max(1) as u64), &first, &last]).await?;
    let head = rows.first().ok_or_else(no_store)?.try_get::<_, i64>(0)?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(revision) = row.try_get::<_, Option<i64>>(1)? else { break };
        let (kind, name): (i16, String) = (row.try_get(2)?, row.try_get(3)?);
        let Some(kind) = u8::try_from(kind).ok().and_then(Kind::from_code) else { continue };
        keys.push((Key { kind, name }, Revision(revision.unsigned_abs())));
    }
    Ok((Revision(head.unsigned_abs()), keys))
}

/// Looks, decides, and takes the lease only if nobody was faster; else it looks again. So no lock is held between two
/// statements, which a frozen process would hold on to.
///
/// The time is that of the look: never earlier than any lease that it shows was taken, so that none seems to end more
/// than a whole length away; and a bidder who is frozen after it takes a lease that is over the sooner.
pub(super) async fn bid(
    session: &Session,
    tenant: &TenantId,
    owner: &Owner,
    length: Duration,
    by: Timestamp,
) -> Result<Bid, Fault> {
    loop {
        let rows = session.query(LOOK_AT_LEASE, &[&tenant.as_str()]).await?;
        let now = time_of(rows.first())?;
        let held = rows.first().map(lease_of).transpose()?.flatten();
        let bid = Bid::decide(held.as_ref().map(|(holder, ends)| (holder, *ends)), owner, now, length, by);
        if bid != Bid::Won {
            return Ok(bid);
        }
        let (host, instance) = held.as_ref().map(|(holder, _)| (&holder.host, &holder.instance)).unzip();
        let ends = held.as_ref().map(|(_, ends)| ends.millis());
        let (until, by) = (now.plus(length).millis(), by.millis());
        let taken: [&(dyn ToSql + Sync); 8] =
            [&tenant.as_str(), &owner.host, &owner.instance, &until, &host, &instance, &ends, &by];
        let taken = session.query(TAKE_LEASE, &taken).await?;
        if !taken.is_empty() {
            return Ok(Bid::Won);
        }
    }
}

pub(super) async fn release(session: &Session, tenant: &TenantId, owner: &Owner) -> Result<(), Fault> {
    session.query(RELEASE, &[&tenant.as_str(), &owner.host, &owner.instance]).await.map(drop)
}

pub(super) async fn touch(session: &Session, used: &[(Key, Timestamp)]) -> Result<(), Fault> {
    let (kinds, names) = columns(used.iter().map(|(key, _)| key));
    let times: Vec<_> = used.iter().map(|(_, at)| at.millis()).collect();
    session.query(TOUCH, &[&kinds, &names, &times]).await.map(drop)
}

pub(super) async fn purge(session: &Session, kind: Kind, before: Timestamp, limit: u64) -> Result<u64, Fault> {
    let rows = session.query(PURGE, &[&code_of(kind), &before.millis(), &signed(limit)]).await?;
    Ok(rows.first().map(|row| row.try_get::<_, i64>(0)).transpose()?.unwrap_or_default().unsigned_abs())
}

/// What about the server's settings keeps a write from being durable.
pub(super) async fn caveats(session: &Session) -> Result<Vec<String>, Fault> {
    let rows = session.query(CAVEATS, &[]).await?;
    let row = rows.first().ok_or_else(no_store)?;
    let texts = [
        "fsync is off: a power cut can lose or damage what is stored; set fsync = on",
        "full_page_writes is off: a power cut can damage what is stored, unless the file system writes whole pages",
        "synchronous_commit is off: a crash of the server can lose the latest tokens; set synchronous_commit = on",
        "tables of the schema flexslot_proxy are unlogged: a crash of the server empties them; ALTER TABLE … SET LOGGED",
    ];
    let mut caveats = Vec::new();
    for (at, text) in texts.into_iter().enumerate() {
        if !row.try_get::<_, bool>(at)? {
            caveats.push(format!("PostgreSQL: {text}"));
        }
    }
    Ok(caveats)
}

/// Every statement that looks for rows, with values for it; a test looks at how the server goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[(&str, &str)] = &[
    (PULSE, "1, 'tenant-7'"),
    (GET, "'{1}', '{tenant-7}'"),
    (LIST, "1, '{0,1}', 'tenant-7', 'tenant-7', 100"),
    (LIST_TO_END, "1, '{0,1}', 'tenant-7', '', 100, 'tenant-8'"),
    (CHANGES, "7, 100, 1, 7"),
    (LOOK_AT_LEASE, "'tenant-7'"),
    (TAKE_LEASE, "'tenant-7', 'host', 'instance', 7, 'host', 'instance', 7, 7"),
    (RELEASE, "'tenant-7', 'host', 'instance'"),
    (TOUCH, "'{1}', '{tenant-7}', '{7}'"),
    (PURGE, "1, 7, 1000"),
];
