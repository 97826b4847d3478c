//! The tenant's lease: elects one process at a time to renew.
//!
//! It only elects. What may be stored is decided by grant id and version, so a holder that was paused for longer than
//! its lease does no harm.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    At,
    failure::{Failure, FailureClass},
    flight::{Cause, Landing},
    state::Slot,
    turns::Turn,
    works::Works,
};
use crate::{
    model::failpoint::{Step, reach},
    store::{StoreError, backend::Bid},
};

/// How long a lease lasts unless its holder extends it.
const LENGTH: Duration = Duration::from_secs(15);

/// How long a bid is good, by the store's clock: as long as the least patient of the engines waits for its server. A bid
/// that a server comes to later, having stood still, would win a lease for a bidder who has given up.
const GOOD_FOR: Duration = Duration::from_secs(3);

/// How often the holder extends it.
const EXTEND_EVERY: Duration = Duration::from_secs(4);

/// The shortest wait before looking again at a lease that somebody else has; up to as much again is added at random.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A lease that is ours until [`Lease::release`]; extended meanwhile. Dropped without release, it ends by itself.
pub(super) struct Lease {
    works: Arc<Works>,
    slot: Arc<Slot>,
    extending: JoinHandle<()>,
    /// Whoever has the lease has a turn; whoever waits for it takes nobody else's.
    _turn: Turn,
}

/// Waits until the lease is ours, or until what the holder stored makes it needless. `awaited` says whether a request
/// waits for that.
pub(super) async fn win(
    works: &Arc<Works>,
    slot: &Arc<Slot>,
    at: At,
    cause: Cause,
    awaited: &mut watch::Receiver<bool>,
) -> Result<Lease, Landing> {
    loop {
        let turn = works.turns.take(awaited).await;
        // Those that stood in the queue when the drain began are not to be cut off in the middle at its end.
        if works.is_draining() && cause.is_ahead_of_need() && !*awaited.borrow() {
            return Err(Failure::new(FailureClass::Deferred, "the process ends, and no request waits").into());
        }
        match bid(works, slot).await {
            Ok(Bid::Won) => {
                reach(Step::LeaseWon);
                return Ok(Lease::held(works, slot, turn));
            }
            // Whoever died with the lease will not use it; what it may have asked Flexslot stands in its intent.
            Ok(Bid::Lost { holder, .. }) if works.is_provably_gone(&holder) => {
                works.store.release(&slot.tenant, &holder).await?;
                tracing::info!(tenant = %slot.tenant, "the lease of a process that is gone was taken over");
                continue;
            }
            Ok(Bid::Lost { left, .. }) => {
                drop(turn);
                sleep(left.min(LOOK_AGAIN + works.random.below(LOOK_AGAIN))).await;
            }
            // A slow store, or one whose clock has been set forward; it is asked what time it is before the next bid.
            Ok(Bid::Late) => {
                drop(turn);
                works.vitals().await?;
                sleep(LOOK_AGAIN + works.random.below(LOOK_AGAIN)).await;
            }
            Err(error) => return Err(error.into()),
        }
        works.read(slot).await?;
        if let Some(landing) = works.moved_from(slot, at) {
            return Err(landing);
        }
    }
}

async fn bid(works: &Works, slot: &Slot) -> Result<Bid, StoreError> {
    works.store.bid(&slot.tenant, &works.owner, LENGTH, works.now().plus(GOOD_FOR)).await
}

// === impl Lease ===

impl Lease {
    fn held(works: &Arc<Works>, slot: &Arc<Slot>, turn: Turn) -> Self {
        let extending = tokio::spawn(extend(Arc::clone(works), Arc::clone(slot)));
        Self { works: Arc::clone(works), slot: Arc::clone(slot), extending, _turn: turn }
    }

    /// Gives the lease back. A failure is no harm: the lease ends by itself.
    pub(super) async fn release(self) {
        self.extending.abort();
        match self.works.store.release(&self.slot.tenant, &self.works.owner).await {
            Ok(()) => reach(Step::LeaseReleased),
            Err(error) => {
                tracing::debug!(tenant = %self.slot.tenant, %error, "the lease was not released and will run out");
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.extending.abort();
    }
}

async fn extend(works: Arc<Works>, slot: Arc<Slot>) {
    let mut ticks = interval(EXTEND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if bid(&works, &slot).await != Ok(Bid::Won) {
            tracing::debug!(tenant = %slot.tenant, "the lease was not extended; the outcome is still stored by grant id and version");
        }
    }
}
