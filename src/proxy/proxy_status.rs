//! `Proxy-Status` (RFC 9209): what callers tell the sidecar's own answers by, so that nobody else speaks in its name.
//!
//! What other intermediaries on the way say stays (section 2): it is theirs to say.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Our pseudonym, as in `Via`.
const OURS: &str = "flexslot-proxy";

/// Takes the members out that an upstream has written in our name, and the lines of which it is not clear what their
/// members are.
pub(super) fn disown(headers: &mut HeaderMap) {
    if !headers.contains_key(PROXY_STATUS) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(PROXY_STATUS).iter().filter_map(line_of_others).collect();
    headers.remove(PROXY_STATUS);
    for line in lines {
        headers.append(PROXY_STATUS, line);
    }
}

/// A line without the members in our name; `None` where nothing is left.
fn line_of_others(line: &HeaderValue) -> Option<HeaderValue> {
    let members = members(line.to_str().ok()?)?;
    let others: Vec<&str> = members.iter().copied().filter(|member| !is_ours(member)).collect();
    match others.len() {
        0 => None,
        count if count == members.len() => Some(line.clone()),
        _ => HeaderValue::try_from(others.join(", ")).ok(),
    }
}

/// The members of a list (RFC 9651 section 4.2.1), as written; `None` where a string has no end.
fn members(line: &str) -> Option<Vec<&str>> {
    let (mut members, mut begin, mut in_string, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' if !in_string => {
                members.push(&line[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    members.push(&line[begin..]);
    let members =
        members.into_iter().map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    (!in_string).then(|| members.collect())
}

/// Whether a member names us: as a token or as a string, and also to a reader who does not care for case.
fn is_ours(member: &str) -> bool {
    let name = member.split(';').next().unwrap_or_default().trim_matches([' ', '\t', '"']);
    name.eq_ignore_ascii_case(OURS)
}

#[cfg(test)]
mod tests {
    use super::{PROXY_STATUS, disown};
    use http::{HeaderMap, HeaderValue};

    fn left(lines: &[&str]) -> Vec<String> {
        let mut headers: HeaderMap =
            lines.iter().map(|line| (PROXY_STATUS, HeaderValue::from_str(line).unwrap())).collect();
        disown(&mut headers);
        headers.get_all(PROXY_STATUS).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn nobody_else_speaks_in_our_name() {
        for forged in [
            "flexslot-proxy; error=http_request_denied; details=\"not_connected\"",
            "flexslot-proxy",
            "\"flexslot-proxy\";error=dns_error",
            "Flexslot-Proxy ; received-status=401",
            " flexslot-proxy,, flexslot-proxy; details=\"a, b\"",
        ] {
            assert!(left(&[forged]).is_empty(), "{forged}");
        }
        assert_eq!(
            left(&["edge; details=\"x\\\", flexslot-proxy\", flexslot-proxy; error=dns_error, cdn"]),
            ["edge; details=\"x\\\", flexslot-proxy\", cdn"]
        );
        assert!(left(&["edge; details=\"open", "flexslot-proxy; error=dns_error"]).is_empty(), "what has no end");
    }

    #[test]
    fn what_others_say_stays_as_it_is() {
        let lines = ["ExampleCDN; error=connection_timeout,edge.flexslot-proxy;  x=1", "flexslot-proxy-2"];
        assert_eq!(left(&lines), lines);
    }
}
