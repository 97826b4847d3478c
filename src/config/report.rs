//! Collects faults with their places, instead of stopping at the first.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use super::fault::{Fault, Place, Wrong};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

/// Where a value stands: what a fault needs besides words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) place: Place,
    /// Its path, such as `tenants[0].pat`.
    pub(super) key: String,
}

/// A key as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Setting<T> {
    #[default]
    Absent,
    /// Its fault is noted; checks that need the value are left out, so that one mistake is told once.
    Faulty,
    Given(At<T>),
}

/// Whether a key that was not seen is truly absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    Whole,
    /// Broken syntax may have swallowed it.
    Damaged,
}

/// The faults of one reading.
#[derive(Debug)]
pub(super) struct Report<'a> {
    text: &'a str,
    /// The offset at which each line starts.
    lines: Vec<usize>,
    faults: RefCell<Vec<Fault>>,
    /// Lines on which the syntax is broken: what was recovered of them is a guess that deserves no second fault.
    broken: RefCell<BTreeSet<usize>>,
    completeness: Cell<Completeness>,
}

// === impl Spot ===

impl Spot {
    pub(super) fn new(place: Place, key: impl Into<String>) -> Self {
        Self { place, key: key.into() }
    }
}

// === impl Setting ===

impl<T> Setting<T> {
    pub(super) fn given(&self) -> Option<&At<T>> {
        match self {
            Self::Given(at) => Some(at),
            Self::Absent | Self::Faulty => None,
        }
    }

    pub(super) fn into_given(self) -> Option<At<T>> {
        match self {
            Self::Given(at) => Some(at),
            Self::Absent | Self::Faulty => None,
        }
    }

    /// The value; where there is none, `default`. (A faulty one yields no configuration in the end.)
    pub(super) fn or(self, default: T) -> T {
        self.into_given().map_or(default, |at| at.value)
    }

    /// What a check may go by: the value, or `default` where nothing was said; `None` where it is faulty.
    pub(super) fn effective<'s>(&'s self, default: &'s T) -> Option<&'s T> {
        match self {
            Self::Absent => Some(default),
            Self::Faulty => None,
            Self::Given(at) => Some(&at.value),
        }
    }

    /// Lets `over` win where it says anything.
    pub(super) fn overridden_by(&mut self, over: Self) {
        if !matches!(over, Self::Absent) {
            *self = over;
        }
    }
}

// === impl Report ===

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            faults: RefCell::default(),
            broken: RefCell::default(),
            completeness: Cell::new(Completeness::Whole),
        }
    }

    /// The place of a byte offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or(0);
        let column = 1 + self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Place::Line { line, column }
    }

    /// Notes a fault, except where it would only echo one of syntax.
    pub(super) fn fault(&self, spot: &Spot, wrong: Wrong) {
        if let Place::Line { line, .. } = spot.place
            && (self.broken.borrow().contains(&line) || self.is_below_broken_header(line))
        {
            return;
        }
        let Wrong { what, hint } = wrong;
        self.faults.borrow_mut().push(Fault { place: spot.place, key: spot.key.clone(), what, hint });
    }

    /// Notes a fault of syntax at a byte offset; only the first of a line, because the parser stumbles on.
    pub(super) fn broken_syntax(&self, offset: usize, what: &str) {
        self.completeness.set(Completeness::Damaged);
        let place = self.place(offset);
        if let Place::Line { line, .. } = place
            && !self.broken.borrow_mut().insert(line)
        {
            return;
        }
        self.faults.borrow_mut().push(Fault { place, key: String::new(), what: what.to_owned(), hint: None });
    }

    /// Whether the table's header above `line` is broken, so that its keys were taken for another table's.
    fn is_below_broken_header(&self, line: usize) -> bool {
        if self.broken.borrow().is_empty() {
            return false;
        }
        let before = self.text.lines().take(line).map(str::trim_start).enumerate();
        let header = before.filter(|(_, text)| text.starts_with('[')).last();
        header.is_some_and(|(at, _)| self.broken.borrow().contains(&(at + 1)))
    }

    pub(super) fn completeness(&self) -> Completeness {
        self.completeness.get()
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }
}
