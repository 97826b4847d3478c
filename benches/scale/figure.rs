//! Numbers of rounds, beside numbers of the same rounds.

use serde::{Deserialize, Serialize};

use crate::spread::Spread;

/// One question, answered in each round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The scenario's name; set where the report takes it in.
    #[serde(default)]
    pub(crate) scenario: String,
    pub(crate) measure: String,
    pub(crate) unit: Unit,
    pub(crate) numbers: Numbers,
    pub(crate) beside: Option<Beside>,
}

/// What it is compared with, round with round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Beside {
    pub(crate) what: String,
    pub(crate) numbers: Numbers,
    /// One divided by the other.
    pub(crate) ratio: Option<Spread>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) rounds: Vec<f64>,
    pub(crate) spread: Option<Spread>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Count,
}

// === impl Figure ===

impl Figure {
    pub(crate) fn alone(measure: impl Into<String>, unit: Unit, rounds: Vec<f64>) -> Self {
        Self { scenario: String::new(), measure: measure.into(), unit, numbers: Numbers::new(rounds), beside: None }
    }

    pub(crate) fn beside(self, what: impl Into<String>, rounds: Vec<f64>) -> Self {
        let ratios = self.numbers.rounds.iter().zip(&rounds).map(|(one, other)| one / other);
        // Nothing is a multiple of nothing.
        let ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
        let beside = Beside { what: what.into(), numbers: Numbers::new(rounds), ratio: Spread::of(&ratios) };
        Self { beside: Some(beside), ..self }
    }
}

// === impl Numbers ===

impl Numbers {
    fn new(rounds: Vec<f64>) -> Self {
        Self { spread: Spread::of(&rounds), rounds }
    }

    /// The median, and the quartiles where they are others.
    pub(crate) fn show(&self, unit: Unit) -> String {
        let Some(Spread { median, q1, q3 }) = self.spread else { return "–".into() };
        let [median, q1, q3] = [median, q1, q3].map(|value| unit.show(value));
        if q1 == q3 { median } else { format!("{median} [{q1}, {q3}]") }
    }
}

// === impl Unit ===

impl Unit {
    /// A value for people, in the unit's usual multiple.
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1e-3 => format!("{:.0} µs", value * 1e6),
            Self::Seconds if value < 1.0 => format!("{:.1} ms", value * 1e3),
            Self::Seconds => format!("{value:.1} s"),
            Self::Bytes if value < 1024.0 * 1024.0 => format!("{:.2} KiB", value / 1024.0),
            Self::Bytes => format!("{:.1} MiB", value / (1024.0 * 1024.0)),
            Self::Count => format!("{value:.0}"),
        }
    }
}
