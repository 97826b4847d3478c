//! What a request costs behind flexslot-proxy, nginx, haproxy and a byte relay that do the same work, on this machine.
//!
//! `just compare` installs what is missing and runs it; docs/performance.md has the method and how to read the table. The
//! same program is the load generator (`load`) and the relay (`relay FROM TO`), each a process of its own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]
#![allow(clippy::disallowed_methods, reason = "real times are measured, by threads that nobody else waits for")]

mod chart;
mod contenders;
mod failure;
mod figure;
mod load;
mod machine;
mod measure;
mod options;
mod probe;
mod process;
mod relay;
mod report;
mod scenario;
mod spread;
mod upstream;
mod work;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use failure::{Failure, Result, Trying};
use load::Load;
use options::Options;
use process::{Cores, Pinned};
use report::Report;
use scenario::Bench;
use upstream::Upstream;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("load") => load::serve(),
        Some("relay") => relay::serve(&arguments[1..]),
        _ => Options::parse(&arguments).and_then(|options| compare(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<()> {
    let (report, failed) = match &options.from {
        Some(path) => (Report::read(path)?, Vec::new()),
        None => measure(options)?,
    };
    print!("{}", report.table(options.table));
    if options.from.is_none() {
        report.write(&results())?;
        eprintln!("compare: wrote {}", results().display());
    }
    if let Some(path) = &options.chart {
        fs::write(path, chart::draw(&report)?).trying(|| path.display().to_string())?;
    }
    match &failed[..] {
        [] => Ok(()),
        failed => Err(Failure::new(format!("these were not measured: {}", failed.join(", ")))),
    }
}

/// What was measured, and the scenarios that were not: one that fails ends no other.
fn measure(options: &Options) -> Result<(Report, Vec<&'static str>)> {
    let mut report = Report::begin(options)?;
    let cores = Cores::choose()?;
    let dir = tempfile::Builder::new().prefix("compare-").tempdir().trying(|| "a directory".into())?;
    process::remove_when_stopped(dir.path().to_owned())?;
    process::raise_file_limit()?;
    cores.pin(Pinned::Second)?;
    let upstream = Upstream::start(&dir.path().join("upstream"), cores)?;
    let load = Load::start(cores)?;
    let mut bench = Bench { options, cores, upstream, load, dir: dir.path().to_owned() };
    let mut failed = Vec::new();
    for scenario in &options.scenarios {
        eprintln!("compare: {}", scenario.name);
        match scenario.measure(&mut bench) {
            Ok(figures) => report.figures.extend(figures),
            Err(failure) => {
                eprintln!("compare: {}", failure.within(scenario.name));
                failed.push(scenario.name);
            }
        }
    }
    report.end();
    Ok((report, failed))
}

/// Beside what cargo builds.
fn results() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("compare").join("result.json")
}
