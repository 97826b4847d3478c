//! The arguments of `sandbox`.

use std::{net::SocketAddr, time::Duration};

use crate::config::parse_duration;

/// Run only the stand-in of Flexslot, for your own tests and CI
///
/// It rotates refresh tokens and revokes a grant whose spent token comes back, as Flexslot does. Faults are made, and requests counted,
/// through its control API below /_sandbox.
#[derive(Debug, Clone, clap::Args)]
pub struct SandboxArgs {
    /// Where it listens; port 0 takes any, and the address is printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3541")]
    pub listen: SocketAddr,
    /// The origin in iss, Location and links; by default http:// and the address
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The life of an access token, such as 30s to see refreshes often
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub access_life: Duration,
    /// Show a consent page with Allow and Deny, instead of allowing at once
    #[arg(long)]
    pub consent_page: bool,
}
