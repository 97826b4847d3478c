//! From text to tables. Broken syntax is noted with its place, and what can be recovered is read on.

use toml::{
    Spanned,
    de::{DeTable, Error},
};

use super::report::Report;

/// So many of the errors for which the parser names no place are told at once; each costs more readings of the file.
const MAX_UNPLACED: usize = 8;

/// The tables of `text`, as far as they can be read.
pub(super) fn parse<'t>(text: &'t str, report: &Report<'_>) -> Spanned<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let (placed, unplaced): (Vec<_>, Vec<_>) = errors.iter().partition(|error| error.span().is_some());
    for error in placed {
        report.broken_syntax(error.span().map_or(0, |span| span.start), error.message());
    }
    for (at, error) in unplaced.iter().enumerate().take(MAX_UNPLACED) {
        let what = match error.message() {
            "recursion limit" => "a key has more parts than can be read",
            other => other,
        };
        report.broken_syntax(find_unplaced(text, at + 1), what);
    }
    table
}

/// Where the parser stumbles for the `nth` time, counted from 1, without saying where: at the beginning of the line
/// with which that many such errors are there.
fn find_unplaced(text: &str, nth: usize) -> usize {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).chain([text.len()]).collect();
    let lines_before = ends.partition_point(|&end| count_unplaced(&text[..end]) < nth);
    let start = lines_before.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
    start + text[start..].bytes().take_while(|byte| b" \t".contains(byte)).count()
}

fn count_unplaced(text: &str) -> usize {
    let (_, errors) = DeTable::parse_recoverable(text);
    errors.iter().map(Error::span).filter(Option::is_none).count()
}
