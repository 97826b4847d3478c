//! Listeners that serve in a task of their own, until they are told to stop.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use crate::server::{
    accept::{self, Answers, Drained, Limits},
    crew::Crew,
    listen::Listener,
};

/// A server under way. Dropping it stops it, too, but waits for nothing.
pub(super) struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<Drained>,
}

// === impl Serving ===

impl Serving {
    /// Has `front` answer whoever calls. Once stopped, what is under way has up to `drain` to finish.
    pub(super) fn start<S: Answers>(listeners: Vec<Listener>, limits: Limits, front: Arc<S>, drain: Duration) -> Self {
        Self::by(Arc::new(Crew::here()), listeners, limits, front, drain)
    }

    /// The same, served by a crew.
    pub(super) fn by<S: Answers>(
        crew: Arc<Crew>,
        listeners: Vec<Listener>,
        limits: Limits,
        front: Arc<S>,
        drain: Duration,
    ) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let shutdown = async move {
            // A sender that is gone stops as well as one that says so.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        Self { stop, task: tokio::spawn(accept::serve(listeners, limits, (crew, front), shutdown, drain)) }
    }

    pub(super) async fn stop(self) -> Drained {
        self.stop.send_replace(true);
        // It fails only where the task has panicked, and its connections are gone with it.
        self.task.await.unwrap_or(Drained::CutOff(0))
    }
}
