//! What came of a run, in which every answer was as it has to be.

use std::time::Duration;

/// How long the requests of a crowd that comes at once keep a worker busy, about.
const FIRST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(crate) struct Done {
    samples: Vec<Sample>,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// When it was due, from the beginning of the run.
    pub(super) at: Duration,
    /// From when it was due to the end of its answer.
    pub(super) took: Duration,
    /// From when it was due to when it was sent: what the generator itself was late.
    pub(super) late: Duration,
}

// === impl Done ===

impl Done {
    pub(super) fn new(samples: Vec<Sample>) -> Self {
        Self { samples }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.samples.len() as u64
    }

    /// So large a part of the requests, from 0 to 1, took no longer than so many seconds.
    pub(crate) fn within(&self, part: f64) -> f64 {
        quantile(self.samples.iter().map(|sample| sample.took).collect(), part)
    }

    /// The same of what the generator was late.
    pub(crate) fn late(&self, part: f64) -> f64 {
        quantile(self.samples.iter().map(|sample| sample.late).collect(), part)
    }

    /// The same for the requests alone that were due in the first second, or after it.
    pub(crate) fn in_the_first_second(&self) -> Self {
        self.those(|at| at < FIRST)
    }

    pub(crate) fn after_the_first_second(&self) -> Self {
        self.those(|at| at >= FIRST)
    }

    fn those(&self, were_due: impl Fn(Duration) -> bool) -> Self {
        Self { samples: self.samples.iter().filter(|sample| were_due(sample.at)).copied().collect() }
    }
}

/// In seconds; none of none.
pub(crate) fn quantile(mut times: Vec<Duration>, part: f64) -> f64 {
    times.sort_unstable();
    let place = (part * times.len() as f64) as usize;
    times.get(place.min(times.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64)
}
