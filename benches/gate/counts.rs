//! Reads what the tools have counted, and compares.

use std::{collections::HashMap, io};

use serde_json::{Value, json};

/// What one request costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Counted {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
    pub(crate) system_calls: f64,
}

/// What one run has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) instructions: u64,
    pub(crate) allocations: u64,
}

/// The functions of the C library that give memory.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "memalign", "posix_memalign"];

// === impl Run ===

impl Run {
    /// From the file that callgrind writes. A function is named once, `(7) malloc`, and by its number from there on; a
    /// call is a `cfn=` line and a `calls=` line after it.
    pub(crate) fn of_callgrind(text: &str) -> Self {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let (mut instructions, mut allocations, mut called) = (0, 0, "");
        for line in text.lines() {
            if let Some(total) = line.strip_prefix("totals: ") {
                instructions = total.trim().parse().unwrap_or(0);
            }
            let function = ["fn=", "cfn="].iter().find_map(|mark| line.strip_prefix(mark));
            if let Some((number, name)) = function.map(|function| function.split_once(' ').unwrap_or((function, ""))) {
                if !name.is_empty() {
                    names.insert(number, name);
                }
                if line.starts_with("cfn=") {
                    called = names.get(number).copied().unwrap_or_default();
                }
            }
            if let Some(calls) = line.strip_prefix("calls=") {
                let calls: u64 = calls.split(' ').next().and_then(|calls| calls.parse().ok()).unwrap_or(0);
                let plain = called.split(['\'', '@']).next().unwrap_or_default();
                allocations += if ALLOCATORS.contains(&plain) { calls } else { 0 };
            }
        }
        Self { instructions, allocations }
    }
}

/// How many system calls the first thread has made, by the lines of `strace -f`: its number, and the call.
pub(crate) fn calls_of_first(text: &str) -> u64 {
    let thread = |line: &str| line.split(' ').next().map(str::to_owned);
    let first = text.lines().next().and_then(thread);
    let is_call = |line: &&str| !line.contains("resumed>") && !line.contains("+++") && !line.contains("---");
    text.lines().filter(is_call).filter(|line| thread(line) == first).count() as u64
}

// === impl Counted ===

impl Counted {
    fn all(&self) -> [(&'static str, f64); 3] {
        [("instructions", self.instructions), ("allocations", self.allocations), ("system calls", self.system_calls)]
    }

    pub(crate) fn json(&self) -> String {
        let round = |number: f64| (number * 100.0).round() / 100.0;
        let document = json!({
            "instructions": self.instructions.round(),
            "allocations": round(self.allocations),
            "system_calls": round(self.system_calls),
        });
        format!("{document:#}\n")
    }

    pub(crate) fn read(text: &str) -> io::Result<Self> {
        let document: Value = serde_json::from_str(text)?;
        let number = |name: &str| {
            document[name].as_f64().ok_or_else(|| io::Error::other(format!("accepted.json has no number {name:?}")))
        };
        let read = Self {
            instructions: number("instructions")?,
            allocations: number("allocations")?,
            system_calls: number("system_calls")?,
        };
        read.checked()
    }

    /// Itself, if there is something of each: a count of nothing was not counted.
    pub(crate) fn checked(self) -> io::Result<Self> {
        match self.all().into_iter().find(|(_, count)| *count <= 0.0) {
            Some((what, _)) => Err(io::Error::other(format!("no {what} were counted"))),
            None => Ok(self),
        }
    }

    pub(crate) fn table(&self, accepted: Option<&Self>) -> String {
        let mut table = format!("{:<24}{:>12}{:>12}\n", "per request", "now", "accepted");
        let before = accepted.map(Self::all);
        for (at, (what, now)) in self.all().into_iter().enumerate() {
            let before = before.map_or_else(|| "-".to_owned(), |before| format!("{:.2}", before[at].1));
            table.push_str(&format!("{what:<24}{now:>12.2}{before:>12}\n"));
        }
        table
    }

    /// What has risen by more than `tolerance` percent, as lines for people.
    pub(crate) fn risen(&self, accepted: &Self, tolerance: f64) -> Vec<String> {
        let pairs = self.all().into_iter().zip(accepted.all());
        let risen = pairs.filter_map(|((what, now), (_, before))| {
            let rise = (now / before - 1.0) * 100.0;
            (rise > tolerance).then(|| format!("{what} per request rose by {rise:.1} %, from {before:.2} to {now:.2}"))
        });
        risen.collect()
    }
}
