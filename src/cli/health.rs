//! `health`

use super::{
    AdminListen, Failure, GlobalArgs, World,
    running::{Running, block_on},
};
use crate::{admin::client::HealthDocument, config::Admin};

/// Ask a running sidecar whether it is ready
///
/// For probes in images that have no shell and no curl. Prints one line. Exit status 0 for ready, and for degraded
/// unless --strict is given; 1 for everything else, nobody listening included.
#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// A degraded sidecar is not ready. Not for a pod's probes: a restart mends none of the reasons
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    admin: AdminListen,
}

// === impl HealthArgs ===

impl HealthArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let admin = Admin::load(&global.source(world.environment), &self.admin.into(), world.environment)?;
        let listeners = if admin.listeners.is_empty() { &admin.metrics_listeners } else { &admin.listeners };
        if listeners.is_empty() {
            return Err(Failure::new("there is nobody to ask: admin.listen is off, and admin.metrics_listen too"));
        }
        let running = Running::at(listeners)?;
        let target = if self.strict { "/readyz?strict=1" } else { "/readyz" };
        let answer = block_on(running.get(target))?;
        let HealthDocument { status, reasons } = answer.document()?;
        let state = if reasons.is_empty() { status } else { format!("{status}: {}", reasons.join(", ")) };
        if answer.status.is_success() {
            world.console.data_line(state)
        } else {
            Err(Failure::new(format!("the sidecar is not ready: {state}")))
        }
    }
}
