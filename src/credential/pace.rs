//! What keeps the renewals of one tenant apart.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    failure::{Failure, FailureClass},
    flight::Cause,
    schedule,
};
use crate::model::{Random, Version, trace::step::HeldBack};

/// What is remembered of earlier renewals, so that they do not come too often.
#[derive(Default)]
pub(super) struct Pace {
    /// After a failure: when the next try may be.
    pub(super) backoff: Option<Backoff>,
    /// The version whose expiry was let through within `min_interval`.
    pub(super) early_expiry: Option<Version>,
    pub(super) uncured: Option<Uncured>,
    /// The version that a 401 was the cause of.
    answer_to_401: Option<Version>,
}

/// Failed tries in a row.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    pub(super) failures: u32,
    pub(super) until: Instant,
    pub(super) last: Failure,
}

/// Renewals because of a 401 that did not cure it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uncured {
    pub(super) times: u32,
    pub(super) until: Instant,
    /// The version that was refused though it was new.
    pub(super) version: Version,
    /// Flexslot has taken that version, or a later one, since.
    pub(super) taken: bool,
}

/// Why no renewal may start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotNow {
    /// The last token answer is younger than `min_interval`.
    TooSoon,
    /// Many are due, and this one's turn comes later.
    NotItsTurn,
    /// The process ends, and the token still serves.
    Draining,
    /// The last renewals because of a 401 did not cure it.
    Uncured,
    /// A try has failed, this one or one before it after which the next has to wait.
    Failed(Failure),
}

// === impl Pace ===

impl Pace {
    /// Failures that may be the configuration's fault are forgotten; that Flexslot asked for patience is not.
    pub(super) fn configuration_changed(&mut self) {
        self.backoff.take_if(|backoff| backoff.last.class != FailureClass::Refused);
    }

    /// Notes that `version` is there because its predecessor was refused.
    pub(super) fn renewed_after_401(&mut self, version: Version) {
        self.answer_to_401 = Some(version);
    }

    /// Whether `version` is there because its predecessor was refused, and has still to show that this helped.
    pub(super) fn answers_401(&self, version: Version) -> bool {
        self.answer_to_401 == Some(version)
    }

    /// Flexslot took `version`.
    pub(super) fn taken(&mut self, version: Version) {
        if self.answers_401(version) {
            self.cured();
        } else if let Some(uncured) = self.uncured.as_mut().filter(|uncured| version >= uncured.version) {
            // That it is taken for one request does not mean that the next refresh would help the other.
            uncured.taken = true;
        }
    }

    /// Whether, as far as is known, Flexslot refuses tokens that are new.
    pub(super) fn is_refused_anew(&self) -> bool {
        self.uncured.is_some_and(|uncured| !uncured.taken)
    }

    pub(super) fn cured(&mut self) {
        self.answer_to_401 = None;
        self.uncured = None;
    }

    /// Notes that `version` was refused though it was new; once, however many requests say so.
    pub(super) fn not_cured(&mut self, version: Version) {
        if self.uncured.is_none_or(|uncured| uncured.version != version) {
            self.uncured = Some(Uncured::after(self.uncured, version));
        }
    }

    /// Whether anything is remembered that may still keep a renewal back.
    pub(super) fn holds_back(&self, now: Instant) -> bool {
        self.backoff.as_ref().is_some_and(|backoff| now < backoff.until)
            || self.uncured.is_some_and(|uncured| now < uncured.until)
            || self.answer_to_401.is_some()
    }

    /// What speaks against renewing `version` now, whose token answer came `age` ago (`None`: nobody knows when).
    pub(super) fn held_back(
        &self,
        version: Version,
        cause: Cause,
        age: Option<Duration>,
        min_interval: Duration,
    ) -> Option<NotNow> {
        let now = Instant::now();
        let first_expiry = cause == Cause::Expired && self.early_expiry != Some(version);
        if schedule::is_too_new(age, min_interval) && !first_expiry {
            return Some(NotNow::TooSoon);
        }
        if cause == Cause::Refused && self.uncured.is_some_and(|uncured| now < uncured.until) {
            return Some(NotNow::Uncured);
        }
        let backoff = self.backoff.as_ref().filter(|backoff| now < backoff.until)?;
        if backoff.last.class == FailureClass::Deferred && cause != Cause::Ageing {
            return None;
        }
        Some(NotNow::Failed(backoff.last.clone().retry_in(backoff.until - now)))
    }
}

// === impl NotNow ===

impl NotNow {
    /// As a trace has it.
    pub(super) const fn held_back(&self) -> HeldBack {
        match self {
            Self::TooSoon => HeldBack::TooSoon,
            Self::NotItsTurn => HeldBack::NotItsTurn,
            Self::Draining => HeldBack::Draining,
            Self::Uncured => HeldBack::Uncured,
            Self::Failed(failure) => HeldBack::Failed(failure.class),
        }
    }

    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::TooSoon | Self::NotItsTurn | Self::Draining | Self::Uncured => {
                Failure::new(FailureClass::Refused, "the last refresh was moments ago")
            }
        }
    }
}

// === impl Backoff ===

impl Backoff {
    /// The wait after one more failure.
    pub(super) fn after(before: Option<Self>, failure: Failure, random: &Random) -> Self {
        let failures = before.map_or(0, |backoff| backoff.failures).saturating_add(1);
        let wait = schedule::backoff(failures, failure.retry_after, random);
        Self { failures, until: Instant::now() + wait, last: failure }
    }
}

// === impl Uncured ===

impl Uncured {
    /// The next renewal because of a 401 waits a minute, doubling to an hour.
    fn after(before: Option<Self>, version: Version) -> Self {
        let times = before.map_or(0, |uncured| uncured.times).saturating_add(1);
        let wait = Duration::from_secs(60 << times.saturating_sub(1).min(6)).min(Duration::from_secs(3600));
        Self { times, until: Instant::now() + wait, version, taken: false }
    }
}
