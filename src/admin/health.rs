//! Ready or not, and why.

use std::sync::atomic::{AtomicU8, Ordering};

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

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

/// What a prober makes of trouble that a restart would not mend. Written `0` and `1` in a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Strictness {
    /// A degraded sidecar is ready.
    #[default]
    #[serde(rename = "0")]
    Lenient,
    /// It is not.
    #[serde(rename = "1")]
    Strict,
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(rename = "status")]
    condition: Condition,
    /// What is wrong, in words that do not change: `store_unreachable`, `store_travelled`, `custody_pending`,
    /// `custody_at_risk`, `store_forgetful`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

/// Whether requests are served, and how well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Condition {
    Starting,
    Ready,
    /// Serving, with trouble that reasons name.
    Degraded,
    Draining,
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
        let reasons: Vec<_> =
            troubles(health).into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect();
        let condition = match self.phase() {
            Phase::Starting => Condition::Starting,
            Phase::Draining => Condition::Draining,
            Phase::Serving if reasons.is_empty() => Condition::Ready,
            Phase::Serving => Condition::Degraded,
        };
        Report { condition, reasons }
    }
}

/// Every reason that there is for `degraded`, and whether it holds.
pub(super) fn troubles(health: Health) -> [(&'static str, bool); 5] {
    [
        ("store_unreachable", !health.store_reachable),
        ("store_travelled", health.travelled),
        ("custody_pending", health.waiting > 0),
        ("custody_at_risk", health.at_risk > 0),
        ("store_forgetful", health.forgetful),
    ]
}

// === impl Report ===

impl Report {
    /// 503 while starting and draining, and for a degraded sidecar when the prober is strict.
    pub fn status_code(&self, strictness: Strictness) -> StatusCode {
        match (self.condition, strictness) {
            (Condition::Ready, _) | (Condition::Degraded, Strictness::Lenient) => StatusCode::OK,
            (Condition::Degraded, Strictness::Strict) | (Condition::Starting | Condition::Draining, _) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Phase, Readiness,
        Strictness::{Lenient, Strict},
    };
    use crate::credential::coordinator::Health;

    const WELL: Health = Health { store_reachable: true, waiting: 0, at_risk: 0, travelled: false, forgetful: false };

    #[test]
    fn only_a_serving_process_is_ready() {
        let readiness = Readiness::default();
        assert_eq!(readiness.report(WELL).status_code(Lenient), 503);
        readiness.enter(Phase::Serving);
        assert_eq!(readiness.report(WELL).status_code(Strict), 200);
        readiness.enter(Phase::Draining);
        assert_eq!(readiness.report(WELL).status_code(Lenient), 503);
    }

    #[test]
    fn trouble_of_the_store_is_ready_unless_strict() {
        let readiness = Readiness::default();
        readiness.enter(Phase::Serving);
        let report = readiness.report(Health {
            store_reachable: false,
            waiting: 1,
            at_risk: 1,
            travelled: true,
            forgetful: true,
        });
        assert_eq!((report.status_code(Lenient).as_u16(), report.status_code(Strict).as_u16()), (200, 503));
        assert_eq!(
            report.reasons,
            ["store_unreachable", "store_travelled", "custody_pending", "custody_at_risk", "store_forgetful"]
        );
    }
}
