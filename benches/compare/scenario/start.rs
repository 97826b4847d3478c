//! How long from the start of a process to the end of its first answer, and how much memory it has when it then has
//! nothing to do.

use std::{thread, time::Duration};

use super::Bench;
use crate::{
    contenders::Kind,
    failure::Result,
    figure::{Compared, Figure, Unit},
    process::Pinned,
    upstream::Form,
};

/// Starts of each.
const STARTS: [usize; 2] = [15, 2];

/// After the first answer.
const REST: Duration = Duration::from_secs(2);

pub(super) fn measure(bench: &mut Bench<'_>, name: &str) -> Result<Vec<Figure>> {
    let dir = bench.empty_dir()?;
    let mut prepared = Vec::new();
    for kind in Kind::PROXIES {
        prepared.push(bench.prepare(kind, Form::Plain, Pinned::First, dir.path().join(kind.name()))?);
    }
    let mut times = Kind::PROXIES.map(|kind| (kind, Vec::new())).to_vec();
    for _ in 0..bench.many(STARTS[0], STARTS[1]) {
        for (prepared, (_, times)) in prepared.iter().zip(&mut times) {
            times.push(prepared.start(bench.cores)?.started_in.as_secs_f64());
        }
    }
    let mut memory = Vec::new();
    for prepared in &prepared {
        let contender = prepared.start(bench.cores)?;
        thread::sleep(REST);
        memory.push((prepared.kind, vec![contender.memory()?.resident as f64]));
    }
    Ok(vec![
        Figure::new(name, "to the first answer", Unit::Seconds, Compared::Ratio, times),
        Figure::new(name, "memory at rest", Unit::Bytes, Compared::Ratio, memory),
    ])
}
