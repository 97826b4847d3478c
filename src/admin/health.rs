//! Ready or not, and why.

use std::sync::atomic::{AtomicU8, Ordering};

use axum::http::StatusCode;
use serde::Serialize;

use crate::credential::coordinator::Health;

/// Where the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting,
    Serving,
    Draining,
}

/// The process's phase, readable from everywhere.
#[derive(Debug)]
pub struct Readiness(AtomicU8);

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Report {
    status: &'static str,
    /// What is wrong, in words that do not change: `store_unreachable`, `custody_pending`, `custody_at_risk`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

// === impl Readiness ===

impl Default for Readiness {
    fn default() -> Self {
        Self(AtomicU8::new(Phase::Starting as u8))
    }
}

impl Readiness {
    /// The process has come to its next phase.
    pub fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    /// Where the process is.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    /// What `/readyz` says.
    pub fn report(&self, health: Health) -> Report {
        let reasons: Vec<_> = [
            (!health.store_reachable, "store_unreachable"),
            (health.waiting > 0, "custody_pending"),
            (health.at_risk > 0, "custody_at_risk"),
        ]
        .into_iter()
        .filter_map(|(holds, reason)| holds.then_some(reason))
        .collect();
        let status = match self.phase() {
            Phase::Starting => "starting",
            Phase::Draining => "draining",
            Phase::Serving if reasons.is_empty() => "ready",
            Phase::Serving => "degraded",
        };
        Report { status, reasons }
    }
}

// === impl Report ===

impl Report {
    /// 503 while starting and draining, and for a degraded sidecar when the prober is strict.
    pub fn status_code(&self, strict: bool) -> StatusCode {
        match self.status {
            "ready" => StatusCode::OK,
            "degraded" if !strict => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, Readiness};
    use crate::credential::coordinator::Health;

    const WELL: Health = Health { store_reachable: true, waiting: 0, at_risk: 0 };

    #[test]
    fn only_a_serving_process_is_ready() {
        let readiness = Readiness::default();
        assert_eq!(readiness.report(WELL).status_code(false), 503);
        readiness.enter(Phase::Serving);
        assert_eq!(readiness.report(WELL).status_code(true), 200);
        readiness.enter(Phase::Draining);
        assert_eq!(readiness.report(WELL).status_code(false), 503);
    }

    #[test]
    fn trouble_of_the_store_is_ready_unless_strict() {
        let readiness = Readiness::default();
        readiness.enter(Phase::Serving);
        let report = readiness.report(Health { store_reachable: false, waiting: 1, at_risk: 1 });
        assert_eq!((report.status_code(false).as_u16(), report.status_code(true).as_u16()), (200, 503));
        assert_eq!(report.reasons, ["store_unreachable", "custody_pending", "custody_at_risk"]);
    }
}
