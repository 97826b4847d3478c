//! Sees what other processes change in the store.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::{state::Slot, works::Works};
use crate::store::StoreError;

/// How often the store is asked for changes; a change by another process takes effect within twice this time, which is
/// to stay below 2 s.
const EVERY: Duration = Duration::from_millis(800);

/// How many slots are read at a time when all of them have to be.
const AT_A_TIME: usize = 32;

/// Follows the store's changes for as long as the process lives.
pub(super) async fn follow(works: Arc<Works>) {
    loop {
        sleep(EVERY).await;
        match once(&works).await {
            Ok(()) => works.reached(),
            Err(error) => works.out_of_reach(&error),
        }
    }
}

/// Reads again what has changed since the last time; everything that is held, where the store may have travelled.
async fn once(works: &Arc<Works>) -> Result<(), StoreError> {
    loop {
        works.vitals().await?;
        if works.is_all_to_be_read()
            && let Err(error) = read_all(works).await
        {
            works.read_all_again();
            return Err(error);
        }
        let (since, travels) = works.followed();
        let changes = works.store.changed_since(since).await?;
        for tenant in &changes.tenants {
            if let Some(slot) = works.held(tenant) {
                read(works, &slot).await?;
            }
        }
        works.set_followed(changes.next, travels);
        // Told once, now that the feed goes on behind them.
        for error in &changes.unreadable {
            tracing::error!(%error, "a change in the store is passed over");
        }
        if !changes.more {
            return Ok(());
        }
    }
}

async fn read(works: &Works, slot: &Slot) -> Result<(), StoreError> {
    match works.read(slot).await {
        Ok(_) => Ok(()),
        Err(error @ StoreError::Unreadable { .. }) => {
            tracing::error!(tenant = %slot.tenant, %error, "a changed record cannot be read; what was known of the tenant stays");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Reads every slot again, which writes back what the store has lost of it.
async fn read_all(works: &Arc<Works>) -> Result<(), StoreError> {
    let mut reading: JoinSet<Result<(), StoreError>> = JoinSet::new();
    for tenant in works.tenants_held() {
        while reading.len() >= AT_A_TIME {
            reading.join_next().await.map_or(Ok(()), |read| read.unwrap_or(Ok(())))?;
        }
        let works = Arc::clone(works);
        reading.spawn(async move {
            let Some(slot) = works.held(&tenant) else { return Ok(()) };
            read(&works, &slot).await
        });
    }
    while let Some(read) = reading.join_next().await {
        read.unwrap_or(Ok(()))?;
    }
    Ok(())
}
