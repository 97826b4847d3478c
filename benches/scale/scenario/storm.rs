//! A token has just ended, and many requests find it so at once: one token request, and whoever waits for it.

use std::{
    thread,
    time::{Duration, SystemTime},
};

use super::{Bench, latencies};
use crate::{
    failure::{Failure, Result},
    figure::Figure,
    load::{Done, Group, Pace, Run, Until, Whose},
};

/// How long the tokens live: a fifth of it is the window, in which a request has them renewed ahead of their end.
const LIFE: Duration = Duration::from_secs(4);

/// How long the token endpoint takes. With the second, all requests are there before it has answered.
const HOLDS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(50)];

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Vec<Figure>> {
    let tenants = bench.others(1000, 1);
    let record = &bench.flexslot.record;
    record.set_life(LIFE);
    bench.many.import(&bench.flexslot, tenants.clone(), SystemTime::now())?;
    let sidecar = bench.many.start(bench.probed().start)?;
    let mut group = Group::open(sidecar.port, bench.options.counts.storm as usize)?;
    let mut figures = Vec::new();
    for hold in HOLDS {
        // The first round opens connections to Flexslot, which stay open from then on.
        round(bench, &mut group, tenants.start, hold)?;
        let rounds: Vec<_> =
            (0..bench.rounds()).map(|_| round(bench, &mut group, tenants.start, hold)).collect::<Result<_>>()?;
        let (storms, calms): (Vec<Done>, Vec<Done>) = rounds.into_iter().unzip();
        let what = format!("{} requests, the token is there after {} ms", bench.options.counts.storm, hold.as_millis());
        figures.extend(latencies(&what, &storms, "with a fresh token", &calms));
    }
    record.set_hold(Duration::ZERO);
    record.set_life(Duration::from_secs(3600));
    Ok(figures)
}

/// The storm, and as many requests with a fresh token before it.
fn round(bench: &Bench<'_>, group: &mut Group, tenant: u32, hold: Duration) -> Result<(Done, Done)> {
    let (record, storm) = (&bench.flexslot.record, u64::from(bench.options.counts.storm));
    record.set_hold(Duration::ZERO);
    thread::sleep(record.left(tenant));
    let one = Run { whose: Whose::One(tenant), pace: Pace::AtATime(1), until: Until::Requests(1) };
    group.run(one)?;
    record.forget(tenant..tenant + 1);
    let all = || Run { whose: Whose::One(tenant), pace: Pace::Together, until: Until::Requests(storm) };
    let calm = group.run(all())?;
    if record.asked(tenant..tenant + 1).refreshes > 0 {
        return Err(Failure::new("this machine is too slow: the fresh token was not fresh for long enough"));
    }
    thread::sleep(record.left(tenant));
    record.set_hold(hold);
    let storm = group.run(all())?;
    record.demand_one_each(tenant..tenant + 1)?;
    Ok((storm, calm))
}
