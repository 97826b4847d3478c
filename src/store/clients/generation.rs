//! Which state of a client is the later one, and its end.

use super::{ClientRecord, GoneClient, Next, Removal, client_key};
use crate::{
    model::Timestamp,
    store::{
        Cas, StoreError, TOMBSTONE_LIFE, TokenStore,
        backend::{Change, Expect, Key, Row, RowState},
        record,
        tenants::is_there,
    },
};

/// Which state of a client is the later one. It rises with every secret and with a removal, and not with what is only
/// noted or described beside the secret.
///
/// It is the time of the store at that moment, and one more than before where that is no later: what is written to a store
/// that has come back older counts more than all that it has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(pub(in crate::store) u64);

// === impl Generation ===

impl Generation {
    /// The one after `before`, at `now` by the store's clock.
    fn next(before: Self, now: Timestamp) -> Self {
        let now = u64::try_from(now.millis()).unwrap_or_default();
        Self(now.max(before.0.saturating_add(1)))
    }
}

// === impl TokenStore ===

impl TokenStore {
    /// Gives a store that has come back empty or older a client again, as it was known before; upwards only, and never
    /// over a removal. What is noted in the store stays noted. Answers whether there was anything to give.
    pub async fn restore_client(&self, kept: &ClientRecord) -> Result<bool, StoreError> {
        let key = client_key(&kept.client.client_id);
        let row = self.row(&key).await?;
        let found = self.kept(&key, row.as_ref())?;
        let intent = match (&row, found) {
            (None, _) => kept.intent.clone(),
            (Some(_), Some(found)) if found.generation < kept.generation => found.intent.or(kept.intent.clone()),
            (Some(_), _) => return Ok(false),
        };
        let (label, body) = record::client(&self.sealer, &key, &ClientRecord { intent, ..kept.clone() });
        let change = Change { key, expect: Expect::as_read(row.as_ref()), label, body };
        // In a conflict somebody else has given it, or something newer.
        Ok(Cas::from(self.write(vec![change]).await?) == Cas::Stored)
    }

    /// Takes a client out of a store that has come back from before its removal. Answers whether there was one.
    pub async fn remove_again(&self, gone: &GoneClient) -> Result<bool, StoreError> {
        let key = client_key(&gone.client_id);
        let row = self.row(&key).await?;
        if self.kept(&key, row.as_ref())?.is_none_or(|found| found.generation >= gone.generation) {
            return Ok(false);
        }
        let marker = self.gone(&gone.client_id, gone.generation, gone.why).await?;
        let change = Change { expect: Expect::as_read(row.as_ref()), ..marker };
        Ok(Cas::from(self.write(vec![change]).await?) == Cas::Stored)
    }

    /// Whether the client was revoked here. That is known for as long as its marker stays, and a consent is not under way
    /// for as long.
    pub async fn is_revoked_client(&self, client_id: &str) -> Result<bool, StoreError> {
        let key = client_key(client_id);
        match self.row(&key).await?.filter(|row| !is_there(row)) {
            Some(row) => Ok(record::read_client_gone(&key, &row)?.1 == Removal::Revoked),
            None => Ok(false),
        }
    }

    /// Forgets a revoked client with its secret. What is not kept here is remembered as revoked all the same.
    pub async fn forget_client(&self, client_id: &str) -> Result<(), StoreError> {
        self.change_client(client_id, |_, _| Next::Gone(Removal::Revoked)).await
    }

    /// The generation after the row's.
    pub(super) async fn next_generation(&self, key: &Key, row: Option<&Row>) -> Result<Generation, StoreError> {
        let before = match row {
            None => Generation::default(),
            Some(row) if is_there(row) => {
                self.kept(key, Some(row))?.map_or(Generation::default(), |kept| kept.generation)
            }
            Some(row) => record::read_client_gone(key, row)?.0,
        };
        Ok(Generation::next(before, self.backend.now().await?))
    }

    /// What stays of a row until every process has seen it go.
    pub(super) async fn gone(&self, name: &str, generation: Generation, why: Removal) -> Result<Change, StoreError> {
        let (label, body) = record::client_gone(self.backend.now().await?.plus(TOMBSTONE_LIFE), generation, why);
        debug_assert_eq!(label.state, RowState::Gone);
        Ok(Change { key: client_key(name), expect: Expect::Anything, label, body })
    }
}
