//! A thread with a connection of its own, so that SQLite's waiting never holds up the async runtime.

use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use rusqlite::Connection;
use tokio::{sync::oneshot, time::Instant};

use super::file::StoreFile;
use crate::store::StoreError;

type Job = Box<dyn FnOnce(&mut StoreFile) + Send>;

/// Does jobs one after the other. Dropped, it finishes what is queued and closes its connection.
#[derive(Debug)]
pub(super) struct Worker {
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

// === impl Worker ===

impl Worker {
    /// Starts the thread.
    pub(super) fn start(name: &str, mut file: StoreFile) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || queue.into_iter().for_each(|job| job(&mut file));
        let thread = thread::Builder::new().name(name.into()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `job` begun by `deadline`, or not done at all: while somebody else has the store to themselves, those that
    /// queue here must not wait one after the other. For a lock of the store it waits until then too. It is done also
    /// when the caller goes away meanwhile.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        job: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |file| {
            // Nobody may be waiting any more.
            let _ = answer.send(within(deadline, file).and_then(job));
        });
        let stopped = || StoreError::Unavailable("its thread has stopped".into());
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

/// The connection, which waits for nobody longer than until `deadline`.
fn within(deadline: Instant, file: &mut StoreFile) -> Result<&mut Connection, StoreError> {
    if Instant::now() >= deadline {
        return Err(StoreError::Unavailable("SQLite: others kept it busy; nothing was done".into()));
    }
    let connection = file.connection()?;
    connection.busy_timeout(deadline.saturating_duration_since(Instant::now()))?;
    Ok(connection)
}

/// Waits for the thread, because a process that ends does not: the last connection to close folds the write-ahead log
/// into the store's file, so that who copies that file alone, after a clean end, has everything.
impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A job that panicked has been reported, and its caller told.
            let _ = thread.join();
        }
    }
}
