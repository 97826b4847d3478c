//! What a second core brings.
//!
//! With two cores here, the load shares them with the proxy, so that requests per second say nothing of the proxy. CPU per
//! request does: if it stays the same, two cores do twice the work of one.

use super::{Bench, CONNECTIONS, Slice};
use crate::{
    contenders::Kind,
    failure::Result,
    figure::{Compared, Figure, Unit},
    process::Pinned,
    upstream::Form,
    work::Work,
};

pub(super) fn measure(bench: &mut Bench<'_>, name: &str) -> Result<Vec<Figure>> {
    let on = |pinned| Kind::PROXIES.map(|kind| (kind, Form::Plain, pinned));
    let mut stage = bench.stage(&[on(Pinned::First), on(Pinned::Both)].concat())?;
    stage.connect(bench, Work::Get, CONNECTIONS)?;
    let slices = bench.rounds(&stage, |bench, index| bench.saturate(&stage, index))?;
    let samples = stage.samples(&slices, Slice::cpu_per_request);
    let (one, two) = samples.split_at(Kind::PROXIES.len());
    let capacity = one.iter().zip(two).map(|((kind, one), (_, two))| {
        let rounds = one.iter().zip(two).map(|(one, two)| 2.0 * one / two);
        (*kind, rounds.collect())
    });
    let capacity = Figure::new(name, "work of two cores, of one = 1", Unit::Count, Compared::Alone, capacity.collect());
    let two = Figure::new(name, "CPU per request on two", Unit::Seconds, Compared::Ratio, two.to_vec());
    stage.leave(&mut bench.load)?;
    Ok(vec![capacity, two])
}
