//! Ten thousand tokens have ended, and a request comes for each at once. What do others notice of it?

use std::{thread, time::Duration};

use tokio::runtime::Builder;

use super::{Bench, Seen, USUAL, probed};
use crate::{
    crowd::{Crowd, Told},
    failure::{Result, Trying},
    figure::{Figure, Unit},
    load,
    place::Settings,
};

/// How long the crowd's tokens live: until all of them are in memory, and the probes have seen what is usual.
const LIFE: [Duration; 2] = [Duration::from_secs(40), Duration::from_secs(10)];

/// The crowd's tokens are renewed when a request comes, and hardly ahead of that.
const BEFORE_EXPIRY: u32 = 1;

/// Rounds at most: each takes as long as half a minute or more.
const MOST: usize = 5;

/// What one round has shown.
struct Round {
    told: Told,
    cpu: Duration,
    grown: u64,
    /// What probes saw when nobody else asked, when the crowd asked with fresh tokens, and when these had ended.
    usual: Seen,
    calm: Seen,
    seen: Seen,
}

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Vec<Figure>> {
    bench.many.configure(Settings { before_expiry: Some(BEFORE_EXPIRY), ..Settings::default() })?;
    let rounds: Vec<Round> = (0..bench.rounds().min(MOST)).map(|_| round(bench)).collect::<Result<_>>()?;
    bench.many.configure(Settings::default())?;
    let number = |number: fn(&Round) -> f64| rounds.iter().map(number).collect();
    let seconds = |measure: &str, of: fn(&Round) -> f64| Figure::alone(measure, Unit::Seconds, number(of));
    let crowd = bench.options.counts.crowd;
    let mut figures = vec![
        seconds(&format!("{crowd} requests find {crowd} tokens ended; all are fresh after"), |round| round.within(1.0)),
        seconds("half of these requests within", |round| round.within(0.5)),
        Figure::alone("how often one was told to come again", Unit::Count, number(|round| round.told.sent_away as f64)),
        Figure::alone("token requests for each token", Unit::Count, vec![1.0; rounds.len()]),
        seconds("CPU for each token", Round::cpu_for_each),
        Figure::alone("growth of memory for each", Unit::Bytes, number(Round::growth_for_each)),
        seconds("other tenants' requests in the first second: 99 of 100 within", |round| {
            round.seen.workers.in_the_first_second().within(0.99)
        })
        .beside("same requests, fresh tokens", number(|round| round.calm.workers.in_the_first_second().within(0.99))),
        seconds("other tenants' requests after the first second: 99 of 100 within", |round| {
            round.seen.workers.after_the_first_second().within(0.99)
        })
        .beside("before", number(|round| round.usual.workers.within(0.99))),
    ];
    let (usual, seen): (Vec<_>, Vec<_>) = rounds.into_iter().map(|round| (round.usual, round.seen)).unzip();
    figures.extend(probed(&usual, &seen));
    Ok(figures)
}

fn round(bench: &Bench<'_>) -> Result<Round> {
    let (sidecar, mut probes) = bench.gather(bench.many_or(LIFE[0], LIFE[1]))?;
    let runtime = Builder::new_current_thread().enable_all().build().trying(|| "a runtime".into())?;
    let crowd = runtime.block_on(Crowd::connect(sidecar.port, bench.crowd()))?;
    let ((), usual) = probes.during(|| {
        thread::sleep(USUAL);
        Ok(())
    })?;
    let (_, calm) = probes.during(|| runtime.block_on(crowd.ask()))?;
    bench.wait_until_left(Duration::ZERO)?;
    let (cpu, memory) = (sidecar.cpu()?, sidecar.memory()?.peak);
    let (told, seen) = probes.during(|| runtime.block_on(crowd.ask()))?;
    let (cpu, grown) = (sidecar.cpu()?.since(&cpu), sidecar.memory()?.peak - memory);
    bench.flexslot.record.demand_one_each(bench.crowd())?;
    Ok(Round { told, cpu, grown, usual, calm, seen })
}

// === impl Round ===

impl Round {
    fn within(&self, part: f64) -> f64 {
        load::quantile(self.told.took.clone(), part)
    }

    fn cpu_for_each(&self) -> f64 {
        self.cpu.as_secs_f64() / self.told.took.len() as f64
    }

    fn growth_for_each(&self) -> f64 {
        self.grown as f64 / self.told.took.len() as f64
    }
}
