//! What is measured, and what the scenarios share.

mod ahead;
mod cold;
mod million;
mod refresh;
mod storm;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use crate::{
    dice::Dice,
    failure::{Failure, Result},
    figure::{Figure, Unit},
    flexslot::Flexslot,
    load::{self, Done, Group, Pace, Run, Until, Urgency, Whose},
    options::{Extent, Options},
    place::{Place, Sidecar},
    process::Cores,
    record::Record,
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) measure: fn(&mut Bench<'_>) -> Result<Vec<Figure>>,
}

/// What every scenario works with.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    options: &'a Options,
    cores: Cores,
    flexslot: Flexslot,
    /// The store with all tenants in it. One sidecar at a time works on it.
    many: Place,
    dir: PathBuf,
}

/// A steady rate of requests of tenants with fresh tokens, on a thread of its own, and of requests to `/healthz`, which the
/// runtime answers that does the background work.
struct Probes {
    workers: Group,
    background: Group,
    tenants: Range<u32>,
}

/// What the probes saw over some time.
#[derive(Debug)]
struct Seen {
    workers: Done,
    background: Done,
}

/// Tenants in the store besides those of the big one.
const FEW: u32 = 1000;

/// How long tokens live with which nothing is to happen.
const LONG: Duration = Duration::from_secs(12 * 3600);

/// Connections of a load that keeps the sidecar busy.
const CONNECTIONS: usize = 64;

/// For how long the probes see what is usual.
const USUAL: Duration = Duration::from_secs(3);

/// Tenants whose tokens are fresh all the while, and what is asked for them per second.
const PROBED: u32 = 100;
const PER_SECOND: u32 = 1000;
const HEALTH_PER_SECOND: u32 = 100;

/// Their connections; the admin listener takes 40 at a time.
const HEALTH_CONNECTIONS: usize = 30;

/// So many connections that one is free when a request is due, also where answers take half a second.
const PROBING: usize = 500;

// === impl Scenario ===

impl Scenario {
    pub(crate) const ALL: [Self; 5] = [
        Self { name: "storm", measure: storm::measure },
        Self { name: "million", measure: million::measure },
        Self { name: "cold", measure: cold::measure },
        Self { name: "refresh", measure: refresh::measure },
        Self { name: "ahead", measure: ahead::measure },
    ];
}

// === impl Bench ===

impl<'a> Bench<'a> {
    /// Makes the store with all tenants.
    pub(crate) fn prepare(options: &'a Options, cores: Cores, dir: &Path) -> Result<Self> {
        let tenants = options.counts.tenants;
        let flexslot = Flexslot::start(Record::of(tenants + FEW))?;
        let many = Place::new(dir.join("many"), &options.binary, cores, &flexslot)?;
        eprintln!("scale: importing {tenants} tenants");
        many.import(&flexslot, 0..tenants, SystemTime::now() + LONG)?;
        Ok(Self { options, cores, flexslot, many, dir: dir.to_owned() })
    }

    /// A store of its own with few tenants.
    fn few(&self) -> Result<Place> {
        let place = Place::new(self.dir.join("few"), &self.options.binary, self.cores, &self.flexslot)?;
        place.import(&self.flexslot, self.few_tenants(), SystemTime::now() + LONG)?;
        Ok(place)
    }

    fn few_tenants(&self) -> Range<u32> {
        let tenants = self.options.counts.tenants;
        tenants..tenants + FEW
    }

    fn rounds(&self) -> usize {
        self.options.counts.rounds
    }

    /// Tenants at the end of the store: neither warm nor in the crowd.
    fn others(&self, from: u32, count: u32) -> Range<u32> {
        let first = self.options.counts.tenants - crate::options::OTHERS + from;
        first..first + count
    }

    /// Those that probes ask for.
    fn probed(&self) -> Range<u32> {
        self.others(0, PROBED)
    }

    /// Fewer, where nothing is to be measured.
    fn many_or<T>(&self, full: T, quick: T) -> T {
        match self.options.extent {
            Extent::Full => full,
            Extent::Quick => quick,
        }
    }

    fn crowd(&self) -> Range<u32> {
        0..self.options.counts.crowd
    }

