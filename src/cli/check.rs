//! The arguments of `check`.

use super::ServeOverrides;

/// Validate configuration, key, store and lock
///
/// Every fault of the configuration is told at once, with its line. Nothing is changed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CheckArgs {
    /// Also probe the upstream, the clock's skew and each credential
    #[arg(long)]
    pub online: bool,
    #[command(flatten)]
    pub overrides: ServeOverrides,
}
