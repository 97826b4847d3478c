//! What clients saw, why, and whether the log says the same.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;

use super::plan::Plan;
use crate::grants::Grants;

/// How long what a restart or a token endpoint did may show in answers.
const AFTERMATH: Duration = Duration::from_secs(20);

/// An answer that a client has got.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) code: Option<String>,
    /// What the sidecar says of an answer of the upstream's.
    pub(super) about: Option<String>,
    pub(super) is_whole: bool,
    /// The id that the client was told.
    pub(super) id: Option<String>,
}

#[derive(Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    good: u64,
    /// Failures with their explanations.
    explained: BTreeMap<String, u64>,
    unexplained: Vec<String>,
    /// Tries that were refused because nobody listened, and such as were made again because a connection had closed.
    refused: u64,
    sent_again: u64,
    /// Every failed answer by its id.
    failed: HashMap<String, Outcome>,
    nameless: u64,
    restart: Restart,
}

#[derive(Debug, Clone, Copy, Default)]
enum Restart {
    #[default]
    Never,
    UnderWay,
    Over(Instant),
}

/// How the clients' account and the log's compare.
#[derive(Debug)]
pub(super) struct Matched {
    unexplained: Vec<String>,
    /// Failures with an id that stand in the log in the same way.
    agreed: usize,
    /// Failures of clients that the log does not have, or has otherwise.
    missing: Vec<String>,
    /// Failures in the log that no client has seen.
    surplus: Vec<String>,
    nameless: u64,
    /// Warnings and errors, by message.
    warnings: BTreeMap<String, u64>,
}

// === impl Ledger ===

impl Ledger {
    /// Notes an answer; false where the request has to be sent again, because the sidecar is going away.
    pub(super) fn note(&self, plan: &Plan, outcome: Outcome, grants: &Grants) -> bool {
        let mut book = self.0.lock();
        let Outcome { status, code, about, is_whole, id } = outcome.clone();
        let is_well = status < 400 && is_whole;
        if !is_well {
            match id {
                Some(id) => drop(book.failed.insert(id, outcome)),
                None => book.nameless += 1,
            }
        }
        if code.as_deref() == Some("draining") && book.restart.is_near() {
            *book.explained.entry("503 `draining`, and sent again".into()).or_default() += 1;
            return false;
        }
        let seen = format!(
            "{status}{}{}",
            code.as_deref().map(|code| format!(" `{code}`")).unwrap_or_default(),
            if is_whole { "" } else { ", broken off" }
        );
        let disturbed = grants.undisturbed_for(&plan.request.tenant) < AFTERMATH;
        let why = match (status, code.as_deref()) {
            _ if plan.is_ordered(status, code.as_deref(), is_whole) => {
                if is_well {
                    book.good += 1;
                    return true;
                }
                format!("ordered: {}", plan.order)
            }
            (503, Some("refresh_unavailable")) if disturbed => "the token endpoint had failed".to_owned(),
            (401, None) if disturbed => match about.as_deref() {
                Some(about) => format!("the token had just been refused, and `{about}`"),
                None => "the token had just been refused".to_owned(),
            },
            _ => return self.strange(&mut book, plan, &seen),
        };
        *book.explained.entry(format!("{seen} ({why})")).or_default() += 1;
        true
    }

    fn strange(&self, book: &mut Book, plan: &Plan, seen: &str) -> bool {
        let what =
            format!("request {} ({:?}, {:?}, {}): {seen}", plan.number, plan.way, plan.order, plan.request.tenant);
        println!("UNEXPLAINED {what}");
        book.unexplained.push(what);
        true
    }

    pub(super) fn unexplained(&self, plan: &Plan, seen: &str) {
        self.strange(&mut self.0.lock(), plan, seen);
    }

    /// Whether it is no wonder that nobody listens.
    pub(super) fn refused(&self) -> bool {
        let mut book = self.0.lock();
        book.refused += 1;
        book.restart.is_near()
    }

    /// A kept connection was closed before its answer: whoever keeps connections sends again.
    pub(super) fn sent_again(&self) -> bool {
        let mut book = self.0.lock();
        book.sent_again += 1;
        book.restart.is_near()
    }

    pub(super) fn restarting(&self, under_way: bool) {
        let restart = if under_way { Restart::UnderWay } else { Restart::Over(Instant::now()) };
        self.0.lock().restart = restart;
    }

    /// Requests that have an outcome.
    pub(super) fn total(&self) -> u64 {
        let book = self.0.lock();
        let explained = book.explained.iter().filter(|(what, _)| !what.contains("sent again"));
        book.good + explained.map(|(_, count)| count).sum::<u64>() + book.unexplained.len() as u64
    }

    pub(super) fn failures(&self) -> (u64, usize) {
        let book = self.0.lock();
        (book.explained.values().sum(), book.unexplained.len())
    }

    /// Compares with the lines of the log that tell of something else than success.
    pub(super) fn compare(&self, lines: &[Value]) -> Matched {
        let mut book = self.0.lock();
        let mut matched = Matched {
            unexplained: std::mem::take(&mut book.unexplained),
            agreed: 0,
            missing: Vec::new(),
            surplus: Vec::new(),
            nameless: book.nameless,
            warnings: BTreeMap::new(),
        };
        for line in lines {
            if line["target"] != "access" {
                let message = line["message"].as_str().unwrap_or("a line that is no JSON");
                if line["level"] != "INFO" {
                    *matched.warnings.entry(format!("{} {message}", line["level"])).or_default() += 1;
                }
                continue;
            }
            let id = line["request_id"].as_str().unwrap_or_default();
            match book.failed.remove(id) {
                Some(outcome) if outcome.is_told_by(line) => matched.agreed += 1,
                Some(outcome) => matched.missing.push(format!("{outcome:?}, and the log says {line}")),
                None => matched.surplus.push(line.to_string()),
            }
        }
        matched.missing.extend(book.failed.values().map(|outcome| format!("{outcome:?}")));
        matched
    }
}

// === impl Outcome ===

impl Outcome {
    fn is_told_by(&self, line: &Value) -> bool {
        line["status"] == self.status
            && line["complete"] == self.is_whole
            && line["problem"].as_str() == self.code.as_deref()
    }
}

// === impl Restart ===

impl Restart {
    fn is_near(self) -> bool {
        match self {
            Self::Never => false,
            Self::UnderWay => true,
            Self::Over(at) => at.elapsed() < Duration::from_secs(5),
        }
    }
}

// === impl Matched ===

impl Matched {
    /// What must not be.
    pub(super) fn faults(&self) -> Vec<String> {
        let all = [
            ("unexplained", &self.unexplained),
            ("not in the log as the client saw it", &self.missing),
            ("in the log, and seen by no client", &self.surplus),
        ];
        let found = all.into_iter().filter(|(_, what)| !what.is_empty());
        found.map(|(name, what)| format!("{} {name}, such as {}", what.len(), what[0])).collect()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.0.lock();
        writeln!(f, "{} as they should be", book.good)?;
        for (what, count) in &book.explained {
            writeln!(f, "{count} × {what}")?;
        }
        write!(f, "{} unexplained; ", book.unexplained.len())?;
        write!(f, "{} tries refused between stop and start, {} sent again", book.refused, book.sent_again)
    }
}

impl fmt::Display for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, missing, surplus, nameless, warnings, .. } = self;
        write!(f, "in the log as the client saw them: {agreed}; otherwise or not at all: {}; ", missing.len())?;
        write!(f, "in the log alone: {}; failures without an id: {nameless}", surplus.len())?;
        warnings.iter().try_for_each(|(what, count)| write!(f, "\n{count} × {what}"))
    }
}
