//! A million tenants in the store, and many of them in memory: what a start and a request cost then.

use std::{thread, time::Duration};

use super::{Bench, CONNECTIONS, latencies};
use crate::{
    dice::Dice,
    failure::Result,
    figure::{Figure, Unit},
    load::{Done, Group, Pace, Run, Until, Whose},
    place::{Settings, Sidecar},
};

/// After the first answer.
const REST: Duration = Duration::from_secs(2);

/// How long one kind of load has its turn in a round, and how fast it is where latency is measured.
const SLICE: f64 = 1.0;
const PER_SECOND: u32 = 2000;

/// What the sidecar keeps in memory unless it is told otherwise.
const CACHED: u32 = 100_000;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Vec<Figure>> {
    let mut figures = starts(bench)?;
    let warm = bench.options.counts.warm;
    if warm > CACHED {
        bench.many.configure(Settings { cached_tenants: Some(warm), ..Settings::default() })?;
    }
    let sidecar = bench.many.start(0)?;
    figures.push(warm_up(&sidecar, warm)?);
    figures.extend(spread_out(bench, &sidecar, warm)?);
    drop(sidecar);
    bench.many.configure(Settings::default())?;
    Ok(figures)
}

fn starts(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let few = bench.few()?;
    let (mut times, mut memory) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..bench.rounds() {
        for (place, (first, at)) in [(&bench.many, (0, 0)), (&few, (bench.few_tenants().start, 1))] {
            let sidecar = place.start(first)?;
            times[at].push(sidecar.started_in.as_secs_f64());
            thread::sleep(REST);
            memory[at].push(sidecar.memory()?.resident as f64);
        }
    }
    let beside = format!("with {} tenants", super::FEW);
    let ([many, small], [many_memory, small_memory]) = (times, memory);
    Ok(vec![
        Figure::alone("start, to the first answer", Unit::Seconds, many).beside(beside.clone(), small),
        Figure::alone("memory at rest", Unit::Bytes, many_memory).beside(beside, small_memory),
    ])
}

/// Brings tenants into memory.
fn warm_up(sidecar: &Sidecar, warm: u32) -> Result<Figure> {
    thread::sleep(REST);
    let before = sidecar.memory()?.resident;
    let mut group = Group::open(sidecar.port, CONNECTIONS)?;
    let until = Until::Requests(u64::from(warm));
    group.run(Run { whose: Whose::each(0..warm), pace: Pace::AtATime(CONNECTIONS), until })?;
    thread::sleep(REST);
    let grown = sidecar.memory()?.resident.saturating_sub(before) as f64 / f64::from(warm);
    Ok(Figure::alone(format!("memory for each of {warm} tenants that are warm"), Unit::Bytes, vec![grown]))
}

/// Requests for all that are warm, at random, beside requests for one.
fn spread_out(bench: &Bench<'_>, sidecar: &Sidecar, warm: u32) -> Result<Vec<Figure>> {
    let mut group = Group::open(sidecar.port, CONNECTIONS)?;
    let whose = |round: usize| [Whose::Random(0..warm, Dice::new(round as u64)), Whose::One(0)];
    let (mut cpu, mut steady) = ([Vec::new(), Vec::new()], [Vec::<Done>::new(), Vec::new()]);
    for round in 0..bench.rounds() {
        let whose = whose(round);
        // Who begins changes from round to round.
        for at in [round % 2, (round + 1) % 2] {
            let (whose, until) = (whose[at].clone(), Until::Seconds(SLICE));
            let before = sidecar.cpu()?;
            let done = group.run(Run { whose: whose.clone(), pace: Pace::AtATime(CONNECTIONS), until })?;
            cpu[at].push(sidecar.cpu()?.since(&before).as_secs_f64() / done.answered() as f64);
            steady[at].push(group.run(Run { whose, pace: Pace::PerSecond(PER_SECOND), until })?);
        }
    }
    let ([many_cpu, one_cpu], [many, one]) = (cpu, steady);
    let what = format!("requests at random for {warm} warm tenants");
    let mut figures =
        vec![Figure::alone(format!("{what}: CPU for each"), Unit::Seconds, many_cpu).beside("for one tenant", one_cpu)];
    figures.extend(latencies(&format!("the same, {PER_SECOND} per second"), &many, "for one tenant", &one));
    Ok(figures)
}
