//! Durations and sizes.

use std::time::Duration;

use super::{fault::Wrong, reader::Value};

/// No setting is meant to be longer, and sums of such durations cannot overflow a clock.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);

/// Milliseconds per unit.
const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Bytes per unit.
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A duration that may be zero.
pub(super) fn duration(value: &Value<'_>) -> Option<Duration> {
    value.text("a duration", duration_of)
}

/// A duration for something that needs time.
pub(super) fn positive_duration(value: &Value<'_>) -> Option<Duration> {
    value.text("a duration", |text| match duration_of(text)? {
        Duration::ZERO => Err(Wrong::new("must be longer than zero")),
        duration => Ok(duration),
    })
}

/// A size in bytes.
pub(super) fn size(value: &Value<'_>) -> Option<u64> {
    value.text("a size", parse_size)
}

/// A size in bytes that fits into memory.
pub(super) fn memory_size(value: &Value<'_>) -> Option<usize> {
    value.text("a size", |text| {
        usize::try_from(parse_size(text)?).map_err(|_| Wrong::new("larger than this machine's memory can be"))
    })
}

/// A duration as the file and the flags write it, such as "500ms" or "5m"; what is wrong with it otherwise.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration_of(text).map_err(|Wrong { what, hint }| match hint {
        Some(hint) => format!("{what}; {hint}"),
        None => what,
    })
}

pub(super) fn duration_of(text: &str) -> Result<Duration, Wrong> {
    let not_one =
        || Wrong::new("not a duration").hint("write a whole number and ms, s, m, h or d, such as \"90s\" or \"5m\"");
    let millis = number_with_unit(text, &TIMES).ok_or_else(not_one)?;
    match millis.map(Duration::from_millis) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err(Wrong::new("longer than ten years")),
    }
}

fn parse_size(text: &str) -> Result<u64, Wrong> {
    let not_one = || Wrong::new("not a size").hint("write a whole number and B, KiB, MiB or GiB, such as \"64KiB\"");
    number_with_unit(text, &SIZES).ok_or_else(not_one)?.ok_or_else(|| Wrong::new("larger than any memory"))
}

/// `None`: not a number with one of `units`. `Some(None)`: too large a number.
fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<Option<u64>> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let &(_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    Some(number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)))
}

#[cfg(test)]
mod tests {
    use super::{duration_of, parse_size};
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        for (text, millis) in
            [("500ms", 500), ("5s", 5000), ("5m", 300_000), ("2h", 7_200_000), ("30d", 2_592_000_000), ("0s", 0)]
        {
            assert_eq!(duration_of(text).ok(), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-5s", "1.5s", "5 s", "5S", "1m30s", "5sec", "３s"] {
            assert!(duration_of(text).is_err_and(|wrong| wrong.what == "not a duration"), "{text}");
        }
        for text in ["3651d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration_of(text).is_err_and(|wrong| wrong.what == "longer than ten years"), "{text}");
        }
    }

    #[test]
    fn sizes_are_counted_in_powers_of_two() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1_048_576), ("2GiB", 2_147_483_648)]
        {
            assert_eq!(parse_size(text).ok(), Some(bytes), "{text}");
        }
        for text in ["64", "64KB", "64kib", "10MB", "1 MiB", "1.5MiB"] {
            assert!(parse_size(text).is_err_and(|wrong| wrong.hint.is_some()), "{text}");
        }
        assert!(parse_size("18446744073709551615GiB").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,20}") {
            let _ = (duration_of(&text), parse_size(&text));
        }
    }
}
