//! What a run has found: kept as JSON, printed as a table.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    contenders::Kind,
    failure::{Result, Trying},
    figure::{Compared, Entry, Figure, Unit},
    machine::Machine,
    options::{Extent, Options, Table},
    spread::Spread,
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// When it began.
    pub(crate) date: String,
    machine: Machine,
    versions: BTreeMap<String, String>,
    rounds: usize,
    seconds: f64,
    /// Whether this only shows that everything works.
    pub(crate) quick: bool,
    pub(crate) figures: Vec<Figure>,
}

/// How an entry is compared.
type Spreads = fn(&Entry) -> Option<Spread>;

/// A proxy that did not use its core for so much of the time was not at its limit.
const SATURATED: f64 = 0.9;

// === impl Report ===

impl Report {
    /// One without figures yet.
    pub(crate) fn begin(options: &Options) -> Result<Self> {
        let versions = Kind::PROXIES.map(|kind| Ok((kind.name().to_owned(), kind.version(&options.binary)?)));
        Ok(Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: Machine::look(),
            versions: versions.into_iter().collect::<Result<_>>()?,
            rounds: options.rounds,
            seconds: options.seconds,
            quick: options.extent == Extent::Quick,
            figures: Vec::new(),
        })
    }

    /// All figures are there.
    pub(crate) fn end(&mut self) {
        self.machine.end();
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).trying(|| path.display().to_string())?;
        serde_json::from_str(&text).trying(|| format!("{} is no result", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let what = || path.display().to_string();
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).trying(what)?;
        fs::write(path, serde_json::to_string_pretty(self).trying(what)?).trying(what)
    }

    pub(crate) fn table(&self, table: Table) -> String {
        let head = ["work", "figure"].into_iter().chain(Kind::ALL.map(Kind::name)).map(str::to_owned).collect();
        let mut rows: Vec<Vec<String>> = vec![head];
        rows.extend(self.figures.iter().flat_map(rows_of));
        let table = match table {
            Table::Terminal => aligned(&rows),
            Table::Markdown => markdown(&rows),
        };
        format!("{}\n\n{table}{}", self.heading(), self.remarks())
    }

    fn heading(&self) -> String {
        let Self { date, machine, rounds, seconds, .. } = self;
        let versions: Vec<&str> = self.versions.values().map(String::as_str).collect();
        let warning = if self.quick { "A quick run, which measures nothing. " } else { "" };
        format!("{warning}{date}, {machine}; {rounds} rounds, slices of {seconds} s.\n{}.", versions.join("; "),)
    }

    /// Which of those that should have used all of their core did not. The upstream, or the load, was at its limit first.
    fn remarks(&self) -> String {
        let idle = self.figures.iter().flat_map(|figure| {
            let idle =
                figure.entries.iter().filter_map(|entry| Some((entry, entry.busy.filter(|busy| *busy < SATURATED)?)));
            idle.map(|(entry, busy)| format!("{} {} {:.0} %", figure.scenario, entry.contender.name(), busy * 100.0))
        });
        match idle.collect::<Vec<_>>() {
            idle if idle.is_empty() => String::new(),
            idle => format!("\nDid not use all of their core: {}.\n", idle.join(", ")),
        }
    }
}

// === rows ===

/// A figure's row; where CPU time is compared with that of the byte relay too, a second one.
fn rows_of(figure: &Figure) -> Vec<Vec<String>> {
    let (to_nginx, to_relay): (Spreads, Spreads) = (|entry| entry.to_nginx, |entry| entry.to_relay);
    let with_relay = figure.entry(Kind::Relay).is_some() && figure.unit == Unit::Seconds;
    match figure.compared {
        Compared::Ratio if with_relay => vec![row(figure, ", × nginx", to_nginx), row(figure, ", × relay", to_relay)],
        Compared::Ratio => vec![row(figure, ", × nginx", to_nginx)],
        Compared::Difference => vec![row(figure, ", beyond the relay", to_relay)],
        Compared::Alone => vec![row(figure, "", |_| None)],
    }
}

fn row(figure: &Figure, compared: &str, spread: Spreads) -> Vec<String> {
    let cell = |kind| {
        let Some(entry) = figure.entry(kind) else { return "–".to_owned() };
        let own = figure.unit.show(entry.median);
        match (figure.compared, spread(entry)) {
            (_, None) => own,
            (Compared::Difference, Some(Spread { median, q1, q3 })) => {
                let [median, q1, q3] = [median, q1, q3].map(|value| figure.unit.show(value));
                format!("{median} [{q1}, {q3}]; {own}")
            }
            (_, Some(Spread { median, q1, q3 })) if q1 == q3 => format!("{median:.2}; {own}"),
            (_, Some(Spread { median, q1, q3 })) => format!("{median:.2} [{q1:.2}, {q3:.2}]; {own}"),
        }
    };
    let names = [figure.scenario.clone(), format!("{}{compared}", figure.measure)];
    names.into_iter().chain(Kind::ALL.map(cell)).collect()
}

fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column).unwrap_or(0)));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn markdown(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if number == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    text
}
