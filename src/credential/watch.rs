//! Sees what other processes change in the store.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    backlog::{Entry, Failures, List},
    reading::{AT_ONCE, read_again},
    travel::Travels,
    works::Works,
};
use crate::{
    model::Timestamp,
    store::{FEED, StoreError, TOMBSTONE_LIFE},
};

/// How often the store is asked for changes; a change by another process takes effect within twice this time, which is
/// to stay below 2 s.
const EVERY: Duration = Duration::from_millis(800);

/// Who has not followed the changes for so long may have missed a removal, since its marker is not kept for ever.
const LONG_AGO: Duration = Duration::from_secs(TOMBSTONE_LIFE.as_secs() / 2);

/// How far the changes have been followed.
#[derive(Default)]
struct Watch {
    /// How often the encryption keys had changed.
    keys: u64,
    /// How often the store had travelled.
    travels: Travels,
    /// When, by the store's clock.
    at: Option<Timestamp>,
}

/// Follows the store's changes for as long as the process lives.
pub(super) async fn follow(works: Arc<Works>) {
    let mut watch = Watch::default();
    loop {
        sleep(EVERY).await;
        match watch.once(&works).await {
            Ok(()) => works.reached(),
            Err(error) => works.out_of_reach(&error),
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Reads again what has changed since the last time, and what has to be read for another reason.
    async fn once(&mut self, works: &Arc<Works>) -> Result<(), StoreError> {
        loop {
            let now = works.vitals().await?.now;
            if self.at.is_some_and(|at| now.since(at).is_some_and(|gap| gap > LONG_AGO)) {
                works.read_all_again();
                self.at = Some(now);
            }
            works.list_backlog();
            let (travels, keys) = (works.travels(), works.store.key_changes());
            if keys != self.keys {
                works.unreadable.forget_all();
                works.read_unreadable_again();
            }
            let endpoint = &works.settings().endpoint;
            if (travels, keys) == (self.travels, self.keys) {
                endpoint.clients_if_due().await;
            } else {
                // The store may have lost clients, too, and be told of none of that; and what did not open may open now.
                endpoint.clients_changed().await;
            }
            (self.travels, self.keys) = (travels, keys);
            let mut failures = Failures::default();
            settle_doubt(works, &mut failures).await?;
            read_left(works, &mut failures).await?;
            let asked = Instant::now();
            let more = read_changes(works, &mut failures).await?;
            self.at = Some(now);
            failures.0.map_or(Ok(()), Err)?;
            if !more {
                works.has_followed(asked);
            }
            if !more && !works.backlog.is_any_left() {
                return Ok(());
            }
        }
    }
}

/// Finds out whether the store has lost anything while it was out of reach: looks at what was written last, and further
/// back until something is as it was. From there on the changes are followed once more, as what was seen of them may
/// have been lost and replaced by others.
async fn settle_doubt(works: &Arc<Works>, failures: &mut Failures) -> Result<(), StoreError> {
    loop {
        let batch = works.backlog.next(List::Doubted, AT_ONCE);
        if batch.is_empty() {
            return Ok(());
        }
        let (since, travels) = works.followed();
        let outcome = read_again(works, &batch).await?;
        let stayed = outcome.stayed;
        let done = works.backlog.done(List::Doubted, batch.len(), outcome);
        let rest = works.backlog.len(List::Doubted);
        // Where that takes fewer calls than to look at all the others.
        if let Some(stayed) = stayed
            && since.0.saturating_sub(stayed.0) / (FEED as u64) < rest.div_ceil(AT_ONCE) as u64
        {
            works.set_followed(since.min(stayed), travels);
            works.backlog.believe();
        }
        failures.add(done?.0);
    }
}

/// Works off what has to be read, with a pause now and then for what changes meanwhile.
async fn read_left(works: &Arc<Works>, failures: &mut Failures) -> Result<(), StoreError> {
    let until = Instant::now() + EVERY;
    let mut once = works.backlog.len(List::Left);
    while once > 0 && Instant::now() < until {
        let batch = works.backlog.next(List::Left, AT_ONCE.min(once));
        once -= batch.len();
        let outcome = read_again(works, &batch).await?;
        match works.backlog.done(List::Left, batch.len(), outcome) {
            Ok(found) => failures.add(found.0),
            // What cannot be given back to the store keeps nobody from what others have changed.
            Err(error) => {
                failures.add(error);
                break;
            }
        }
    }
    Ok(())
}

/// Reads what has changed, up to one part of the feed. Answers whether there is more.
async fn read_changes(works: &Arc<Works>, failures: &mut Failures) -> Result<bool, StoreError> {
    let (since, travels) = works.followed();
    let changes = works.store.changed_since(since).await?;
    if changes.clients {
        works.settings().endpoint.clients_changed().await;
    }
    changes.tenants.iter().for_each(|tenant| works.unreadable.forget(tenant));
    let changed: Vec<_> = changes.tenants.into_iter().map(Entry::changed).collect();
    for batch in changed.chunks(AT_ONCE) {
        let outcome = read_again(works, batch).await?;
        failures.add(works.backlog.put_off(outcome)?.0);
    }
    works.set_followed(changes.next, travels);
    // Told once, now that the feed goes on behind them.
    for error in &changes.unreadable {
        tracing::error!(%error, "a change in the store is passed over");
    }
    Ok(changes.more)
}
