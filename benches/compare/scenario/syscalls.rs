//! System calls per request, counted by strace.

use std::{
    fs::{self, File},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{Bench, CONNECTIONS, Stage, plain};
use crate::{
    contenders::{Contender, Kind},
    failure::{Failure, Result, Trying},
    figure::{Compared, Figure, Unit},
    load::{Run, Until},
    measure::family,
    process::{self, Pinned, Process},
    work::Work,
};

const REQUESTS: [usize; 2] = [10_000, 1000];

/// How long strace may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn measure(bench: &mut Bench<'_>, name: &str) -> Result<Vec<Figure>> {
    let mut stage = bench.stage(&plain(&Kind::ALL))?;
    stage.connect(bench, Work::Get, CONNECTIONS)?;
    let mut figures = Vec::new();
    for (at_a_time, measure) in
        [(1, "calls per request, one at a time"), (CONNECTIONS, "calls per request, 64 at a time")]
    {
        let counted = (0..stage.contenders.len()).map(|index| {
            let kind = stage.contenders[index].kind;
            let calls = count(bench, &stage, index, at_a_time).map_err(|failure| failure.within(kind.name()))?;
            Ok((kind, vec![calls]))
        });
        let counted = counted.collect::<Result<_>>()?;
        figures.push(Figure::new(name, measure, Unit::Count, Compared::Ratio, counted));
    }
    stage.leave(&mut bench.load)?;
    Ok(figures)
}

fn count(bench: &mut Bench<'_>, stage: &Stage, index: usize, at_a_time: usize) -> Result<f64> {
    let requests = bench.many(REQUESTS[0], REQUESTS[1]) as u64;
    let dir = bench.empty_dir()?;
    let (table, said) = (dir.path().join("table"), dir.path().join("said"));
    let mut strace = attach(bench, &stage.contenders[index], &table, &said)?;
    let group = stage.groups[index];
    let done = bench.load.run(Run { group, until: Until::Requests(requests), at_a_time, per_second: None });
    strace.signal(Signal::INT);
    if !strace.ends_within(PATIENCE) {
        return Err(Failure::new("strace does not end"));
    }
    let table = fs::read_to_string(&table).trying(|| "the table of strace".into())?;
    Ok(total(&table)? as f64 / done?.answered as f64)
}

/// Returns when strace follows every thread.
fn attach(bench: &Bench<'_>, contender: &Contender, table: &Path, said: &Path) -> Result<Process> {
    let mut command = process::command(&process::find("strace")?)?;
    command.args(["-f", "-c", "-U", "name,calls", "-o"]).arg(table);
    let family = family(contender.process.id());
    command.args(family.iter().map(|process| format!("--attach={process}")));
    command.stderr(File::create(said).trying(|| said.display().to_string())?);
    let mut strace = bench.cores.start(Pinned::Second, &mut command)?;
    let began = Instant::now();
    while fs::read_to_string(said).unwrap_or_default().matches(" attached").count() < family.len() {
        if !strace.runs() || began.elapsed() > PATIENCE {
            let said = process::end_of(said);
            let hint = "as root: sysctl kernel.yama.ptrace_scope=0, or run this as root; or leave it out, with --only";
            return Err(Failure::new(format!("strace cannot attach: {said}")).hint(hint));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(strace)
}

/// The calls in the last line of the table.
fn total(table: &str) -> Result<u64> {
    let line = table.lines().rev().find(|line| line.contains("total"));
    let calls = line.and_then(|line| line.split_ascii_whitespace().find_map(|word| word.parse().ok()));
    calls.ok_or_else(|| Failure::new(format!("no total in the table of strace:\n{table}")))
}
