//! The thread that reads: one job after the other.

use std::{io, sync::mpsc};

use rusqlite::Connection;
use tokio::{sync::oneshot, time::Instant};

use super::{
    file::StoreFile,
    worker::{Worker, stopped, too_late, within},
};
use crate::store::StoreError;

pub(super) struct Reader(Worker<Job>);

type Job = Box<dyn FnOnce(&mut StoreFile) + Send>;

// === impl Reader ===

impl Reader {
    pub(super) fn start(file: StoreFile) -> io::Result<Self> {
        let work = |file: &mut StoreFile, queue: mpsc::Receiver<Job>| queue.into_iter().for_each(|job| job(file));
        Worker::start("store-reader", file, work).map(Self)
    }

    /// Has `job` begun by `deadline`, or not done at all. It is done also when the caller goes away meanwhile.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.hand(Box::new(move |file| {
            let done = if Instant::now() >= deadline { Err(too_late()) } else { within(deadline, file).and_then(job) };
            // Nobody may be waiting any more.
            let _ = answer.send(done);
        }))?;
        answered.await.map_err(|_| stopped())?
    }
}
