//! Eras: what lies between two travels of the store in time.
//!
//! A store that was emptied, or restored from a copy, goes on counting revisions from an earlier number, and nothing in
//! it says so. Whoever notices begins a new era: a record of kind [`Kind::Meta`] with an id of its own, from when on
//! nobody refreshes for [`QUIET`], so that every process has the time to write back what it holds. A row is then of one
//! of three ages: from before the travel, written back, or new.

use std::{fmt, str::FromStr, time::Duration};

use super::{
    Cas, StoreError, TokenStore,
    backend::{Change, Expect, Key, Kind, Pulse, Revision, Row, RowState},
    record,
};
use crate::model::{Random, Timestamp};

/// How long after the beginning of an era nobody refreshes.
pub const QUIET: Duration = Duration::from_secs(10);

/// The record of kind [`Kind::Meta`] that names the era.
pub(super) const ERA: &str = "era";

/// Names an era: when it began, and something random. Later eras are greater, whatever the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EraId([u8; 16]);

/// Not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidEraId;

/// An era of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era {
    pub id: EraId,
    /// When somebody last had something to write back, by the store's clock: when it began, or later, where a process
    /// was cut off meanwhile. `None` for a store's first era, which no travel went before.
    pub quiet_since: Option<Timestamp>,
    /// The era that the store was in when it came back; `None` where it came back as another store, of which nobody
    /// knows how old it is.
    pub before: Option<EraId>,
    /// Rows up to this revision were in the store when it came back.
    pub past: Revision,
}

/// Where somebody has found a record: which era it was, and the row's revision. Orders what several processes know of
/// one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub era: EraId,
    pub revision: Revision,
}

/// What the store says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// A random id, made when the store was.
    pub store: [u8; 16],
    pub newest: Revision,
    pub now: Timestamp,
    pub era: Era,
    /// How many connections to it were made until it said so.
    pub connections: u64,
    /// Names the row of the era, to begin the next one over it.
    row: Option<Revision>,
}

// === impl EraId ===

impl EraId {
    /// The era of a store that has not travelled yet.
    pub const FIRST: Self = Self([0; 16]);

    /// One that begins now, or right after `known` where the clock has been set back since that one began.
    pub fn after(known: Self, now: Timestamp, random: &Random) -> Self {
        let millis = now.millis().max(known.began().millis().saturating_add(1));
        let random: [u8; 8] = random.bytes();
        Self((i128::from(millis) << 64 | i128::from(u64::from_be_bytes(random))).to_be_bytes())
    }

    /// When it began, by the store's clock, or later where that clock has been set back.
    pub fn began(self) -> Timestamp {
        Timestamp::from_millis((i128::from_be_bytes(self.0) >> 64) as i64)
    }
}

impl fmt::Display for EraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// 32 hexadecimal digits.
impl FromStr for EraId {
    type Err = InvalidEraId;

    fn from_str(text: &str) -> Result<Self, InvalidEraId> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(|number| Self(number.to_be_bytes())).ok_or(InvalidEraId)
    }
}

// === impl Era ===

impl Era {
    pub(super) const FIRST: Self = Self { id: EraId::FIRST, quiet_since: None, before: None, past: Revision(0) };

    /// How long from `now` on nobody may refresh. A time later than now was told by a clock that has since been set
    /// back.
    pub fn quiet_left(&self, now: Timestamp) -> Duration {
        let age = self.quiet_since.and_then(|since| now.since(since)).unwrap_or(QUIET);
        QUIET.saturating_sub(age)
    }

    /// As the row of the era says; the first one where there is none.
    pub(super) fn of_row(row: Option<&Row>) -> Result<Self, StoreError> {
        match row.filter(|row| row.label.state != RowState::Gone) {
            None => Ok(Self::FIRST),
            Some(row) => record::read_era(row),
        }
    }
}

pub(crate) fn era_key() -> Key {
    Key::new(Kind::Meta, ERA)
}

// === impl TokenStore ===

impl TokenStore {
    /// What the store says of itself.
    pub async fn vitals(&self) -> Result<Vitals, StoreError> {
        let Pulse { store, newest, now, row, connections } = self.backend.pulse(&era_key()).await?;
        let era = Era::of_row(row.as_ref())?;
        Ok(Vitals { store, newest, now, era, connections, row: row.map(|row| row.revision) })
    }

    /// Writes `era` in place of the one that `seen` found, where it is the same one with a new quiet or the next;
    /// [`Cas::Moved`] where somebody else has done so meanwhile.
    /// An emptied store is given its key check again.
    pub async fn begin_era(&self, seen: &Vitals, era: &Era) -> Result<Cas, StoreError> {
        self.put_check().await?;
        let expect = seen.row.map_or(Expect::Absent, Expect::Revision);
        let (label, body) = record::era(era);
        Ok(self.write(vec![Change { key: era_key(), expect, label, body }]).await?.into())
    }
}
