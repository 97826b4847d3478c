//! `/exports/{deck}.pdf|.docx|.xlsx`: a binary download of `?size=` bytes, with ranges and conditions (RFC 9110
//! sections 13 and 14).

use std::ops::Range;

use http::{HeaderName, StatusCode, header};
use http_body_util::BodyExt;

use super::{Caller, is_read, pattern::Pattern};
use crate::sandbox::{
    answer::{self, Answer, AnswerExt},
    call::Call,
    params::Params,
};

const DEFAULT_SIZE: u64 = 64 << 10;
const MAX_SIZE: u64 = 64 << 20;

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    Part(Range<u64>),
    Unsatisfiable,
}

pub(super) fn handle(call: &Call, caller: &Caller, file: &str) -> Answer {
    let Some((id, extension)) = file.rsplit_once('.') else { return answer::not_found() };
    let content_type = match extension {
        "pdf" => "application/pdf",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => return answer::not_found(),
    };
    if !caller.user.shelf.lock().decks.contains_key(id) {
        return answer::not_found();
    }
    if !is_read(&call.method) {
        return answer::method_not_allowed("GET, HEAD");
    }
    let size = Params::parse(&call.query).unwrap_or_default().number("size").unwrap_or(DEFAULT_SIZE).min(MAX_SIZE);
    let etag = format!("\"{id}-{size}\"");
    if field(call, header::IF_NONE_MATCH).is_some_and(|list| matches_any(list, &etag)) {
        return answer::empty(StatusCode::NOT_MODIFIED).with(header::ETAG, &etag);
    }
    let fresh = field(call, header::IF_RANGE).is_none_or(|validator| validator == etag);
    let wanted = field(call, header::RANGE).filter(|_| fresh).map_or(Wanted::Everything, |range| parse(range, size));
    let (status, part) = match wanted {
        Wanted::Everything => (StatusCode::OK, 0..size),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Unsatisfiable => {
            return answer::error(StatusCode::RANGE_NOT_SATISFIABLE, "FLEXSLOT_RANGE", "There is no such range.")
                .with(header::CONTENT_RANGE, &format!("bytes */{size}"));
        }
    };
    let answer = answer::of(status, Pattern { at: part.start, end: part.end }.boxed_unsync())
        .with(header::CONTENT_TYPE, content_type)
        .with(header::ACCEPT_RANGES, "bytes")
        .with(header::ETAG, &etag);
    if status == StatusCode::OK {
        return answer;
    }
    answer.with(header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", part.start, part.end - 1))
}

fn field(call: &Call, name: HeaderName) -> Option<&str> {
    call.only(name).ok().flatten()
}

/// Weak comparison, as `If-None-Match` has it.
fn matches_any(list: &str, etag: &str) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// One range of bytes. What is malformed, of another unit, or several ranges at once may be ignored (RFC 9110 section
/// 14.2).
fn parse(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wanted::Everything;
    };
    let part = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..size.min(last.saturating_add(1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => match suffix {
            0 => size..size,
            suffix => size.saturating_sub(suffix)..size,
        },
        _ => return Wanted::Everything,
    };
    if part.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(part) }
}

#[cfg(test)]
mod tests {
    use super::{Wanted, parse};

    #[test]
    fn reads_the_three_forms_of_a_range() {
        assert_eq!(parse("bytes=0-9", 100), Wanted::Part(0..10));
        assert_eq!(parse("bytes=90-200", 100), Wanted::Part(90..100));
        assert_eq!(parse("bytes=90-", 100), Wanted::Part(90..100));
        assert_eq!(parse("bytes=-10", 100), Wanted::Part(90..100));
    }

    #[test]
    fn a_range_past_the_end_cannot_be_satisfied() {
        assert_eq!(parse("bytes=100-", 100), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=-0", 100), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for range in ["bytes=9-0", "items=0-1", "bytes=0-1,4-5", "bytes=x-y", "bytes"] {
            assert_eq!(parse(range, 100), Wanted::Everything, "{range}");
        }
    }
}
