//! Rows as the scripts take and give them. Numbers, times and ids are texts; what a row lacks is the empty text.

use std::ops::Bound;

use redis::ScriptInvocation;

use crate::{
    model::{GrantId, Timestamp, Version, token::Owner},
    store::{
        StoreError,
        backend::{Bid, Change, Expect, Key, Kind, Label, Names, Revision, Row, RowState, Written},
        record::Body,
    },
};

/// A row's fields in the order of `read` in `lua/lib.lua`; all missing when there is no row.
pub(super) type Fields = Vec<Option<Vec<u8>>>;

/// Adds what `lua/write.lua` takes for one change.
pub(super) fn push_change(call: &mut ScriptInvocation<'_>, Change { key, expect, label, body }: &Change) {
    push_key(call, key);
    match expect {
        Expect::Anything => call.arg("anything").arg("").arg(""),
        Expect::Absent => call.arg("absent").arg("").arg(""),
        Expect::Revision(revision) => call.arg("revision").arg(revision.0).arg(""),
        Expect::Grant(grant, version) => call.arg("grant").arg(grant.to_string()).arg(version.number()),
    };
    call.arg(label.state.code())
        .arg(label.grant.map(|grant| grant.to_string()).unwrap_or_default())
        .arg(label.version.map(|version| version.number().to_string()).unwrap_or_default())
        .arg(label.due.map(|due| due.millis().to_string()).unwrap_or_default())
        .arg(body.as_bytes());
}

/// Adds the two arguments that name a row.
pub(super) fn push_key(call: &mut ScriptInvocation<'_>, key: &Key) {
    call.arg(key.kind.code()).arg(key.name.as_str());
}

/// Where a list begins and ends, as ZRANGEBYLEX has it.
pub(super) fn range(names: Names<'_>) -> (String, String) {
    let start = match names.start() {
        Bound::Included(name) => format!("[{name}"),
        Bound::Excluded(name) => format!("({name}"),
        Bound::Unbounded => "-".into(),
    };
    (start, names.end().map_or_else(|| "+".into(), |end| format!("({end}")))
}

/// The store's id, as `lua/enter.lua` keeps it.
pub(super) fn store_id(id: &str) -> Result<[u8; 16], StoreError> {
    u128::from_str_radix(id, 16).map(u128::to_be_bytes).map_err(|_| StoreError::Unreadable {
        record: "store".into(),
        what: "id: expected 32 hexadecimal digits".into(),
    })
}

/// What became of a batch, as `lua/write.lua` answers.
pub(super) fn written((outcome, number): (String, u64)) -> Option<Written> {
    match outcome.as_str() {
        "done" => Some(Written::Done(Revision(number))),
        "conflict" => usize::try_from(number).ok().map(Written::Conflict),
        _ => None,
    }
}

/// The row of `key`.
pub(super) fn row_of(key: &Key, fields: Fields) -> Result<Option<Row>, StoreError> {
    let Ok([revision, grant, version, state, due, body, last_used]) = <[_; 7]>::try_from(fields) else {
        return Err(unreadable(key, "fields: expected seven"));
    };
    let Some(revision) = parsed(key, "revision", revision, |text| text.parse().ok().map(Revision))? else {
        return Ok(None);
    };
    let label = Label {
        grant: parsed(key, "grant", grant, |text| text.parse::<GrantId>().ok())?,
        version: parsed(key, "version", version, |text| text.parse().ok().map(Version::from_stored))?,
        state: parsed(key, "state", state, |text| text.parse().ok().and_then(RowState::from_code))?
            .ok_or_else(|| unreadable(key, "state: missing"))?,
        due: parsed(key, "due", due, timestamp)?,
    };
    let body = Body::from_stored(body.ok_or_else(|| unreadable(key, "body: missing"))?);
    Ok(Some(Row { revision, label, body, last_used: parsed(key, "last_used", last_used, timestamp)? }))
}

/// A key as the feed names it, of a kind that this version knows.
pub(super) fn key_of(member: &[u8]) -> Option<Key> {
    let (kind, name) = std::str::from_utf8(member).ok()?.split_once(':')?;
    Some(Key::new(Kind::from_code(kind.parse().ok()?)?, name))
}

/// What became of a bid: whose lease it is and for how long, where it is lost, as `lua/bid.lua` answers.
pub(super) fn bid(answer: &[String]) -> Option<Bid> {
    match answer {
        [] => Some(Bid::Won),
        [late] => (late == "late").then_some(Bid::Late),
        [left, holder] => {
            let left = std::time::Duration::from_millis(left.parse().ok()?);
            // An instance's name has no line breaks, whatever a host may be called.
            let (host, instance) = holder.rsplit_once('\n')?;
            Some(Bid::Lost { holder: Owner { host: host.into(), instance: instance.into() }, left })
        }
        _ => None,
    }
}

/// An owner as `lua/bid.lua` keeps it.
pub(super) fn owner(Owner { host, instance }: &Owner) -> String {
    format!("{host}\n{instance}")
}

fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_millis)
}

fn parsed<T>(
    key: &Key,
    field: &str,
    value: Option<Vec<u8>>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = value.filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
    match std::str::from_utf8(&bytes).ok().and_then(parse) {
        Some(read) => Ok(Some(read)),
        None => Err(unreadable(key, &format!("{field}: not what this version writes"))),
    }
}

fn unreadable(key: &Key, what: &str) -> StoreError {
    StoreError::Unreadable { record: key.to_string(), what: what.into() }
}
