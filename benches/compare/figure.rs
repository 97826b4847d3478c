//! Numbers of rounds, and what they say together.

use serde::{Deserialize, Serialize};

use crate::{contenders::Kind, spread::Spread};

/// One question, answered for each contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) scenario: String,
    pub(crate) measure: String,
    pub(crate) unit: Unit,
    pub(crate) compared: Compared,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) contender: Kind,
    /// One number for each round.
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
    /// Compared with nginx in the same round.
    pub(crate) to_nginx: Option<Spread>,
    /// Compared with the byte relay in the same round.
    pub(crate) to_relay: Option<Spread>,
    /// The part of the time in which the proxy's core worked for it, where that should be all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) busy: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    /// A number of things.
    Count,
}

/// How numbers of the same round are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compared {
    /// One divided by the other.
    Ratio,
    /// One less the other.
    Difference,
    /// Not at all.
    Alone,
}

// === impl Figure ===

impl Figure {
    pub(crate) fn new(
        scenario: &str,
        measure: &str,
        unit: Unit,
        compared: Compared,
        samples: Vec<(Kind, Vec<f64>)>,
    ) -> Self {
        let of = |wanted: Kind| samples.iter().find(|(kind, _)| *kind == wanted).map(|(_, rounds)| rounds.clone());
        let (nginx, relay) = (of(Kind::Nginx), of(Kind::Relay));
        let entries = samples.into_iter().map(|(contender, rounds)| Entry {
            contender,
            median: Spread::of(&rounds).map_or(f64::NAN, |spread| spread.median),
            to_nginx: compared.pairs(&rounds, nginx.as_deref()),
            to_relay: compared.pairs(&rounds, relay.as_deref()),
            rounds,
            busy: None,
        });
        let entries = entries.collect();
        Self { scenario: scenario.into(), measure: measure.into(), unit, compared, entries }
    }

    pub(crate) fn entry(&self, kind: Kind) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.contender == kind)
    }

    /// Keeps how much of its core each contender used.
    pub(crate) fn note_busy(&mut self, samples: &[(Kind, Vec<f64>)]) {
        for (entry, (_, rounds)) in self.entries.iter_mut().zip(samples) {
            entry.busy = Spread::of(rounds).map(|spread| spread.median);
        }
    }
}

// === impl Compared ===

impl Compared {
    /// Compares round with round.
    fn pairs(self, rounds: &[f64], with: Option<&[f64]>) -> Option<Spread> {
        let pairs = rounds.iter().zip(with?);
        let mut compared: Vec<f64> = match self {
            Self::Ratio => pairs.map(|(one, other)| one / other).collect(),
            Self::Difference => pairs.map(|(one, other)| one - other).collect(),
            Self::Alone => return None,
        };
        compared.retain(|number| number.is_finite()); // nothing is a multiple of nothing
        Spread::of(&compared)
    }
}

// === impl Unit ===

impl Unit {
    /// A value for people, in the unit's usual multiple.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value.abs() < 1e-3 => format!("{:.1} µs", value * 1e6),
            Self::Seconds => format!("{:.1} ms", value * 1e3),
            Self::Bytes if value.abs() < 1024.0 * 1024.0 => format!("{:.1} KiB", value / 1024.0),
            Self::Bytes => format!("{:.1} MiB", value / (1024.0 * 1024.0)),
            Self::Count => format!("{value:.2}"),
        }
    }
}
