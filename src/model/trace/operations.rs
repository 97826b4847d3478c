//! What was asked of the store and of Flexslot's OAuth server for one request, or for one refresh, whose trace is exported.
//!
//! Whoever asks is many layers below whoever wants to know, and for most requests nobody does. So the list travels with
//! the task ([`noted`]), and [`note`] does nothing where there is none.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use super::step::Micros;
use crate::model::observe::StoreOutcome;

tokio::task_local! {
    static LIST: Arc<Operations>;
}

/// What was asked so far, in the order in which it ended.
#[derive(Debug)]
pub struct Operations {
    since: Instant,
    list: Mutex<Vec<Operation>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    began: Micros,
    took: Micros,
    pub what: Asked,
}

/// Who was asked for what, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Store(&'static str, StoreOutcome),
    /// A POST to this URL of Flexslot's OAuth server; `None` where it was not answered.
    OAuthServer(Url, Option<StatusCode>),
}

/// So many are kept. A refresh takes about ten; more come only where others change the tenant meanwhile.
const MOST: usize = 64;

/// Does `work`, and has what it asks noted in `list`, if there is one.
pub async fn noted<W: Future>(list: Option<Arc<Operations>>, work: W) -> W::Output {
    match list {
        Some(list) => LIST.scope(list, work).await,
        None => work.await,
    }
}

/// Notes what was asked at `began` and is answered now, where a list of it is kept.
pub fn note(began: Instant, what: impl FnOnce() -> Asked) {
    // Where there is none, nothing is to be done.
    let _ = LIST.try_with(|operations| operations.add(began, what()));
}

// === impl Operations ===

impl Operations {
    /// None yet, for what began at `since`.
    pub fn since(since: Instant) -> Arc<Self> {
        Arc::new(Self { since, list: Mutex::default() })
    }

    fn add(&self, began: Instant, what: Asked) {
        let mut list = self.list.lock();
        if list.len() < MOST {
            list.push(Operation {
                began: Micros::of(began.saturating_duration_since(self.since)),
                took: Micros::of(began.elapsed()),
                what,
            });
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.lock().len()
    }

    /// A copy of all.
    pub fn all(&self) -> Vec<Operation> {
        self.list.lock().clone()
    }
}

// === impl Operation ===

impl Operation {
    /// From the beginning of the request or refresh to that of this.
    pub const fn began(&self) -> Duration {
        self.began.duration()
    }

    /// From the question to the answer.
    pub const fn took(&self) -> Duration {
        self.took.duration()
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, MOST, Operations, note, noted};
    use crate::model::observe::StoreOutcome;
    use std::time::Duration;
    use tokio::time::{Instant, advance};

    const GET: Asked = Asked::Store("get", StoreOutcome::Ok);

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_is_noted_where_a_list_is_kept_and_nowhere_else() {
        note(Instant::now(), || unreachable!("nobody keeps a list"));
        let operations = Operations::since(Instant::now());
        advance(Duration::from_millis(1)).await;
        let work = async {
            let began = Instant::now();
            advance(Duration::from_millis(2)).await;
            note(began, || GET);
            7
        };
        assert_eq!(noted(Some(operations.clone()), work).await, 7);
        let [only] = &operations.all()[..] else { panic!("one was asked") };
        assert_eq!((only.began(), only.took()), (Duration::from_millis(1), Duration::from_millis(2)));
        assert_eq!(only.what, GET);
        noted(None, async { note(Instant::now(), || unreachable!("nobody keeps a list")) }).await;
    }

    #[tokio::test]
    async fn a_list_does_not_grow_for_ever() {
        let operations = Operations::since(Instant::now());
        noted(Some(operations.clone()), async { (0..2 * MOST).for_each(|_| note(Instant::now(), || GET)) }).await;
        assert_eq!(operations.all().len(), MOST);
    }
}
