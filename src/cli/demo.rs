//! The arguments of `demo`.

use std::net::SocketAddr;

/// Run a stand-in of Flexslot and a sidecar in front of it, with tenants in every state
///
/// Prints curl lines to try, each with what to expect, and logs what the sidecar does with them. Needs no account and no configuration, and
/// leaves nothing behind.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Where the sidecar listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3539")]
    pub listen: SocketAddr,
    /// Where its admin listener is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3540")]
    pub admin_listen: SocketAddr,
    /// Where the stand-in of Flexslot listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3541")]
    pub sandbox_listen: SocketAddr,
}
