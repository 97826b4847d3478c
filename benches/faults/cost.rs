//! What a fault costs the process.

use std::fmt;

use crate::sidecar::{Sidecar, Weight};

/// The process before a fault, at its worst, and after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    before: Weight,
    during: Weight,
    after: Weight,
}

// === impl Cost ===

impl Cost {
    pub(crate) fn begin(sidecar: &Sidecar) -> Self {
        let now = sidecar.weight();
        Self { before: now, during: now, after: now }
    }

    /// Looks again, in the middle of the fault.
    pub(crate) fn look(&mut self, sidecar: &Sidecar) {
        let now = sidecar.weight();
        let worst = &mut self.during;
        worst.resident = worst.resident.max(now.resident).max(now.peak);
        worst.threads = worst.threads.max(now.threads);
        worst.descriptors = worst.descriptors.max(now.descriptors);
    }

    /// The same, when it is over.
    pub(crate) fn end(mut self, sidecar: &Sidecar) -> Self {
        self.look(sidecar);
        self.after = sidecar.weight();
        self
    }

    /// What was added at the worst, in bytes.
    pub(crate) fn grown(&self) -> u64 {
        self.during.resident.saturating_sub(self.before.resident)
    }
}

/// `12.1 → 20.0 → 13.0 MiB; 22 → 1,022 → 22 descriptors`
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, during, after } = self;
        let [first, worst, last] = [before, during, after].map(|weight| mib(weight.resident));
        write!(f, "{first:.1} → {worst:.1} → {last:.1} MiB; ")?;
        write!(f, "{} → {} → {} descriptors", before.descriptors, during.descriptors, after.descriptors)?;
        if during.threads > before.threads {
            write!(f, "; {} → {} → {} threads", before.threads, during.threads, after.threads)?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
