//! Sees what other processes change in the store.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::works::Works;
use crate::store::{StoreError, backend::Revision};

/// How often the store is asked for changes; a change by another process takes effect within twice this time (contract section 5: 2 s).
const EVERY: Duration = Duration::from_millis(800);

/// Follows the store's changes from `since` on, for as long as the process lives.
pub(super) async fn follow(works: Arc<Works>, mut since: Revision) {
    loop {
        sleep(EVERY).await;
        match once(&works, since).await {
            Ok(head) => {
                since = head;
                works.reached();
            }
            Err(error) => works.out_of_reach(&error),
        }
    }
}

/// Reloads what has changed since `since`; answers where to go on.
pub(super) async fn once(works: &Arc<Works>, since: Revision) -> Result<Revision, StoreError> {
    let mut since = since;
    loop {
        works.set_clock(works.store.now().await?);
        let changes = works.store.changed_since(since).await?;
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
        since = changes.next;
        if !changes.more {
            return Ok(since);
        }
    }
}
