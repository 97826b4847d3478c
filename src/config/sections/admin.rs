//! `[admin]`: where operators and probes reach the sidecar.

use super::super::Listener;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Empty when off.
    pub listeners: Vec<Listener>,
    /// With `/healthz`, `/readyz` and `/metrics` only; empty when off.
    pub metrics_listeners: Vec<Listener>,
}
