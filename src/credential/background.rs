//! What runs beside the requests: following the store's changes, looking for ends where that cannot be done, offering
//! outcomes to it, keeping idle grants alive, telling Flexslot what to revoke, asking whose grants are, and now and then
//! some upkeep.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{ends, identity, keep_alive, revoking, watch, works::Works};

/// How long after a refusal an outcome is offered again.
pub(super) const OFFER_AGAIN: Duration = Duration::from_secs(1);

/// How often the small upkeep is done.
const UPKEEP: Duration = Duration::from_secs(30);

/// How often, on average, what is over is purged.
const PURGE: Duration = Duration::from_secs(3600);

/// How long a task that has panicked rests.
const REST: Duration = Duration::from_secs(1);

/// The tasks of [`super::Credentials::start`]; they end when this is dropped.
pub struct Background(#[expect(dead_code, reason = "held to be dropped")] JoinSet<()>);

// === impl Background ===

impl Background {
    pub(super) fn start(works: &Arc<Works>) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(lasting("following the store's changes", Arc::clone(works), watch::follow));
        tasks.spawn(lasting("looking for ends", Arc::clone(works), ends::watch_over));
        tasks.spawn(lasting("offering outcomes to the store", Arc::clone(works), offer));
        tasks.spawn(lasting("upkeep", Arc::clone(works), upkeep));
        tasks.spawn(lasting("keeping idle grants alive", Arc::clone(works), keep_alive::watch_over));
        tasks.spawn(lasting("revoking what is disconnected", Arc::clone(works), revoking::watch_over));
        tasks.spawn(lasting("asking whose grants are", Arc::clone(works), identity::watch_over));
        Self(tasks)
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}

/// Runs `work` for as long as the process lives, and begins it anew should it panic: without it the process would go
/// on, and be blind.
async fn lasting<W>(what: &'static str, works: Arc<Works>, work: impl Fn(Arc<Works>) -> W)
where
    W: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut task = JoinSet::new();
        task.spawn(work(Arc::clone(&works)));
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(task = what, "a task of the background panicked and is begun anew");
                sleep(REST).await;
            }
            _ => return,
        }
    }
}

async fn offer(works: Arc<Works>) {
    loop {
        sleep(OFFER_AGAIN).await;
        works.offer().await;
    }
}

async fn upkeep(works: Arc<Works>) {
    // The first time comes somewhere in the first hour, so that sidecars that were started together do not purge
    // together for ever.
    let mut purge_at = Instant::now() + works.random.below(PURGE);
    works.ask_for_caveats().await;
    loop {
        sleep(UPKEEP).await;
        works.custody.retry_spool().await;
        works.tell_last_uses().await;
        works.ask_for_caveats().await;
        if Instant::now() >= purge_at {
            purge(&works).await;
            purge_at = Instant::now() + PURGE / 2 + works.random.below(PURGE);
        }
    }
}

async fn purge(works: &Works) {
    match works.store.purge().await {
        Ok(0) => {}
        Ok(rows) => tracing::debug!(rows, "markers whose time is over were purged"),
        Err(error) => tracing::debug!(%error, "markers whose time is over were not purged"),
    }
}
