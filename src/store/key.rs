//! The key that a store is sealed with, and how every process follows when it becomes another.
//!
//! The key check says which key that is. A rotation seals it anew before anything else, and removes the old key last.
//! In between lies [`SETTLED`], because a process seals only after a look at the key check that is not older than
//! `LOOK`: after that time nobody who runs seals with the old key any more. Who was stopped meanwhile, between its look
//! and its write, looks again after the write, still has the old key in memory, and seals anew what it has written.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    KEY_CHECK, StoreError, TokenStore,
    backend::{Change, Expect, Key, Kind, Revision, Written},
    record,
    seal::{Followed, KeyId},
};

/// How long a look at the key check is good for.
const LOOK: Duration = Duration::from_secs(2);

/// How long after the key check was sealed with another key every running process seals with it, or has at least been
/// told.
pub const SETTLED: Duration = Duration::from_secs(5);

/// When the key check was looked at last. Clones of a store share it.
#[derive(Clone)]
pub(super) struct Looked(Arc<Mutex<Look>>);

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    /// Who asks for the changes after this revision has been told of every one since the look.
    told: Option<Revision>,
}

/// What a part of the change feed says of the key check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Changed,
    Unchanged,
    /// Not among these changes, and there are more.
    SoFar,
}

// === impl TokenStore ===

impl TokenStore {
    /// Looks which key the store is sealed with, and follows where it is another one than ours.
    pub async fn look_at_key(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let row = self.row(&Key::new(Kind::Meta, KEY_CHECK)).await?;
        // A damaged key check is for the next start to report.
        let key = row.and_then(|row| record::sealed_with(&row.body).ok()?.into_iter().next());
        if let Some(key) = key {
            self.follow(key);
        }
        self.looked.set(began);
        Ok(())
    }

    fn follow(&self, key: KeyId) {
        match self.sealer.follow(key) {
            Followed::Nothing => {}
            Followed::Sealing => tracing::info!(%key, "another encryption key seals from now on"),
            Followed::Opening => tracing::info!(
                %key,
                ours = %self.sealer.sealing_key(),
                hint = "key rotate seals everything with the first key, when every process has the same one in front",
                "the store is sealed with an encryption key that is not the first one here"
            ),
            Followed::Unknown => tracing::error!(
                %key,
                ours = %self.sealer.sealing_key(),
                hint = "put it in front of the others in store.encryption_key; until then tenants whose records it seals cannot be read here",
                "the store is sealed with an encryption key that is not known here"
            ),
        }
    }

    /// Notes what the change feed said of the key check: `written` whether it is among the changes after `since`, which
    /// go up to `next`.
    pub(super) async fn told_of_key(
        &self,
        since: Revision,
        next: Revision,
        began: Instant,
        written: Told,
    ) -> Result<(), StoreError> {
        let missed_none = self.looked.get().told == Some(since);
        match written {
            Told::Unchanged if missed_none => self.looked.set(began),
            Told::SoFar if missed_none => {}
            Told::Unchanged | Told::SoFar | Told::Changed => self.look_at_key().await?,
        }
        self.looked.tell(next);
        Ok(())
    }

    /// Writes all of `changes` or none, sealed with the key of the store as far as we have it.
    pub(super) async fn write(&self, mut changes: Vec<Change>) -> Result<Written, StoreError> {
        if self.looked.is_old()
            && let Err(error @ StoreError::Unavailable(_)) = self.look_at_key().await
        {
            // It would not take them either, and a new pair is nowhere but in memory while both are waited for.
            return Err(error);
        }
        let sealed_with = self.sealer.sealing_key();
        if !self.sealer.keys().others().is_empty() {
            // They may have been sealed a moment before the key changed.
            changes.iter_mut().for_each(|change| self.seal_anew(change));
        }
        let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
        let forgotten = self.forgotten.load(Ordering::Relaxed);
        let written = self.backend.write(changes).await;
        // What another server took, before this one came in its place, tells nothing of this one.
        if let Ok(Written::Done(revision)) = written
            && self.forgotten.load(Ordering::Relaxed) == forgotten
        {
            self.written.fetch_max(revision.0, Ordering::Relaxed);
        }
        match &written {
            Ok(_) => self.look_after(sealed_with, &keys).await,
            // It may have been done, and whoever has to keep a pair elsewhere does not wait to know.
            Err(_) => {
                let store = self.clone();
                tokio::spawn(async move { store.look_after(sealed_with, &keys).await });
            }
        }
        written
    }

    /// Seals anew what was written with the key `sealed_with`, if another one seals by now.
    async fn look_after(&self, sealed_with: KeyId, keys: &[Key]) {
        if self.looked.is_old() {
            let _ = self.look_at_key().await;
        }
        if self.sealer.sealing_key() != sealed_with
            && let Err(error) = self.reseal_rows(keys).await
        {
            tracing::warn!(%error, "what was written while the encryption key changed is still sealed with the old one");
        }
    }

    fn seal_anew(&self, change: &mut Change) {
        // What was sealed here a moment ago opens.
        if let Ok(Some(body)) = record::resealed(&self.sealer, &change.key, &change.body) {
            change.body = body;
        }
    }

    /// Makes our first key the one that the store is sealed with: every running process follows within two seconds, if
    /// it has that key. Answers how many records that changed.
    pub async fn take_first_key(&self) -> Result<u64, StoreError> {
        self.reseal_rows(&[Key::new(Kind::Meta, KEY_CHECK)]).await
    }

    /// Seals what is in the rows of `keys` anew, where another key than the first has sealed it; answers how many rows
    /// that were.
    pub(super) async fn reseal_rows(&self, keys: &[Key]) -> Result<u64, StoreError> {
        let rows = self.backend.get(keys).await?;
        let found = keys.iter().cloned().zip(rows).filter_map(|(key, row)| Some((key, row?)));
        let mut changes = Vec::new();
        for (key, row) in found {
            // What does not open stays as it is.
            if let Ok(Some(body)) = record::resealed(&self.sealer, &key, &row.body) {
                changes.push(Change { key, expect: Expect::Revision(row.revision), label: row.label, body });
            }
        }
        while !changes.is_empty() {
            match self.backend.write(changes.clone()).await? {
                Written::Done(_) => break,
                // Somebody has written that row meanwhile, and sealed it while doing so.
                Written::Conflict(at) => drop(changes.remove(at)),
            }
        }
        Ok(changes.len() as u64)
    }
}

// === impl Looked ===

impl Looked {
    pub(super) fn now() -> Self {
        Self(Arc::new(Mutex::new(Look { at: Instant::now(), told: None })))
    }

    fn get(&self) -> Look {
        *self.0.lock()
    }

    fn is_old(&self) -> bool {
        self.get().at.elapsed() >= LOOK
    }

    fn set(&self, at: Instant) {
        let mut look = self.0.lock();
        look.at = look.at.max(at);
    }

    fn tell(&self, next: Revision) {
        self.0.lock().told = Some(next);
    }
}

#[cfg(test)]
mod tests;
