//! As many requests as the proxy can take, small or large.

use super::{Bench, CONNECTIONS, Slice, Stage, plain};
use crate::{
    contenders::Kind,
    failure::Result,
    figure::{Compared, Figure, Unit},
    measure::Memory,
    process::Pinned,
    upstream::Form,
    work::{MEBIBYTE, Work},
};

/// Connections on which bodies of 64 MiB follow each other.
const TRANSFERS: usize = 4;

pub(super) fn measure(bench: &mut Bench<'_>, name: &str, work: Work, form: Form) -> Result<Vec<Figure>> {
    let plans = match form {
        Form::Plain => plain(&Kind::ALL),
        // The relay copies bytes, and cannot speak TLS for its clients.
        Form::Tls | Form::H2 => Kind::PROXIES.map(|kind| (kind, spoken(kind, form), Pinned::First)).to_vec(),
    };
    let mut stage = bench.stage(&plans)?;
    let before = stage.memory()?;
    let size = work.sends().max(work.receives());
    stage.connect(bench, work, if size > MEBIBYTE { TRANSFERS } else { CONNECTIONS })?;
    let slices = bench.rounds(&stage, |bench, index| bench.saturate(&stage, index))?;
    let figures = match size > MEBIBYTE {
        true => vec![per_mebibyte(name, size, &stage, &slices), growth(name, &stage, &before)?],
        false => vec![per_request(name, &stage, &slices)],
    };
    stage.leave(&mut bench.load)?;
    Ok(figures)
}

/// nginx does not speak HTTP/2 to an upstream, and is compared by what it does instead.
fn spoken(kind: Kind, form: Form) -> Form {
    match (kind, form) {
        (Kind::Nginx, Form::H2) => Form::Tls,
        _ => form,
    }
}

fn per_request(name: &str, stage: &Stage, slices: &[Vec<Slice>]) -> Figure {
    let samples = stage.samples(slices, Slice::cpu_per_request);
    let mut figure = Figure::new(name, "CPU per request", Unit::Seconds, Compared::Ratio, samples);
    figure.note_busy(&stage.samples(slices, Slice::busy));
    figure
}

fn per_mebibyte(name: &str, size: u64, stage: &Stage, slices: &[Vec<Slice>]) -> Figure {
    let mebibytes = size as f64 / MEBIBYTE as f64;
    let samples = stage.samples(slices, |slice| slice.cpu_per_request() / mebibytes);
    let mut figure = Figure::new(name, "CPU per MiB", Unit::Seconds, Compared::Ratio, samples);
    figure.note_busy(&stage.samples(slices, Slice::busy));
    figure
}

/// From before the first transfer to the most at any time.
fn growth(name: &str, stage: &Stage, before: &[Memory]) -> Result<Figure> {
    let grown = stage.memory()?.into_iter().zip(before);
    let grown = grown.map(|(after, before)| vec![after.peak.saturating_sub(before.resident) as f64]);
    let samples = stage.kinds().zip(grown).collect();
    Ok(Figure::new(name, "growth of memory", Unit::Bytes, Compared::Alone, samples))
}
