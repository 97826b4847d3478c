//! Whose token request is next, where `refresh.max_parallel` lets no more run at a time.
//!
//! A renewal that a request waits for goes before those that run ahead of need, and among equals who came first. It may
//! come to be waited for while it stands in the queue, and then moves up. One whose waiters have all gone keeps its
//! place: they come back.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

/// The turns of a process, those that are taken and those who wait for one. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<Queue<oneshot::Sender<Turn>>>>);

/// A turn that is taken; given back when dropped.
pub(super) struct Turn(Turns);

/// Who waits for a turn, and how many are taken. It waits for nothing itself.
#[derive(Debug)]
pub struct Queue<W> {
    limit: usize,
    taken: usize,
    awaited: VecDeque<W>,
    ahead: VecDeque<W>,
}

/// Where a renewal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A request waits for it.
    Awaited,
    /// Its token still serves.
    Ahead,
}

// === impl Turns ===

impl Turns {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue::new(limit))))
    }

    /// Waits for a turn; ahead of need until `awaited` says that a request waits. Given up, it costs nobody a turn.
    pub(super) async fn take(&self, awaited: &mut watch::Receiver<bool>) -> Turn {
        tokio::select! {
            biased;
            Ok(_) = awaited.wait_for(|awaited| *awaited) => {}
            turn = self.stand_in(Lane::Ahead) => return turn,
        }
        self.stand_in(Lane::Awaited).await
    }

    /// From now on `limit` at a time; those beyond it end when they are given back.
    pub(super) fn set_limit(&self, limit: usize) {
        self.0.lock().limit = limit;
        self.hand_out();
    }

    async fn stand_in(&self, lane: Lane) -> Turn {
        loop {
            let (sender, turn) = oneshot::channel();
            self.0.lock().stand_in(lane, sender);
            self.hand_out();
            // The queue lets go of nobody who still waits, so the first round is the last.
            if let Ok(turn) = turn.await {
                return turn;
            }
        }
    }

    fn hand_out(&self) {
        loop {
            let next = self.0.lock().next(|sender| !sender.is_closed());
            let Some(next) = next else { return };
            // Whoever gives up in this very moment drops the turn, and that hands it on.
            drop(next.send(Turn(self.clone())));
        }
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.lock().give_back();
        self.0.hand_out();
    }
}

// === impl Queue ===

impl<W> Queue<W> {
    /// Nobody waits; `limit` turns may be taken at a time.
    pub fn new(limit: usize) -> Self {
        Self { limit, taken: 0, awaited: VecDeque::new(), ahead: VecDeque::new() }
    }

    /// `who` comes last in `lane`.
    pub fn stand_in(&mut self, lane: Lane, who: W) {
        match lane {
            Lane::Awaited => self.awaited.push_back(who),
            Lane::Ahead => self.ahead.push_back(who),
        }
    }

    /// A turn has ended.
    pub fn give_back(&mut self) {
        self.taken -= 1;
    }

    /// Takes a turn for whoever is next, if there is one left; those of whom `still_waits` is false are passed over.
    pub fn next(&mut self, still_waits: impl Fn(&W) -> bool) -> Option<W> {
        if self.taken >= self.limit {
            return None;
        }
        for lane in [&mut self.awaited, &mut self.ahead] {
            while let Some(next) = lane.pop_front() {
                if still_waits(&next) {
                    self.taken += 1;
                    return Some(next);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::watch,
        task::{JoinHandle, yield_now},
    };

    use super::{Turn, Turns};

    /// Somebody who has come for a turn; the sender says that a request waits.
    async fn come(turns: &Turns) -> (JoinHandle<Turn>, watch::Sender<bool>) {
        let (is_awaited, mut awaited) = watch::channel(false);
        let turns = turns.clone();
        let waiting = tokio::spawn(async move { turns.take(&mut awaited).await });
        settle().await;
        (waiting, is_awaited)
    }

    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_is_waited_for_goes_first_and_else_who_came_first() {
        let turns = Turns::new(1);
        let (held, _) = come(&turns).await;
        let (first, _first) = come(&turns).await;
        let (second, _second) = come(&turns).await;
        let (third, third_is_awaited) = come(&turns).await;
        third_is_awaited.send_replace(true);
        settle().await;
        drop(held.await.unwrap());
        settle().await;
        assert!(third.is_finished() && !first.is_finished());
        drop(third.await.unwrap());
        settle().await;
        assert!(first.is_finished() && !second.is_finished());
    }

    #[tokio::test]
    async fn who_gives_up_takes_no_turn() {
        let turns = Turns::new(1);
        let (held, _) = come(&turns).await;
        let (gone, _gone) = come(&turns).await;
        let (next, _next) = come(&turns).await;
        gone.abort();
        settle().await;
        drop(held.await.unwrap());
        settle().await;
        assert!(next.is_finished());
        drop(next.await.unwrap());
        // A turn that was handed to somebody who never took it is handed on.
        let (held, _) = come(&turns).await;
        let (gone, _gone) = come(&turns).await;
        let (next, _next) = come(&turns).await;
        drop(held.await.unwrap());
        gone.abort();
        settle().await;
        assert!(next.is_finished());
    }

    #[tokio::test]
    async fn a_new_limit_holds_for_the_turns_that_are_given_out_next() {
        let turns = Turns::new(1);
        let (first, _) = come(&turns).await;
        let (second, _second) = come(&turns).await;
        assert!(first.is_finished() && !second.is_finished());
        turns.set_limit(2);
        settle().await;
        assert!(second.is_finished());
        turns.set_limit(1);
        let (third, _third) = come(&turns).await;
        drop(first.await.unwrap());
        settle().await;
        assert!(!third.is_finished(), "one is still out");
        drop(second.await.unwrap());
        settle().await;
        assert!(third.is_finished());
    }
}
