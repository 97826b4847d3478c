//! What is wrong with a configuration, for people: where, what, and how to mend it.

use std::fmt;

/// Where a setting comes from, in the order in which faults are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// Counted from 1; columns in characters.
    Line { line: usize, column: usize },
    /// A flag such as `--listen`, or an environment variable.
    Override(&'static str),
    /// Nobody said anything.
    Default,
}

/// One thing that is wrong. Holds names, positions and our own words, never a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub place: Place,
    /// The key's path, such as `upstream.url`; empty where no key is involved, as in a fault of syntax.
    pub key: String,
    pub what: String,
    pub hint: Option<String>,
}

/// Everything that is wrong, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file's name as it was given; `None` when there is no file.
    file: Option<String>,
    list: Vec<Fault>,
}

/// What is wrong with one value; the reader adds where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

// === impl Faults ===

impl Faults {
    /// `list` in order; never empty.
    pub(super) fn new(file: Option<String>, mut list: Vec<Fault>) -> Self {
        list.sort();
        list.dedup();
        Self { file, list }
    }

    /// The faults, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.list.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    fn write_one(&self, fault: &Fault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, fault.place) {
            (Some(file), Place::Line { line, .. }) => write!(f, "{file}:{line}: ")?,
            (Some(file), Place::File) => write!(f, "{file}: ")?,
            (_, Place::Override(name)) => write!(f, "{name}: ")?,
            (_, Place::Default) | (None, Place::File | Place::Line { .. }) => {}
        }
        if !fault.key.is_empty() {
            write!(f, "{}: ", fault.key)?;
        }
        f.write_str(&fault.what)?;
        if let Place::Line { column, .. } = fault.place {
            write!(f, " (column {column})")?;
        }
        match &fault.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// One line per fault, its hint on a line of its own; no line end at the end.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.iter().enumerate().try_for_each(|(at, fault)| {
            if at > 0 {
                f.write_str("\n")?;
            }
            self.write_one(fault, f)
        })
    }
}

impl std::error::Error for Faults {}

// === impl Wrong ===

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
