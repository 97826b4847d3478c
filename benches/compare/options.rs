//! The arguments.

use std::{path::PathBuf, str::FromStr};

use crate::{
    failure::{Failure, Result},
    scenario::Scenario,
};

pub(crate) const USAGE: &str = "\
Compares what a request costs behind flexslot-proxy, nginx, haproxy and a byte relay.

    --rounds N      rounds of each scenario; 15 if not given
    --seconds S     how long one proxy's slice of a round is; 1 if not given
    --quick         two short rounds of everything: shows that it works, and measures nothing
    --only NAME     that scenario alone; may be given several times
    --binary FILE   the sidecar; if not given, the one that cargo builds along
    --from FILE     reads the result of an earlier run, and measures nothing
    --markdown      prints the table as docs/performance.md has it
    --chart FILE    draws the chart, as SVG

Scenarios: ";

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) extent: Extent,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) binary: PathBuf,
    pub(crate) from: Option<PathBuf>,
    pub(crate) table: Table,
    pub(crate) chart: Option<PathBuf>,
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

// === impl Options ===

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            rounds: 15,
            seconds: 1.0,
            extent: Extent::Full,
            scenarios: Vec::new(),
            binary: env!("CARGO_BIN_EXE_flexslot-proxy").into(),
            from: None,
            table: Table::Terminal,
            chart: None,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| misused(&format!("{argument} needs a value")));
            match argument.as_str() {
                "--bench" => {} // cargo's own
                "--quick" => (options.extent, options.rounds, options.seconds) = (Extent::Quick, 2, 0.3),
                "--markdown" => options.table = Table::Markdown,
                "--rounds" => options.rounds = number(argument, value()?)?,
                "--seconds" => options.seconds = number(argument, value()?)?,
                "--only" => options.scenarios.push(scenario(value()?)?),
                "--binary" => options.binary = value()?.into(),
                "--from" => options.from = Some(value()?.into()),
                "--chart" => options.chart = Some(value()?.into()),
                other => return Err(misused(&format!("{other} is no argument"))),
            }
        }
        if options.scenarios.is_empty() {
            options.scenarios = Scenario::ALL.to_vec();
        }
        match options.rounds > 0 && options.seconds > 0.0 && options.seconds <= 60.0 {
            true => Ok(options),
            false => Err(misused("at least one round, of at most 60 seconds")),
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
