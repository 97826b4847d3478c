//! Sealing a whole store with another key, while everybody works on it.
//!
//! Nothing but the sealed values of a record changes: neither grant id nor version, and for whoever follows the changes
//! a record is as it was. Each record is written only if nobody has written it meanwhile; who has, has sealed it.

use std::collections::BTreeMap;

use super::{
    StoreError, TokenStore,
    backend::{Key, Kind, Names, Row},
    record,
    seal::KeyId,
};

/// Records per write: few enough that refreshes in between do not wait.
const BATCH: usize = 200;

/// Records that cannot be read are all counted, and this many named.
const NAMED: usize = 10;

/// What the records of a store are sealed with. Records without secrets do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// How many records open with which key.
    pub by_key: BTreeMap<KeyId, u64>,
    /// How many do not open, or are no records of ours.
    pub unreadable: u64,
    /// The first of these.
    pub named: Vec<StoreError>,
}

/// How far a walk through all records has come.
#[derive(Default)]
struct Walk {
    kind: usize,
    after: Option<String>,
}

// === impl TokenStore ===

impl TokenStore {
    /// Opens every record, and changes nothing.
    pub async fn survey(&self) -> Result<Survey, StoreError> {
        let (mut survey, mut walk) = (Survey::default(), Walk::default());
        while let Some(page) = self.next_page(&mut walk).await? {
            for (key, row) in &page {
                match record::examine(&self.sealer, key, row) {
                    Ok(keys) => keys.into_iter().for_each(|key| *survey.by_key.entry(key).or_default() += 1),
                    Err(error) => survey.note(error),
                }
            }
        }
        Ok(survey)
    }

    /// Seals every record with our first key that is sealed with another, and tells `progress` of each batch how many
    /// that were. Answers their number. What does not open, and what others write meanwhile, stays as it is;
    /// [`TokenStore::survey`] tells.
    pub async fn reseal(&self, mut progress: impl FnMut(u64)) -> Result<u64, StoreError> {
        let (mut resealed, mut walk) = (0, Walk::default());
        while let Some(page) = self.next_page(&mut walk).await? {
            let first = self.sealer.sealing_key();
            let old = |row: &Row| record::sealed_with(&row.body).is_ok_and(|keys| keys.iter().any(|key| *key != first));
            let keys: Vec<_> = page.into_iter().filter(|(_, row)| old(row)).map(|(key, _)| key).collect();
            let done = self.reseal_rows(&keys).await?;
            resealed += done;
            progress(done);
        }
        Ok(resealed)
    }

    /// Some records after those that `walk` has seen; `None` at the end.
    async fn next_page(&self, walk: &mut Walk) -> Result<Option<Vec<(Key, Row)>>, StoreError> {
        while let Some(kind) = Kind::ALL.get(walk.kind).copied() {
            let rows = self.backend.list(kind, None, Names::after(walk.after.as_deref()), BATCH).await?;
            match rows.last() {
                Some((name, _)) => {
                    walk.after = Some(name.clone());
                    let rows = rows.into_iter().map(|(name, row)| Ok((Key::new(kind, name), row?)));
                    return rows.collect::<Result<_, _>>().map(Some);
                }
                None => *walk = Walk { kind: walk.kind + 1, after: None },
            }
        }
        Ok(None)
    }
}

// === impl Survey ===

impl Survey {
    /// How many records are sealed with another key than `key`.
    pub fn others_than(&self, key: KeyId) -> u64 {
        self.by_key.iter().filter(|(id, _)| **id != key).map(|(_, count)| count).sum()
    }

    /// How many are sealed with `key`.
    pub fn of(&self, key: KeyId) -> u64 {
        self.by_key.get(&key).copied().unwrap_or_default()
    }

    fn note(&mut self, error: StoreError) {
        self.unreadable += 1;
        if self.named.len() < NAMED {
            self.named.push(error);
        }
    }
}

#[cfg(test)]
mod tests;
