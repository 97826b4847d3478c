//! The thread that writes. What comes while it waits for the disk is written together: in one transaction, with one wait.
//!
//! Each write has a savepoint of its own, so that one that fails, or finds that another was faster, leaves no trace among the others.
//! It sees what those before it have written. So nobody is answered before all of it is on the disk, and if it does not get there,
//! all are told so.

use std::{collections::VecDeque, io, sync::mpsc, time::Duration};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::{sync::oneshot, time::Instant};

use super::{
    file::{StoreFile, Watch},
    worker::{Worker, stopped, too_late, within},
};
use crate::store::StoreError;

/// How many at most, so that the first does not wait long for the last.
const TOGETHER: usize = 64;

/// What SQLite counts its waits in.
const GRAIN: Duration = Duration::from_millis(1);

pub(super) struct Writer(Worker<Write>);

/// What becomes of a write whose work is done.
pub(super) enum Outcome<T> {
    Keep(T),
    Undo(T),
}

/// A write that waits for its turn.
struct Write {
    /// Until when it does.
    deadline: Instant,
    work: Box<Work>,
}

/// Does the work in the transaction, or hears why there is none.
type Work = dyn FnOnce(Result<&mut Transaction<'_>, StoreError>) -> Box<Tell> + Send;

/// Tells whoever has asked what came of it, when it is known whether the transaction is on the disk.
type Tell = dyn FnOnce(Result<(), StoreError>);

// === impl Writer ===

impl Writer {
    pub(super) fn start(file: StoreFile) -> io::Result<Self> {
        Worker::start("store-writer", file, write_all).map(Self)
    }

    /// Has `job` begun by `deadline`, or not done at all: while somebody else has the store to themselves, those that
    /// queue here must not wait one after the other. For a lock of the store it waits until then too. It is done also
    /// when the caller goes away meanwhile. What it answers with [`Outcome::Undo`] or an error leaves no trace.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        deadline: Instant,
        job: impl FnOnce(&Connection) -> Result<Outcome<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work: Box<Work> = Box::new(move |transaction| {
            let done = transaction.and_then(|transaction| apart(transaction, job));
            Box::new(move |kept| {
                // Nobody may be waiting any more.
                let _ = answer.send(done.and_then(|answer| kept.map(|()| answer)));
            })
        });
        self.0.hand(Write { deadline, work })?;
        answered.await.map_err(|_| stopped())?
    }

    /// Has it look at its file, and write nothing.
    pub(super) fn look(&self, deadline: Instant) {
        // Whoever wants something written hears of it that the thread has stopped.
        let _ = self.0.hand(Write { deadline, work: Box::new(|_| Box::new(|_| ())) });
    }
}

// === impl Write ===

impl Write {
    fn refuse(self, error: StoreError) {
        (self.work)(Err(error))(Ok(()));
    }
}

// === the thread ===

fn write_all(file: &mut StoreFile, queue: mpsc::Receiver<Write>) {
    while let Ok(first) = queue.recv() {
        let mut waiting = VecDeque::from([first]);
        waiting.extend(queue.try_iter().take(TOGETHER - 1));
        while !waiting.is_empty() {
            write_together(file, &mut waiting);
        }
    }
}

/// Takes at least one out of `waiting`.
fn write_together(file: &mut StoreFile, waiting: &mut VecDeque<Write>) {
    let now = Instant::now();
    if refuse(waiting, |write| write.deadline <= now, &too_late()) > 0 {
        return;
    }
    // The least patient says how long they wait for the store.
    let Some(deadline) = waiting.iter().map(|write| write.deadline).min() else { return };
    let (watch, mut transaction) = match begin(deadline, file) {
        Ok(begun) => begun,
        Err(error) => {
            let now = Instant::now() + GRAIN;
            // The others have time left to wait for whoever has it; what fails before the time is over fails for all.
            if refuse(waiting, |write| write.deadline <= now, &error) == 0 {
                refuse(waiting, |_| true, &error);
            }
            return;
        }
    };
    let mut told = Vec::new();
    while let Some(write) = waiting.pop_front() {
        told.push((write.work)(Ok(&mut transaction)));
        // A full disk may take the whole transaction back. Without one, each statement would be on the disk by itself.
        if transaction.is_autocommit() {
            break;
        }
    }
    let kept = match transaction.is_autocommit() {
        true => {
            drop(transaction);
            Err(StoreError::Unavailable("SQLite: the transaction was taken back; nothing was done".into()))
        }
        false => transaction.commit().map_err(StoreError::from),
    };
    // What is on a disk that nobody reads is not written.
    let kept = kept.and_then(|()| watch.still_ours());
    told.into_iter().for_each(|tell| tell(kept.clone()));
}

/// Has the store to itself from now on.
fn begin(deadline: Instant, file: &mut StoreFile) -> Result<(Watch, Transaction<'_>), StoreError> {
    within(deadline, file)?;
    let watch = file.watch()?;
    let transaction = file.opened()?.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // To wait for the others may have taken long enough for it.
    watch.still_ours()?;
    Ok((watch, transaction))
}

/// Takes out of `waiting` those that are to be refused; answers how many they were.
fn refuse(waiting: &mut VecDeque<Write>, which: impl Fn(&Write) -> bool, error: &StoreError) -> usize {
    let before = waiting.len();
    let (refused, left): (VecDeque<_>, VecDeque<_>) = waiting.drain(..).partition(which);
    *waiting = left;
    refused.into_iter().for_each(|write| write.refuse(error.clone()));
    before - waiting.len()
}

/// Does one write of several.
fn apart<T>(
    transaction: &mut Transaction<'_>,
    job: impl FnOnce(&Connection) -> Result<Outcome<T>, StoreError>,
) -> Result<T, StoreError> {
    // Dropped, it takes back what was written since.
    let mut savepoint = transaction.savepoint()?;
    match job(&savepoint)? {
        Outcome::Keep(answer) => savepoint.commit().map(|()| answer).map_err(StoreError::from),
        Outcome::Undo(answer) => savepoint.rollback().map(|()| answer).map_err(StoreError::from),
    }
}
