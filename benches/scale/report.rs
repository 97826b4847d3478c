//! What a run has found: kept as JSON, printed as a table.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

use crate::{
    failure::{Result, Trying},
    figure::Figure,
    machine::Machine,
    options::{Extent, Options, Table},
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// When it began.
    date: String,
    machine: Machine,
    version: String,
    tenants: u32,
    rounds: usize,
    /// Whether this only shows that everything works.
    quick: bool,
    figures: Vec<Figure>,
}

// === impl Report ===

impl Report {
    /// One without figures yet.
    pub(crate) fn begin(options: &Options) -> Result<Self> {
        let version = Command::new(&options.binary).arg("--version").output();
        let version = version.trying(|| options.binary.display().to_string())?.stdout;
        Ok(Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: Machine::look(),
            version: String::from_utf8_lossy(&version).trim().to_owned(),
            tenants: options.counts.tenants,
            rounds: options.counts.rounds,
            quick: options.extent == Extent::Quick,
            figures: Vec::new(),
        })
    }

    pub(crate) fn add(&mut self, scenario: &str, figures: Vec<Figure>) {
        self.figures.extend(figures.into_iter().map(|figure| Figure { scenario: scenario.to_owned(), ..figure }));
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
        let head = ["scenario", "figure", "", "beside", "ratio"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(self.figures.iter().map(row)).collect();
        let table = match table {
            Table::Terminal => aligned(&rows),
            Table::Markdown => markdown(&rows),
        };
        format!("{}\n\n{table}", self.heading())
    }

    fn heading(&self) -> String {
        let Self { date, machine, version, tenants, rounds, .. } = self;
        let warning = if self.quick { "A quick run, which measures nothing. " } else { "" };
        format!("{warning}{date}, {machine}; {tenants} tenants in the store, {rounds} rounds.\n{version}.")
    }
}

fn row(figure: &Figure) -> [String; 5] {
    let Figure { scenario, measure, unit, numbers, beside } = figure;
    let (beside, ratio) = match beside {
        None => ("–".to_owned(), "–".to_owned()),
        Some(beside) => {
            let ratio = beside.ratio.map(|ratio| format!("{:.2} [{:.2}, {:.2}]", ratio.median, ratio.q1, ratio.q3));
            (format!("{}: {}", beside.what, beside.numbers.show(*unit)), ratio.unwrap_or_else(|| "–".to_owned()))
        }
    };
    [scenario.clone(), measure.clone(), numbers.show(*unit), beside, ratio]
}

fn aligned(rows: &[[String; 5]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}", width(column)));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn markdown(rows: &[[String; 5]]) -> String {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if number == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    text
}
