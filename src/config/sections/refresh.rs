//! `[refresh]`: when and how patiently tokens are refreshed.

use std::time::Duration;

use crate::config::{
    fault::Wrong,
    meaning::Resolver,
    reader::{Table, Value},
    report::Setting,
    units,
};

/// `[refresh]`; what each means is said in proxy.toml.example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    pub before_expiry: Duration,
    pub min_interval: Duration,
    pub timeout: Duration,
    pub give_up: Duration,
    /// Always longer than `give_up`.
    pub uncertain_after: Duration,
    pub max_parallel: usize,
    pub spread: Duration,
    /// At most 29 days; `None`: off.
    pub keep_alive: Option<Duration>,
}

/// `[refresh]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    before_expiry: Setting<Duration>,
    min_interval: Setting<Duration>,
    timeout: Setting<Duration>,
    give_up: Setting<Duration>,
    uncertain_after: Setting<Duration>,
    max_parallel: Setting<usize>,
    spread: Setting<Duration>,
    keep_alive: Setting<Duration>,
}

/// A refresh token that nobody uses dies after 30 days; a day of them is for trying again.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(29 * 24 * 3600);

const GIVE_UP: Duration = Duration::from_secs(90);
const UNCERTAIN_AFTER: Duration = Duration::from_secs(120);

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            before_expiry: table.key("before_expiry", units::duration),
            min_interval: table.key("min_interval", units::duration),
            timeout: table.key("timeout", units::positive_duration),
            give_up: table.key("give_up", units::positive_duration),
            uncertain_after: table.key("uncertain_after", units::positive_duration),
            max_parallel: table.key("max_parallel", Value::count),
            spread: table.key("spread", units::duration),
            keep_alive: table.key("keep_alive", keep_alive),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, resolver: &Resolver<'_>) -> Refresh {
        self.check_order(resolver);
        Refresh {
            before_expiry: self.before_expiry.or(Duration::from_secs(5 * 60)),
            min_interval: self.min_interval.or(Duration::from_secs(30)),
            timeout: self.timeout.or(Duration::from_secs(10)),
            give_up: self.give_up.or(GIVE_UP),
            uncertain_after: self.uncertain_after.or(UNCERTAIN_AFTER),
            max_parallel: self.max_parallel.or(32),
            spread: self.spread.or(Duration::ZERO),
            keep_alive: self.keep_alive.into_given().map(|at| at.value),
        }
    }

    /// A grant must not count as uncertain while its token request may still be answered.
    fn check_order(&self, resolver: &Resolver<'_>) {
        let (give_up, uncertain_after) =
            (self.give_up.effective(&GIVE_UP), self.uncertain_after.effective(&UNCERTAIN_AFTER));
        let in_order = give_up.zip(uncertain_after).is_none_or(|(give_up, uncertain_after)| uncertain_after > give_up);
        if in_order || !resolver.is_whole() {
            return;
        }
        if let Some(given) = self.uncertain_after.given() {
            resolver.fault(&given.spot, Wrong::new("must be longer than refresh.give_up"));
        } else if let Some(given) = self.give_up.given() {
            resolver.fault(&given.spot, Wrong::new("must be shorter than refresh.uncertain_after"));
        }
    }
}

fn keep_alive(value: &Value<'_>) -> Option<Duration> {
    value.text("a duration", |text| match units::duration_of(text)? {
        Duration::ZERO => Err(Wrong::new("must be longer than zero").hint("leave it away to keep no idle grant alive")),
        long if long > LONGEST_KEEP_ALIVE => {
            Err(Wrong::new("a refresh token that nobody uses lives for 30 days").hint("write at most \"29d\""))
        }
        period => Ok(period),
    })
}
