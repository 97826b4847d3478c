//! Reads many slots again.
//!
//! Most of them are as they were: one look at the rows of many tells which are not, and only these are read one by one.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{
    backlog::{Entry, Outcome},
    ends,
    state::Slot,
    works::Works,
};
use crate::{
    model::TenantId,
    store::{Known, Look, Looked, StoreError},
};

/// How many tenants one look is for: a store that serves one after the other keeps nobody waiting for long.
pub(super) const AT_ONCE: usize = 200;

/// How many slots are read at a time.
const AT_A_TIME: usize = 32;

/// Reads those of `entries` that have changed, until so many have failed that it is not their fault. Fails itself where
/// nothing was done.
pub(super) async fn read_again(works: &Arc<Works>, entries: &[Entry]) -> Result<Outcome, StoreError> {
    let mut outcome = Outcome::default();
    let mut changed = changed(works, entries, &mut outcome).await?;
    let mut reading = JoinSet::new();
    loop {
        while outcome.failed.len() < AT_A_TIME
            && reading.len() < AT_A_TIME
            && let Some((entry, slot)) = changed.pop()
        {
            let works = Arc::clone(works);
            reading.spawn(async move { (entry, read(&works, &slot).await) });
        }
        match reading.join_next().await {
            Some(Ok((entry, Err(error)))) => {
                outcome.failed.push(entry);
                outcome.failures.add(error);
            }
            Some(_) => {}
            None => break,
        }
    }
    outcome.unread = changed.into_iter().map(|(entry, _)| entry).collect();
    Ok(outcome)
}

/// Those of `entries` that are in memory, and differently in the store; notes of the others that they are there.
async fn changed(
    works: &Works,
    entries: &[Entry],
    outcome: &mut Outcome,
) -> Result<Vec<(Entry, Arc<Slot>)>, StoreError> {
    let held = entries.iter().filter_map(|entry| Some((entry.clone(), works.held(&entry.tenant)?)));
    let held: Vec<_> = held.collect();
    let (known, at): (Vec<(TenantId, Known)>, Vec<u64>) = held
        .iter()
        .map(|(entry, slot)| {
            let (known, changes) = works.known(slot);
            ((entry.tenant.clone(), known), changes)
        })
        .unzip();
    let look = match works.store.look_at(&known).await {
        Ok(look) => look,
        // Only one by one does it show whose record it is.
        Err(StoreError::Unreadable { .. }) => return Ok(held),
        Err(error) => return Err(error),
    };
    let Look { era, tenants: looked } = look;
    let mut changed = Vec::new();
    for ((((entry, slot), looked), (_, known)), changes) in held.into_iter().zip(looked).zip(known).zip(at) {
        let stayed = looked == Looked::AsFound
            && slot.with(|state| {
                let unchanged = state.changes == changes;
                if unchanged {
                    state.found_again_in(era);
                }
                unchanged
            });
        if !stayed {
            changed.push((entry, slot));
        } else if entry.found.is_some() && entry.found == known.found_at() {
            outcome.stayed = [outcome.stayed, entry.found].into_iter().flatten().min();
        }
    }
    Ok(changed)
}

async fn read(works: &Works, slot: &Arc<Slot>) -> Result<(), StoreError> {
    match works.read(slot).await {
        Ok(_) => Ok(()),
        Err(error @ StoreError::Unreadable { .. }) => {
            slot.with(|state| state.unreadable = true);
            works.unreadable.note(&slot.tenant, &error);
            tracing::error!(tenant = %slot.tenant, %error, "a changed record cannot be read; what was known of the tenant stays");
            // Except that it is over, if it is.
            ends::look_at(works, std::slice::from_ref(slot)).await
        }
        Err(error) => Err(error),
    }
}
