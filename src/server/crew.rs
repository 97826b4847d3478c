//! Who serves connections: threads with a runtime each, one per core, or the runtime that accepts them.
//!
//! A connection stays with the worker that it was given to, and so do the requests on it and their connections to the
//! upstream: nothing of a request moves between cores, and no two workers wait for each other's locks.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Those who serve. Dropping it ends the workers with all that they still have.
#[derive(Debug)]
pub struct Crew(Kind);

#[derive(Debug)]
enum Kind {
    /// Whoever accepts serves.
    Here,
    Workers(Vec<Worker>),
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// How many connections it has.
    load: Arc<AtomicUsize>,
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A connection's place with a worker; counts as its load until dropped.
#[derive(Debug)]
pub(super) struct Post {
    /// The worker's number, from 0.
    pub(super) worker: usize,
    /// `None` where it is served where it was accepted.
    pub(super) runtime: Option<Handle>,
    load: Option<Arc<AtomicUsize>>,
}

// === impl Crew ===

impl Crew {
    /// No threads: connections are served on the runtime that accepts them.
    pub const fn here() -> Self {
        Self(Kind::Here)
    }

    /// As many threads as `count`, at least one.
    ///
    /// # Errors
    ///
    /// Where the system has no more threads or descriptors.
    pub fn of(count: usize) -> io::Result<Self> {
        let workers = (0..count.max(1)).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self(Kind::Workers(workers)))
    }

    /// A thread for each processor that this process may use, by its affinity and its control group.
    ///
    /// # Errors
    ///
    /// As [`Crew::of`].
    pub fn of_all_cores() -> io::Result<Self> {
        Self::of(thread::available_parallelism().map_or(1, usize::from))
    }

    /// How many there are; connections' numbers of their worker are below it.
    pub fn size(&self) -> usize {
        match &self.0 {
            Kind::Here => 1,
            Kind::Workers(workers) => workers.len(),
        }
    }

    /// Whether connections are served by threads of their own.
    pub fn is_apart(&self) -> bool {
        matches!(self.0, Kind::Workers(_))
    }

    /// The place for one more connection: with the worker that has the fewest.
    pub(super) fn post(&self) -> Post {
        let Kind::Workers(workers) = &self.0 else { return Post { worker: 0, runtime: None, load: None } };
        let load = |(_, worker): &(usize, &Worker)| worker.load.load(Ordering::Relaxed);
        match workers.iter().enumerate().filter(|(_, worker)| worker.is_there()).min_by_key(load) {
            None => Post { worker: 0, runtime: None, load: None },
            Some((number, worker)) => {
                worker.load.fetch_add(1, Ordering::Relaxed);
                let load = Some(Arc::clone(&worker.load));
                Post { worker: number, runtime: Some(worker.runtime.clone()), load }
            }
        }
    }
}

// === impl Worker ===

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        // The runtime is made and ended on its own thread: elsewhere it could not be dropped in the middle of a task.
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let built = Builder::new_current_thread().enable_all().build();
            let runtime = match built {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            // Whoever waits for this is there until it comes.
            let _ = tell.send(Ok(runtime.handle().clone()));
            // The sender is never used, only dropped.
            let _ = runtime.block_on(stopped);
        })?;
        let runtime = told.recv().map_err(io::Error::other)??;
        Ok(Self { runtime, load: Arc::default(), stop: Some(stop), thread: Some(thread) })
    }

    /// Whether it takes connections. One whose thread is gone would drop each at once, and so always have the fewest.
    fn is_there(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that has panicked has ended, too.
            let _ = thread.join();
        }
    }
}

// === impl Post ===

impl Drop for Post {
    fn drop(&mut self) {
        if let Some(load) = &self.load {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Display for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Here => f.write_str("no workers"),
            Kind::Workers(workers) => write!(f, "{} workers", workers.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Crew;

    #[test]
    fn connections_go_to_whoever_has_the_fewest() {
        let crew = Crew::of(2).unwrap();
        let (first, second) = (crew.post(), crew.post());
        assert_eq!((first.worker, second.worker, crew.size()), (0, 1, 2));
        let third = crew.post();
        assert_eq!(third.worker, 0);
        drop(second);
        assert_eq!(crew.post().worker, 1);
        drop((first, third));
        assert_eq!(crew.post().worker, 0);
    }

    #[test]
    fn what_a_worker_is_given_runs_on_its_thread_and_ends_with_it() {
        let crew = Crew::of(1).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let runtime = crew.post().runtime.clone().unwrap();
        let held = runtime.spawn(async move {
            tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(told.recv().unwrap().as_deref(), Some("worker-0"));
        drop(crew);
        assert!(held.is_finished());
    }

    #[test]
    fn without_threads_everything_is_served_where_it_was_accepted() {
        let crew = Crew::here();
        assert!(crew.post().runtime.is_none() && crew.size() == 1 && !crew.is_apart());
    }
}
