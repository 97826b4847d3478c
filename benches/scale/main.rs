//! What many tenants cost: a storm on a token that has just ended, a million tenants in the store, the first request of
//! one, and ten thousand tokens that end together.
//!
//! `just scale` builds the release binary and runs this; docs/performance.md has the method and how to read the table. Times are
//! shown and judge nothing. What is wrong whatever the machine ends the run: a token request too many or too few, a refresh token
//! that comes twice, a request that fails.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]
#![allow(clippy::disallowed_methods, reason = "real times are measured, by threads that nobody else waits for")]

mod crowd;
#[path = "../faults/dice.rs"]
#[allow(dead_code, reason = "shared")]
mod dice;
#[path = "../compare/failure.rs"]
mod failure;
mod figure;
mod flexslot;
mod load;
#[path = "../compare/machine.rs"]
mod machine;
#[path = "../compare/measure.rs"]
mod measure;
mod options;
mod place;
#[path = "../compare/process.rs"]
#[allow(dead_code, reason = "shared")]
mod process;
mod record;
mod report;
mod scenario;
#[path = "../compare/spread.rs"]
mod spread;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use failure::{Failure, Result, Trying};
use options::Options;
use process::{Cores, Pinned};
use report::Report;
use scenario::Bench;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match Options::parse(&arguments).and_then(|options| scale(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("scale: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn scale(options: &Options) -> Result<()> {
    let (report, failed) = match &options.from {
        Some(path) => (Report::read(path)?, Vec::new()),
        None => measure(options)?,
    };
    print!("{}", report.table(options.table));
    if options.from.is_none() {
        report.write(&results())?;
        eprintln!("scale: wrote {}", results().display());
    }
    match &failed[..] {
        [] => Ok(()),
        failed => Err(Failure::new(format!("these have failed: {}", failed.join(", ")))),
    }
}

/// What was measured, and the scenarios that have failed: one that fails ends no other.
fn measure(options: &Options) -> Result<(Report, Vec<&'static str>)> {
    let mut report = Report::begin(options)?;
    let cores = Cores::choose()?;
    process::raise_file_limit()?;
    cores.pin(Pinned::Second)?;
    let dir = tempfile::Builder::new().prefix("scale-").tempdir().trying(|| "a directory".into())?;
    process::remove_when_stopped(dir.path().to_owned())?;
    let mut bench = Bench::prepare(options, cores, dir.path())?;
    let mut failed = Vec::new();
    for scenario in &options.scenarios {
        eprintln!("scale: {}", scenario.name);
        match (scenario.measure)(&mut bench) {
            Ok(figures) => {
                report.add(scenario.name, figures);
                // What comes after it may take long, and may be stopped.
                report.write(&results())?;
            }
            Err(failure) => {
                eprintln!("scale: {}", failure.within(scenario.name));
                failed.push(scenario.name);
            }
        }
    }
    report.end();
    Ok((report, failed))
}

/// Beside what cargo builds.
fn results() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("scale").join("result.json")
}
