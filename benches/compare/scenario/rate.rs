//! A steady rate, well below what any of the proxies can take: how long do answers take, beyond the relay's?

use super::{Bench, CONNECTIONS, Slice, plain};
use crate::{
    contenders::Kind,
    failure::Result,
    figure::{Compared, Figure, Unit},
    load::{Run, Until},
    work::Work,
};

const PER_SECOND: u32 = 2000;

pub(super) fn measure(bench: &mut Bench<'_>, name: &str) -> Result<Vec<Figure>> {
    let mut stage = bench.stage(&plain(&Kind::ALL))?;
    stage.connect(bench, Work::Get, CONNECTIONS)?;
    let slices = bench.rounds(&stage, |bench, index| {
        let (group, until) = (stage.groups[index], Until::Seconds(bench.options.seconds));
        bench.slice(&stage, index, Run { group, until, at_a_time: CONNECTIONS, per_second: Some(PER_SECOND) })
    })?;
    let cpu = stage.samples(&slices, Slice::cpu_per_request);
    let mut figures = vec![Figure::new(name, "CPU per request", Unit::Seconds, Compared::Ratio, cpu)];
    for (place, measure) in ["half within", "99 of 100 within"].into_iter().enumerate() {
        let latencies = stage.samples(&slices, |slice| slice.done.latency[place]);
        figures.push(Figure::new(name, measure, Unit::Seconds, Compared::Difference, latencies));
    }
    stage.leave(&mut bench.load)?;
    Ok(figures)
}
