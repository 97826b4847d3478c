//! Sees what other processes change in the store.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::works::Works;
use crate::store::StoreError;

/// How often the store is asked for changes; a change by another process takes effect within twice this time, which is to stay below 2 s.
const EVERY: Duration = Duration::from_millis(800);

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

/// Reads again what has changed since the last time.
async fn once(works: &Arc<Works>) -> Result<(), StoreError> {
    loop {
        works.set_clock().await?;
        let changes = works.store.changed_since(works.seen()).await?;
        for tenant in &changes.tenants {
            let Some(slot) = works.held(tenant) else { continue };
            match works.read(&slot).await {
                Ok(_) => {}
                Err(error @ StoreError::Unreadable { .. }) => {
                    tracing::error!(%tenant, %error, "a changed record cannot be read; what was known of the tenant stays");
                }
                Err(error) => return Err(error),
            }
        }
        works.set_seen(changes.next);
        // Told once, now that the feed goes on behind them.
        for error in &changes.unreadable {
            tracing::error!(%error, "a change in the store is passed over");
        }
        if !changes.more {
            return Ok(());
        }
    }
}