    /// A sidecar with the crowd in memory, whose tokens end `left` from the beginning.
    fn gather(&self, left: Duration) -> Result<(Sidecar, Probes)> {
        self.many.import(&self.flexslot, self.crowd(), SystemTime::now() + left)?;
        let (sidecar, probed) = (self.many.start(self.probed().start)?, self.probed());
        let mut group = Group::open(sidecar.port, CONNECTIONS)?;
        for tenants in [self.crowd(), probed.clone()] {
            let until = Until::Requests(u64::from(tenants.end - tenants.start));
            group.run(Run { whose: Whose::each(tenants), pace: Pace::AtATime(CONNECTIONS), until })?;
        }
        self.flexslot.record.forget(self.crowd());
        let workers = Group::open(sidecar.port, PROBING)?;
        let background = Group::of_health(sidecar.admin, HEALTH_CONNECTIONS)?;
        Ok((sidecar, Probes { workers, background, tenants: probed }))
    }

    /// Waits until the crowd's tokens have only so much time `left`.
    fn wait_until_left(&self, left: Duration) -> Result<()> {
        match self.flexslot.record.left(self.crowd().start).checked_sub(left) {
            Some(wait) if !wait.is_zero() => thread::sleep(wait),
            _ => {
                return Err(Failure::new(
                    "this machine is too slow: the crowd's tokens had ended before all was ready",
                ));
            }
        }
        Ok(())
    }
}

// === impl Probes ===

impl Probes {
    /// Probes for as long as `meanwhile` takes.
    fn during<T>(&mut self, meanwhile: impl FnOnce() -> Result<T>) -> Result<(T, Seen)> {
        let over = AtomicBool::new(false);
        let (whose, until) = (Whose::Random(self.tenants.clone(), Dice::new(1)), Until::Told(&over));
        let (workers, background) = (&mut self.workers, &mut self.background);
        thread::scope(|scope| {
            let workers = scope.spawn(move || {
                load::hurry(Urgency::Probe);
                workers.run(Run { whose, pace: Pace::PerSecond(PER_SECOND), until })
            });
            let background = scope.spawn(move || {
                load::hurry(Urgency::Probe);
                background.run(Run { whose: Whose::Health, pace: Pace::PerSecond(HEALTH_PER_SECOND), until })
            });
            let done = meanwhile();
            over.store(true, Ordering::Relaxed);
            let [workers, background] = [workers, background]
                .map(|probe| probe.join().unwrap_or_else(|_| Err(Failure::new("a probe panicked"))));
            Ok((done?, Seen { workers: workers?, background: background? }))
        })
    }
}

// === figures ===

/// What probes saw, beside what they saw before.
fn probed(before: &[Seen], during: &[Seen]) -> Vec<Figure> {
    type Number = fn(&Seen) -> f64;
    let rows: [(&str, Number); 6] = [
        ("other tenants' requests: half within", |seen| seen.workers.within(0.5)),
        ("other tenants' requests: 99 of 100 within", |seen| seen.workers.within(0.99)),
        ("other tenants' requests: all within", |seen| seen.workers.within(1.0)),
        ("what the probe itself was late: 99 of 100 within", |seen| seen.workers.late(0.99)),
        ("`/healthz`: half within", |seen| seen.background.within(0.5)),
        ("`/healthz`: 99 of 100 within", |seen| seen.background.within(0.99)),
    ];
    let of = |seen: &[Seen], number: Number| seen.iter().map(number).collect();
    let figure = |(measure, number): (&str, Number)| {
        Figure::alone(measure, Unit::Seconds, of(during, number)).beside("before", of(before, number))
    };
    rows.into_iter().map(figure).collect()
}

/// Half, 99 of 100, and all of the requests of some runs, beside those of others.
fn latencies(what: &str, runs: &[Done], beside: &str, others: &[Done]) -> Vec<Figure> {
    let of = |runs: &[Done], part: f64| runs.iter().map(|run| run.within(part)).collect();
    let row = |(measure, part): (&str, f64)| {
        Figure::alone(format!("{what}: {measure}"), Unit::Seconds, of(runs, part)).beside(beside, of(others, part))
    };
    [("half within", 0.5), ("99 of 100 within", 0.99), ("all within", 1.0)].map(row).into()
}
