//! What the process weighs, minute by minute.

use std::{fmt, sync::atomic::Ordering, time::Duration};

use super::Soak;
use crate::{
    cost::mib,
    sidecar::{Sidecar, Weight},
};

#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    at: Duration,
    /// The number of the process: how many have been stopped before it.
    process: usize,
    weight: Weight,
    begun: u64,
    failures: (u64, usize),
}

/// What may be added over an hour without being growth: caches fill, and connections come and go.
const ALLOWED_BYTES: u64 = 8 << 20;
const ALLOWED_DESCRIPTORS: usize = 32;

// === impl Sample ===

impl Sample {
    pub(super) fn take(at: Duration, process: usize, sidecar: &Sidecar, soak: &Soak) -> Self {
        let (weight, begun) = (sidecar.weight(), soak.begun.load(Ordering::Relaxed));
        Self { at, process, weight, begun, failures: soak.ledger.failures() }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Weight { resident, threads, descriptors, .. } = self.weight;
        let (explained, unexplained) = self.failures;
        write!(
            f,
            "{:5.1} min, process {}: {:.1} MiB, {descriptors} descriptors, {threads} threads; {} requests, {explained} \
             failures explained, {unexplained} not",
            self.at.as_secs_f64() / 60.0,
            self.process + 1,
            mib(resident),
            self.begun,
        )
    }
}

/// What the last process, which ran the longest, weighs more in the last third of its life than in the second.
pub(super) fn growth(samples: &[Sample]) -> Vec<String> {
    let last = samples.iter().map(|sample| sample.process).max();
    let life: Vec<&Sample> = samples.iter().filter(|sample| Some(sample.process) == last).collect();
    let third = life.len() / 3;
    let (middle, end) = (&life[third..2 * third], &life[life.len() - third..]);
    let most =
        |part: &[&Sample], of: fn(&Weight) -> u64| part.iter().map(|sample| of(&sample.weight)).max().unwrap_or(0);
    let resident = |weight: &Weight| weight.resident;
    let descriptors = |weight: &Weight| weight.descriptors as u64;
    let (bytes, files) =
        ((most(middle, resident), most(end, resident)), (most(middle, descriptors), most(end, descriptors)));
    println!(
        "the last process: at most {:.1} MiB and {} descriptors in the second third of its life, {:.1} MiB and {} in the last",
        mib(bytes.0),
        files.0,
        mib(bytes.1),
        files.1
    );
    let mut faults = Vec::new();
    if bytes.1 > bytes.0 + ALLOWED_BYTES {
        faults.push("its memory grows".to_owned());
    }
    if files.1 > files.0 + ALLOWED_DESCRIPTORS as u64 {
        faults.push("its descriptors grow".to_owned());
    }
    faults
}
