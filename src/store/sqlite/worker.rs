//! A thread with a connection of its own, so that SQLite's waiting never holds up the async runtime.

use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use tokio::time::Instant;

use super::file::StoreFile;
use crate::store::StoreError;

/// Does jobs of one kind. Dropped, it finishes what is queued and closes its connection.
pub(super) struct Worker<J> {
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<J>>,
    thread: Option<JoinHandle<()>>,
}

// === impl Worker ===

impl<J: Send + 'static> Worker<J> {
    /// Starts the thread, which does `work` until nobody has a job for it any more.
    pub(super) fn start(
        name: &str,
        mut file: StoreFile,
        work: impl FnOnce(&mut StoreFile, mpsc::Receiver<J>) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(&mut file, queue))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a job.
    pub(super) fn hand(&self, job: J) -> Result<(), StoreError> {
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())
    }
}

/// Waits for the thread, because a process that ends does not: the last connection to close folds the write-ahead log
/// into the store's file, so that who copies that file alone, after a clean end, has everything.
impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A job that panicked has been reported, and its caller told.
            let _ = thread.join();
        }
    }
}

// === failures ===

/// A job has panicked, and took the thread with it.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("its thread has stopped".into())
}

/// Its turn came too late.
pub(super) fn too_late() -> StoreError {
    StoreError::Unavailable("SQLite: others kept it busy; nothing was done".into())
}

/// Lets the connection wait for nobody longer than until `deadline`.
pub(super) fn within(deadline: Instant, file: &mut StoreFile) -> Result<&mut rusqlite::Connection, StoreError> {
    let connection = file.connection()?;
    // To open the store anew may have taken that long.
    if Instant::now() >= deadline {
        return Err(too_late());
    }
    connection.busy_timeout(deadline.saturating_duration_since(Instant::now()))?;
    Ok(connection)
}
