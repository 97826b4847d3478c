//! What others have ended, learned also where the store's changes cannot be followed.
//!
//! To follow them may take a write: a store that has come back begins an era first, and is given back what it has lost
//! before anything that it says is taken over. One that takes no writes then, or is slow to refuse them, would keep a
//! sidecar from learning of a disconnect for as long. A tombstone takes none of that: a grant that has one is over,
//! whatever else the store says or has lost. So where the changes have not been followed to their end for a moment, the
//! tombstones of all grants in memory are looked for; and so is that of a grant whose tenant's record cannot be read.
//!
//! Such a grant is not used from then on, and no more than that: how it ended, and what its tenant has now, is learned
//! as ever.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    reading::AT_ONCE,
    state::{Slot, State},
    works::Works,
};
use crate::{model::GrantId, store::StoreError};

/// How long ago the changes may have been followed last. With the time between two looks that is less than the two seconds
/// in which a change by another process takes effect.
const LATE: Duration = Duration::from_millis(1500);

/// How often it is looked whether that is so.
const EVERY: Duration = Duration::from_millis(250);

/// How long is looked without a pause: a store that is in trouble has others to answer.
const AT_A_TIME: Duration = Duration::from_millis(200);

/// How long after a look that failed there is another: who cannot read learns nothing.
const AGAIN: Duration = Duration::from_secs(1);

/// Looks for ends whenever the changes are followed late, for as long as the process lives.
pub(super) async fn watch_over(works: Arc<Works>) {
    let mut left = Vec::new();
    loop {
        sleep(EVERY).await;
        if works.followed_for() < LATE {
            left.clear();
        } else if look(&works, &mut left).await.is_err() {
            sleep(AGAIN).await;
        }
    }
}

/// Goes on with the slots that are `left` of a round through all of them, or begins the next.
async fn look(works: &Works, left: &mut Vec<Arc<Slot>>) -> Result<(), StoreError> {
    if left.is_empty() {
        *left = works.slots_held();
    }
    let until = Instant::now() + AT_A_TIME;
    while !left.is_empty() && Instant::now() < until {
        let rest = left.len().saturating_sub(AT_ONCE);
        look_at(works, &left[rest..]).await?;
        left.truncate(rest);
    }
    Ok(())
}

/// Ends those of `slots` whose grants have ended.
pub(super) async fn look_at(works: &Works, slots: &[Arc<Slot>]) -> Result<(), StoreError> {
    let grant = |state: &mut State| state.live().map(|live| live.grant.id);
    let live: Vec<(&Arc<Slot>, GrantId)> = slots.iter().filter_map(|slot| Some((slot, slot.with(grant)?))).collect();
    let grants: Vec<_> = live.iter().map(|(_, grant)| *grant).collect();
    if grants.is_empty() {
        return Ok(());
    }
    let ended = works.store.are_buried(&grants).await?;
    let now = works.now();
    for ((slot, grant), _) in live.into_iter().zip(ended).filter(|(_, ended)| *ended) {
        if slot.with(|state| state.end_unread(grant, now)) {
            tracing::warn!(tenant = %slot.tenant, %grant, "the grant was ended elsewhere, and is not used any more; what its tenant has now cannot be read yet");
        }
    }
    Ok(())
}
