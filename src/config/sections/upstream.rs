//! `[upstream]`: how Flexslot is reached.

use std::{path::PathBuf, time::Duration};

use super::super::{Origin, OutboundProxy};

/// `[upstream]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub origin: Origin,
    pub extra_roots: Option<ExtraRoots>,
    /// `None`: go straight. Resolved from the environment where the file says "env".
    pub proxy: Option<OutboundProxy>,
    pub connect_timeout: Duration,
    pub response_timeout: Duration,
    pub body_idle_timeout: Duration,
    pub pool_idle_timeout: Duration,
}

/// Trust roots besides the system's: `ca_file`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraRoots {
    pub path: PathBuf,
    pub pem: Vec<u8>,
}
