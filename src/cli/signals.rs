//! The signals that ask a running command to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// SIGTERM and SIGINT; and SIGHUP, for commands to which a closed terminal means the end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

// === impl Signals ===

impl Signals {
    /// Catches both from now on.
    pub(super) fn new() -> Result<Self, Failure> {
        let (terminate, interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: None })
    }

    /// The same, and a closed terminal is a reason to stop, too.
    pub(super) fn of_a_terminal() -> Result<Self, Failure> {
        Ok(Self { hangup: Some(catch(SignalKind::hangup())?), ..Self::new()? })
    }

    /// Comes back at the first signal. The second ends the process at once.
    pub(super) async fn stop(&mut self) {
        self.stop_or(|| {}).await;
    }

    /// The same, with something that is done before the second one ends the process.
    pub(super) async fn stop_or(&mut self, last: impl FnOnce() + Send + 'static) {
        self.next().await;
        let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            _ => return,
        };
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("a second signal: ending at once");
            last();
            std::process::exit(1);
        });
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Catches a signal from now on; until then it ends the process.
pub(super) fn catch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(format!("signals cannot be caught: {error}")))
}
