//! The arguments.

use std::{path::PathBuf, str::FromStr};

use crate::{
    failure::{Failure, Result},
    scenario::Scenario,
};

const USAGE: &str = "\
Measures what many tenants cost flexslot-proxy.

    --tenants N     tenants in the store; 1000000 if not given
    --warm N        how many of them are in memory when requests are spread over many; 100000 if not given
    --crowd N       tokens that end together; 10000 if not given
    --storm N       requests that find one token ended; 1000 if not given
    --rounds N      rounds of each scenario; 9 if not given
    --quick         few tenants and two rounds: shows that everything works, and measures nothing
    --only NAME     that scenario alone; may be given several times
    --binary FILE   the sidecar; if not given, the one that cargo builds along
    --from FILE     reads the result of an earlier run, and measures nothing
    --markdown      prints the table as docs/performance.md has it

Scenarios: ";

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) counts: Counts,
    pub(crate) extent: Extent,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) binary: PathBuf,
    pub(crate) from: Option<PathBuf>,
    pub(crate) table: Table,
}

/// How many of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) tenants: u32,
    pub(crate) warm: u32,
    pub(crate) crowd: u32,
    pub(crate) storm: u32,
    pub(crate) rounds: usize,
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Full,
    Quick,
}

/// For whom the table is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Terminal,
    Markdown,
}

const FULL: Counts = Counts { tenants: 1_000_000, warm: 100_000, crowd: 10_000, storm: 1000, rounds: 9 };
const QUICK: Counts = Counts { tenants: 20_000, warm: 2000, crowd: 500, storm: 200, rounds: 2 };

/// Tenants that are neither warm nor in the crowd: those that probes ask for, those of the storms, and cold ones.
pub(crate) const OTHERS: u32 = 5000;

// === impl Options ===

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let mut options = Self {
            counts: if quick { QUICK } else { FULL },
            extent: if quick { Extent::Quick } else { Extent::Full },
            scenarios: Vec::new(),
            binary: env!("CARGO_BIN_EXE_flexslot-proxy").into(),
            from: None,
            table: Table::Terminal,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| misused(&format!("{argument} needs a value")));
            match argument.as_str() {
                "--bench" | "--quick" => {} // the first is cargo's own
                "--markdown" => options.table = Table::Markdown,
                "--tenants" => options.counts.tenants = number(argument, value()?)?,
                "--warm" => options.counts.warm = number(argument, value()?)?,
                "--crowd" => options.counts.crowd = number(argument, value()?)?,
                "--storm" => options.counts.storm = number(argument, value()?)?,
                "--rounds" => options.counts.rounds = number(argument, value()?)?,
                "--only" => options.scenarios.push(scenario(value()?)?),
                "--binary" => options.binary = value()?.into(),
                "--from" => options.from = Some(value()?.into()),
                other => return Err(misused(&format!("{other} is no argument"))),
            }
        }
        if options.scenarios.is_empty() {
            options.scenarios = Scenario::ALL.to_vec();
        }
        options.counts.check()?;
        Ok(options)
    }
}

// === impl Counts ===

impl Counts {
    fn check(&self) -> Result<()> {
        let Self { tenants, warm, crowd, storm, rounds } = *self;
        if [warm, crowd, storm].contains(&0) || rounds == 0 {
            return Err(misused("none of nothing can be measured"));
        }
        match u64::from(tenants) >= u64::from(warm.max(crowd)) + u64::from(OTHERS) {
            true => Ok(()),
            false => Err(misused(&format!("{OTHERS} tenants more are needed than are warm, or in the crowd"))),
        }
    }
}

fn number<T: FromStr>(argument: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| misused(&format!("{argument}: {value:?} is no such number")))
}

fn scenario(name: &str) -> Result<Scenario> {
    let found = Scenario::ALL.into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| misused(&format!("{name} is no scenario")))
}

/// The usage is the hint.
fn misused(why: &str) -> Failure {
    Failure::new(why).hint(format!("{USAGE}{}", Scenario::ALL.map(|scenario| scenario.name).join(", ")))
}
