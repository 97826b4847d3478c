//! Log lines as JSON: an object per line, with the event's fields between level and target.
//!
//! An access log has a line for each request, so lines are put together by hand in memory that each thread keeps, and
//! nothing of what they say goes through the machinery of formatting that is text or a number already.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Writes an event without keeping anything of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Json;

/// Adds fields to a line.
struct Fields<'a>(&'a mut String);

/// Adds text to a line as what may stand between quotes (RFC 8259 section 7).
struct Escaped<'a>(&'a mut String);

/// `2026-11-30T12:00:00`, in bytes.
type Second = [u8; 19];

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    /// The second of the last line, and how it is written.
    static SECOND: Cell<Option<(u64, Second)>> = const { Cell::new(None) };
}

// === impl Json ===

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => {
                line.clear();
                put_event(&mut line, event);
                writer.write_str(&line)
            }
            // A value that logs while it is shown.
            Err(_) => {
                let mut line = String::new();
                put_event(&mut line, event);
                writer.write_str(&line)
            }
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "a line tells when it was written, whatever time the rest goes by")]
fn put_event(line: &mut String, event: &Event<'_>) {
    let about = event.metadata();
    line.push_str("{\"timestamp\":\"");
    put_time(line, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    line.push_str("\",\"level\":\"");
    line.push_str(about.level().as_str());
    line.push('"');
    event.record(&mut Fields(line));
    line.push_str(",\"target\":\"");
    // A path of modules, or a word of ours.
    line.push_str(about.target());
    line.push_str("\"}\n");
}

/// Adds a time since 1970, in UTC (RFC 3339 section 5.6).
fn put_time(line: &mut String, since: Duration) {
    let known = SECOND.get().filter(|(second, _)| *second == since.as_secs());
    let second = known.map_or_else(|| written(since.as_secs()), |(_, second)| second);
    SECOND.set(Some((since.as_secs(), second)));
    line.push_str(str::from_utf8(&second).unwrap_or_default());
    line.push('.');
    let micros = since.subsec_micros();
    for of in [100_000, 10_000, 1000, 100, 10, 1] {
        line.push(digit(micros / of));
    }
    line.push('Z');
}

/// The second after so many others.
fn written(seconds: u64) -> Second {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let text = time.unwrap_or_default().to_string();
    text.as_bytes().first_chunk().copied().unwrap_or([b'0'; 19])
}

/// The last digit of a number.
fn digit(of: u32) -> char {
    char::from(b'0' + (of % 10) as u8)
}

// === impl Fields ===

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }

    fn put(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push_str(value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if !value.is_finite() {
            return self.put(field, "null");
        }
        self.name(field);
        put_number(self.0, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, itoa::Buffer::new().format(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, if value { "true" } else { "false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push('"');
        Escaped(self.0).put(value);
        self.0.push('"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.0.push('"');
        // A value that cannot be shown ends here, and the line goes on.
        let _ = write!(Escaped(self.0), "{value:?}");
        self.0.push('"');
    }
}

/// Adds a number with a point, so that who collects lines sees one kind of number in a field. Shortest for what it is;
/// thousandths, which times in milliseconds are, by whole numbers alone.
fn put_number(line: &mut String, value: f64) {
    let thousandths = (value * 1000.0).round();
    let is_exact = (0.0..1e12).contains(&thousandths) && thousandths / 1000.0 == value && value.is_sign_positive();
    if !is_exact {
        // Writing to a string does not fail.
        let _ = write!(line, "{value:?}");
        return;
    }
    let thousandths = thousandths as u64;
    line.push_str(itoa::Buffer::new().format(thousandths / 1000));
    line.push('.');
    let fraction = (thousandths % 1000) as u32;
    line.push(digit(fraction / 100));
    if !fraction.is_multiple_of(100) {
        line.push(digit(fraction / 10));
    }
    if !fraction.is_multiple_of(10) {
        line.push(digit(fraction));
    }
}

// === impl Escaped ===

impl Escaped<'_> {
    fn put(&mut self, text: &str) {
        // Nearly all text is plain, and without a branch for each byte the processor looks at many at once.
        if text.bytes().fold(true, |plain, byte| plain & (byte > 0x1f) & (byte != b'"') & (byte != b'\\')) {
            return self.0.push_str(text);
        }
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            let short = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0..=0x1f => "",
                _ => continue,
            };
            self.0.push_str(&text[plain..at]);
            match short {
                "" => {
                    let digit = |of: u8| char::from(b"0123456789abcdef"[usize::from(of & 0xf)]);
                    self.0.push_str("\\u00");
                    self.0.extend([digit(byte >> 4), digit(byte)]);
                }
                short => self.0.push_str(short),
            }
            plain = at + 1;
        }
        self.0.push_str(&text[plain..]);
    }
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{put_number, put_time};
    use proptest::prelude::*;
    use std::time::Duration;

    fn number(value: f64) -> String {
        let mut line = String::new();
        put_number(&mut line, value);
        line
    }

    #[test]
    fn times_in_milliseconds_are_written_as_the_numbers_that_they_are() {
        for value in [0.0, -0.0, 0.001, 0.01, 0.1, 1.0, 1.001, 10.01, 99.999, 0.0005, 1e12, 1e300, -1.5, 0.1 + 0.2] {
            assert_eq!(number(value), format!("{value:?}"));
        }
    }

    proptest! {
        #[test]
        fn a_number_is_written_like_any_other(micros in any::<u32>(), any in any::<f64>().prop_filter("one", |any| any.is_finite())) {
            let millis = f64::from(micros) / 1000.0;
            prop_assert_eq!(number(millis), format!("{millis:?}"));
            prop_assert_eq!(number(any), format!("{any:?}"));
        }
    }

    #[test]
    fn a_time_is_written_with_its_second_and_six_places_more() {
        for (since, written) in [
            (Duration::ZERO, "1970-01-01T00:00:00.000000Z"),
            (Duration::new(1_796_040_000, 1_002_003), "2026-11-30T12:00:00.001002Z"),
            (Duration::new(1_796_040_000, 999_999_999), "2026-11-30T12:00:00.999999Z"),
            (Duration::new(1_796_040_001, 0), "2026-11-30T12:00:01.000000Z"),
        ] {
            let mut line = String::new();
            put_time(&mut line, since);
            assert_eq!(line, written);
        }
    }
}
