//! What the service manager is told (`sd_notify(3)`), where there is one that wants to hear it: `NOTIFY_SOCKET`.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The addresses are listened on and the store is open: who connects from now on is served.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] follows. With the time, by which it knows a reload of its own.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// What is under way is finished, and nothing else is taken.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that this process lives for as long as it is polled, where it has to be said (`WatchdogSec=`). A runtime that
/// hangs says nothing, and is started anew.
pub(super) async fn stay_alive() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    // systemd.service(5): in half of the time.
    let mut ticks = interval((limit / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// A service manager that cannot be told is no reason not to serve.
fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
