//! What one warm request costs the sidecar, counted and not timed: instructions and allocations by callgrind, system
//! calls by strace. Counts do not depend on how busy the machine is, so CI can refuse a change that raises one of them.
//!
//!     scripts/gate           compare with benches/gate/accepted.json; fails on a rise above 3 %
//!     scripts/gate --accept  write what is measured there, where a rise is meant
//!
//! The sidecar runs alone in its process, on one current-thread runtime: of several threads two equal runs differ by a
//! fifth. Upstream and client are this process. What the start and the end cost falls out, because each count is the
//! difference between a longer and a shorter run.

#![allow(clippy::print_stdout, reason = "a program for people at a terminal")]

mod counts;
mod peer;
mod sidecar;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use counts::{Counted, Run};

/// Requests of the shorter and of the longer run.
const SHORT: u64 = 500;
const LONG: u64 = 2_500;

/// The rise that is let pass, in percent: what a compiler's patch release may change.
const TOLERANCE: f64 = 3.0;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let is = |word: &str| args.iter().any(|arg| arg == word);
    let done = match args.first().map(String::as_str) {
        Some("sidecar") => sidecar::run(&args[1..]).map(|()| true),
        _ => gate(is("--accept")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the gate could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and tells whether nothing has risen.
fn gate(accept: bool) -> io::Result<bool> {
    let scratch = tempfile::tempdir()?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gate/accepted.json");
    let measured = measure(scratch.path())?;
    if accept {
        fs::write(&file, measured.json())?;
        println!("{}accepted: {}", measured.table(None), file.display());
        return Ok(true);
    }
    let accepted = Counted::read(&fs::read_to_string(&file)?)?;
    println!("{}", measured.table(Some(&accepted)));
    let risen = measured.risen(&accepted, TOLERANCE);
    for what in &risen {
        println!("{what}");
    }
    if !risen.is_empty() {
        println!("hint: find what costs it, or, where it is meant: just gate --accept, and say in the commit why");
    }
    Ok(risen.is_empty())
}

/// What a request costs.
fn measure(scratch: &Path) -> io::Result<Counted> {
    let callgrind = |requests| {
        let out = scratch.join(format!("callgrind.{requests}"));
        let flag = format!("--callgrind-out-file={}", out.display());
        run(&["valgrind", "--quiet", "--tool=callgrind", &flag], requests)?;
        Ok::<_, io::Error>(Run::of_callgrind(&fs::read_to_string(out)?))
    };
    let strace = |requests| {
        let out: PathBuf = scratch.join(format!("strace.{requests}"));
        run(&["strace", "--follow-forks", "--output", &out.display().to_string()], requests)?;
        Ok::<_, io::Error>(counts::calls_of_first(&fs::read_to_string(out)?))
    };
    let (short, long) = (callgrind(SHORT)?, callgrind(LONG)?);
    let (few, many) = (strace(SHORT)?, strace(LONG)?);
    let each = |short: u64, long: u64| long.saturating_sub(short) as f64 / (LONG - SHORT) as f64;
    Counted {
        instructions: each(short.instructions, long.instructions),
        allocations: each(short.allocations, long.allocations),
        system_calls: each(few, many),
    }
    .checked()
}

/// Runs a sidecar under a tool, and sends it so many requests.
fn run(tool: &[&str], requests: u64) -> io::Result<()> {
    let upstream = peer::Upstream::start()?;
    let mut sidecar = peer::Sidecar::start(tool, &env::current_exe()?, upstream.port)?;
    peer::ask(sidecar.port, requests)?;
    sidecar.stop()
}
