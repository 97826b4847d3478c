//! Ten thousand tokens end together, and requests keep coming for all of them: they are renewed ahead of their end, each in its
//! turn.

use std::time::Duration;

use super::{Bench, CONNECTIONS, USUAL, probed};
use crate::{
    failure::Result,
    figure::{Figure, Unit},
    load::{Done, Group, Pace, Run, Until, Whose},
    place::Settings,
};

/// How long before their end tokens are renewed, in seconds: instead of five minutes, so that the crowd comes in a tenth of the time.
const BEFORE_EXPIRY: [u32; 2] = [30, 6];

/// Until the crowd is in memory.
const GATHERING: [u64; 2] = [15, 5];

/// What is asked for the crowd per second.
const PER_SECOND: [u32; 2] = [2000, 200];

/// Rounds at most: each takes most of a minute.
const MOST: usize = 5;

/// How long after the end of the tokens requests still come: one more for each, as some were asked for last before their turn
/// had come.
const AFTER: Duration = Duration::from_secs(6);

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Vec<Figure>> {
    let window = bench.many_or(BEFORE_EXPIRY[0], BEFORE_EXPIRY[1]);
    let (gathering, rate) = (bench.many_or(GATHERING[0], GATHERING[1]), bench.many_or(PER_SECOND[0], PER_SECOND[1]));
    bench.many.configure(Settings { before_expiry: Some(window), ..Settings::default() })?;
    let (mut usual, mut crowds) = (Vec::<Done>::new(), Vec::new());
    let (mut before, mut during) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds().min(MOST) {
        let life = Duration::from_secs(gathering + u64::from(window));
        let (sidecar, mut probes) = bench.gather(life)?;
        let mut group = Group::open(sidecar.port, CONNECTIONS)?;
        let mut ask = |time: Duration| {
            let until = Until::Seconds(time.as_secs_f64());
            group.run(Run { whose: Whose::each(bench.crowd()), pace: Pace::PerSecond(rate), until })
        };
        let (calm, seen) = probes.during(|| ask(USUAL))?;
        bench.wait_until_left(Duration::from_secs(u64::from(window)))?;
        usual.push(calm);
        before.push(seen);
        let (crowd, seen) = probes.during(|| ask(Duration::from_secs(u64::from(window)) + AFTER))?;
        bench.flexslot.record.demand_one_each(bench.crowd())?;
        crowds.push(crowd);
        during.push(seen);
    }
    bench.many.configure(Settings::default())?;
    let crowd = bench.options.counts.crowd;
    let what = format!("{crowd} tokens renewed ahead over {window} s: token requests for each");
    let mut figures = vec![Figure::alone(what, Unit::Count, vec![1.0; crowds.len()])];
    figures.extend(super::latencies("requests with these tokens", &crowds, "before", &usual));
    figures.extend(probed(&before, &during));
    Ok(figures)
}
