//! Times as people say them.

use std::fmt;

use super::Timestamp;

/// How long before or after `now` a time is, in its greatest whole unit: "2 minutes ago", "in 6 days", "just now".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ago {
    pub then: Timestamp,
    pub now: Timestamp,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

// === impl Ago ===

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.then.secs().abs_diff(self.now.secs());
        let (count, unit) = match seconds {
            0..MINUTE => return f.write_str("just now"),
            MINUTE..HOUR => (seconds / MINUTE, "minute"),
            HOUR..DAY => (seconds / HOUR, "hour"),
            DAY.. => (seconds / DAY, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        match self.then > self.now {
            true => write!(f, "in {count} {unit}{plural}"),
            false => write!(f, "{count} {unit}{plural} ago"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ago;
    use crate::model::Timestamp;

    fn said(seconds_ago: i64) -> String {
        let now = Timestamp::from_secs(1_795_200_000);
        Ago { then: Timestamp::from_secs(now.secs() - seconds_ago), now }.to_string()
    }

    #[test]
    fn the_past_is_said_in_its_greatest_whole_unit() {
        assert_eq!(said(0), "just now");
        assert_eq!(said(59), "just now");
        assert_eq!(said(60), "1 minute ago");
        assert_eq!(said(150), "2 minutes ago");
        assert_eq!(said(3600), "1 hour ago");
        assert_eq!(said(24 * 3600 - 1), "23 hours ago");
        assert_eq!(said(47 * 86_400), "47 days ago");
    }

    #[test]
    fn the_future_is_said_likewise() {
        assert_eq!(said(-30), "just now");
        assert_eq!(said(-3600), "in 1 hour");
        assert_eq!(said(-6 * 86_400 - 5), "in 6 days");
    }

    #[test]
    fn no_distance_is_too_great() {
        let (then, now) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        assert!(Ago { then, now }.to_string().ends_with(" days ago"));
    }
}
