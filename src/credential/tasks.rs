//! Tasks that must not be cut off: counted, so that a drain can wait for them.

use std::future::Future;

use tokio::sync::{oneshot, watch};

/// Counts the tasks that run.
pub(super) struct Tasks(watch::Sender<usize>);

/// One running task; counts down when dropped, by a panic too.
struct Running(watch::Sender<usize>);

// === impl Tasks ===

impl Default for Tasks {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Tasks {
    /// Runs `task` to its end, whoever waits for it or does not.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.send_modify(|running| *running += 1);
        let running = Running(self.0.clone());
        tokio::spawn(async move {
            let _running = running;
            task.await;
        });
    }

    /// The same, and answers what came of it to whoever still waits; `None` where it panicked.
    pub(super) async fn finish<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, outcome) = oneshot::channel();
        self.spawn(async move {
            let _ = done.send(task.await);
        });
        outcome.await.ok()
    }

    /// Waits until none runs.
    pub(super) async fn idle(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|running| *running == 0).await;
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}
