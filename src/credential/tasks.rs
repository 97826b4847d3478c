//! Tasks that must not be cut off: counted, so that a drain can wait for them.

use std::{future::Future, sync::OnceLock};

use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    task::JoinSet,
};

/// Counts the tasks that run.
pub(super) struct Tasks {
    running: watch::Sender<usize>,
    /// Where they run; unset where they run wherever they are begun.
    home: OnceLock<Handle>,
}

/// One running task; counts down when dropped, by a panic too.
struct Running(watch::Sender<usize>);

// === impl Tasks ===

impl Default for Tasks {
    fn default() -> Self {
        Self { running: watch::Sender::new(0), home: OnceLock::new() }
    }
}

impl Tasks {
    /// Runs `task` to its end, whoever waits for it or does not.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.send_modify(|running| *running += 1);
        let running = Running(self.running.clone());
        let task = async move {
            let _running = running;
            task.await;
        };
        match self.home.get() {
            Some(home) => drop(home.spawn(task)),
            None => drop(tokio::spawn(task)),
        }
    }

    /// Has all tasks run on this runtime from now on, whichever begins them.
    pub(super) fn live_here(&self) {
        self.home.get_or_init(Handle::current);
    }

    /// Does `work` where tasks run: what it opens stays open when the runtime of its caller ends, and takes no time of
    /// that. It ends with its caller. `None` where it panicked.
    pub(super) async fn at_home<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let Some(home) = self.home.get() else { return Some(work.await) };
        let mut task = JoinSet::new();
        task.spawn_on(work, home);
        task.join_next().await?.ok()
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
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::Tasks;
    use std::sync::Arc;
    use tokio::{runtime::Builder, sync::oneshot};

    /// A runtime on a thread of its own, with `tasks` at home on it.
    fn home(tasks: &Arc<Tasks>) -> oneshot::Sender<()> {
        let (end, ended) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let tasks = Arc::clone(tasks);
        std::thread::Builder::new()
            .name("home".into())
            .spawn(move || {
                Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                    tasks.live_here();
                    ready.send(()).unwrap();
                    let _ = ended.await;
                });
            })
            .unwrap();
        is_ready.recv().unwrap();
        end
    }

    fn here() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn work_is_done_at_home_and_ends_with_whoever_waits_for_it() {
        let tasks = Arc::new(Tasks::default());
        let _home = home(&tasks);
        assert_eq!(tasks.at_home(async { here() }).await, Some(Some("home".into())));
        let (told, (begun, has_begun)) = (Arc::new(()), oneshot::channel());
        let held = Arc::clone(&told);
        let waiting = tokio::spawn({
            let tasks = Arc::clone(&tasks);
            async move {
                let work = async move {
                    let _held = held;
                    let _ = begun.send(());
                    std::future::pending::<()>().await;
                };
                tasks.at_home(work).await
            }
        });
        has_begun.await.unwrap();
        waiting.abort();
        assert!(waiting.await.is_err());
        while Arc::strong_count(&told) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_task_runs_at_home_whoever_begins_it_and_is_waited_for() {
        let tasks = Arc::new(Tasks::default());
        let _home = home(&tasks);
        assert_eq!(tasks.finish(async { here() }).await, Some(Some("home".into())));
        tasks.idle().await;
    }
}
