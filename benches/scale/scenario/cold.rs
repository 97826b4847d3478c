//! The first request of a tenant, which has to be read from the store and opened.

use super::{Bench, CONNECTIONS, latencies};
use crate::{
    dice::Dice,
    failure::{Failure, Result},
    figure::{Figure, Unit},
    load::{Done, Group, Pace, Run, Until, Whose},
};

/// First requests in a round.
const ASKED: [u32; 2] = [400, 50];

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Vec<Figure>> {
    let asked = bench.many_or(ASKED[0], ASKED[1]);
    let rounds = u32::try_from(bench.rounds()).unwrap_or(u32::MAX);
    // Those that no other scenario has asked for.
    if rounds.saturating_mul(asked) > 3800 {
        return Err(Failure::new("there are not so many tenants that nobody has asked for").hint("--rounds 9"));
    }
    let (sidecar, warm) = (bench.many.start(bench.probed().start)?, bench.probed());
    let mut group = Group::open(sidecar.port, CONNECTIONS)?;
    let requests = |whose, count: u32| Run { whose, pace: Pace::AtATime(1), until: Until::Requests(u64::from(count)) };
    group.run(requests(Whose::each(warm.clone()), warm.end - warm.start))?;
    let (mut times, mut cpu) = ([Vec::<Done>::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..rounds {
        let cold = bench.others(1100 + round * asked, asked);
        let whose = [Whose::each(cold), Whose::Random(warm.clone(), Dice::new(u64::from(round)))];
        for at in [round as usize % 2, (round as usize + 1) % 2] {
            let before = sidecar.cpu()?;
            let done = group.run(requests(whose[at].clone(), asked))?;
            cpu[at].push(sidecar.cpu()?.since(&before).as_secs_f64() / done.answered() as f64);
            times[at].push(done);
        }
    }
    let ([cold, warm], [cold_cpu, warm_cpu]) = (times, cpu);
    let mut figures = latencies("a tenant's first request, one at a time", &cold, "of a warm tenant", &warm);
    figures.push(Figure::alone("CPU for each", Unit::Seconds, cold_cpu).beside("of a warm tenant", warm_cpu));
    Ok(figures)
}
