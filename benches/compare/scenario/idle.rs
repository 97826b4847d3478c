//! What a connection costs on which nothing happens any more.

use super::{Bench, CONNECTIONS, plain};
use crate::{
    contenders::{Contender, Kind},
    failure::{Failure, Result},
    figure::{Compared, Figure, Unit},
    load::{Load, Run, Until},
    process,
    work::Work,
};

/// Connections, each of which has had one request. About as many as the sidecar takes where 20,000 files may be open.
const IDLE: [usize; 2] = [9_900, 2000];

/// Connections that are opened together.
const PART: usize = 500;

/// Files that a proxy has open besides one for each connection.
const BESIDES: u64 = 500;

pub(super) fn measure(bench: &mut Bench<'_>, name: &str) -> Result<Vec<Figure>> {
    let count = bench.many(IDLE[0], IDLE[1]);
    let (allowed, needed) = (process::raise_file_limit()?, count as u64 + BESIDES);
    if allowed < needed {
        let why = format!("{count} connections need {needed} open files, and the limit is {allowed}");
        return Err(Failure::new(why).hint(format!("as root: ulimit -Hn {needed}; or leave it out, with --only")));
    }
    let mut stage = bench.stage(&plain(&Kind::PROXIES))?;
    stage.connect(bench, Work::Get, CONNECTIONS)?;
    for group in stage.groups.drain(..) {
        bench.load.close(group)?;
    }
    let mut samples = Vec::new();
    for contender in &stage.contenders {
        samples.push((contender.kind, vec![growth(&mut bench.load, contender, count)?]));
    }
    Ok(vec![Figure::new(name, "memory per connection", Unit::Bytes, Compared::Ratio, samples)])
}

/// Bytes for each connection.
fn growth(load: &mut Load, contender: &Contender, count: usize) -> Result<f64> {
    let before = contender.memory()?.resident;
    let mut groups = Vec::new();
    // In parts, so that no connection waits long for its request; one request after the other, so that there is one
    // connection to the upstream, and only those of the clients are counted.
    for _ in 0..count / PART {
        let group = load.open(contender.target(Work::Get, PART))?;
        load.run(Run { group, until: Until::Requests(PART as u64), at_a_time: 1, per_second: None })?;
        groups.push(group);
    }
    let grown = contender.memory()?.resident.saturating_sub(before);
    groups.into_iter().try_for_each(|group| load.close(group))?;
    Ok(grown as f64 / count as f64)
}
