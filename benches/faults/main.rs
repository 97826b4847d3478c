//! Load, faults, operations under fire, and a soak: what a client sees, what stays healthy, how long recovery takes.
//!
//! `just faults` runs the scenarios, each with a sidecar of its own on a store on disk, in front of a stand-in that does as it is
//! told; `just soak` runs one sidecar under mixed load for as long as it is asked to. docs/operations.md has the tables. Everything
//! happens in namespaces of its own: no packet leaves the machine, and mounts end with the program.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]
#![allow(clippy::disallowed_methods, reason = "real processes are watched in real time")]

mod apart;
mod authority;
mod cost;
mod dice;
#[path = "../compare/failure.rs"]
mod failure;
mod flexslot;
mod grants;
mod http;
mod order;
mod place;
mod scenario;
mod sidecar;
mod soak;
mod tally;
mod watch;

use std::{env, path::PathBuf, process::ExitCode};

use failure::{Failure, Result, Trying};
use scenario::Scenario;

const USAGE: &str = "\
Runs flexslot-proxy under load and faults, and says what came of it.

    faults [--binary FILE] [SCENARIO...]     the scenarios; all of them, if none is named
    faults [--binary FILE] soak [MINUTES]    mixed load, faults, reloads and restarts; 60 minutes, if not given

Scenarios: ";

/// What is to be done.
struct Options {
    binary: PathBuf,
    work: Work,
}

enum Work {
    Scenarios(Vec<&'static Scenario>),
    Soak { minutes: u64 },
}

fn main() -> ExitCode {
    let done = Options::parse(env::args().skip(1)).and_then(|options| {
        apart::enter()?;
        apart::raise_file_limit()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.trying(|| "a runtime".into())?.block_on(run(options))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("faults: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    let scenarios = match options.work {
        Work::Soak { minutes } => return soak::run(&options.binary, minutes).await,
        Work::Scenarios(scenarios) => scenarios,
    };
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        eprintln!("faults: {}", scenario.name);
        match (scenario.run)(&options.binary).await {
            Ok(found) => {
                found.iter().for_each(|row| eprintln!("{row}"));
                rows.extend(found);
            }
            Err(failure) => {
                eprintln!("faults: {}", failure.within(scenario.name));
                failed.push(scenario.name);
            }
        }
    }
    println!("{}", scenario::HEADING);
    rows.iter().for_each(|row| println!("{row}"));
    match &failed[..] {
        [] => Ok(()),
        failed => Err(Failure::new(format!("these came to no end: {}", failed.join(", ")))),
    }
}

// === impl Options ===

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_flexslot-proxy"));
        let (mut scenarios, mut soak) = (Vec::new(), None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {} // cargo's own
                "--binary" => {
                    let file = arguments.next().ok_or_else(|| misused("--binary needs a file"))?;
                    binary = PathBuf::from(&file).canonicalize().trying(|| file)?;
                }
                "soak" => soak = Some(60),
                minutes if soak.is_some() => {
                    soak = Some(minutes.parse().map_err(|_| misused(&format!("{minutes} is no number of minutes")))?);
                }
                name => {
                    scenarios.push(Scenario::named(name).ok_or_else(|| misused(&format!("{name} is no scenario")))?)
                }
            }
        }
        let work = match soak {
            Some(minutes) => Work::Soak { minutes },
            None if scenarios.is_empty() => Work::Scenarios(scenario::ALL.iter().collect()),
            None => Work::Scenarios(scenarios),
        };
        Ok(Self { binary, work })
    }
}

/// The usage is the hint.
fn misused(why: &str) -> Failure {
    let names: Vec<&str> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
    Failure::new(why).hint(format!("{USAGE}{}", names.join(", ")))
}
