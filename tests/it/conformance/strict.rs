//! The strict upstream's reading of what it was sent: one request, framed in one way, with what the sidecar owns said
//! once, and nothing in it that another reader could read in another way.

use crate::support::Received;

/// Fields that belong to one connection, or that a caller must not be able to say.
const NEVER: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "upgrade",
    "http2-settings",
    "cookie",
    "x-flexslot-tenant",
    "x-original-url",
];

/// Fields that stand exactly once.
const ONCE: [&str; 2] = ["authorization", "host"];

/// What is wrong with a request.
pub(super) fn faults(seen: &Received) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("{what}: {:?}", seen.head));
        }
    };
    let mut lines = seen.head.split("\r\n");
    let line: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
    let is_line = matches!(&line[..], [method, target, "HTTP/1.1"]
        if !method.is_empty() && method.bytes().all(is_token) && target.starts_with('/') && target.bytes().all(is_visible));
    expect(is_line, "the request line");
    for line in lines {
        let field = line.split_once(": ").is_some_and(|(name, value)| {
            !name.is_empty() && name.bytes().all(is_token) && value.bytes().all(is_text) && value.trim() == value
        });
        // A field without a value has nothing after its colon.
        let empty = line.strip_suffix(": ").or(line.strip_suffix(':')).is_some_and(|name| name.bytes().all(is_token));
        expect(field || empty, "a field");
    }
    let names = seen.names();
    let count = |name: &str| names.iter().filter(|other| *other == name).count();
    // The sidecar says TE on behalf of this connection, where the client said it.
    let said = |name: &str| match name {
        "connection" => seen.field(name).is_some_and(|value| value != "TE"),
        "te" => seen.field(name).is_some_and(|value| value != "trailers"),
        name => count(name) > 0,
    };
    for name in NEVER {
        expect(!said(name), name);
    }
    for name in ONCE {
        expect(count(name) == 1, name);
    }
    expect(count("via") > 0, "via");
    let acme = seen.field("authorization") == Some("Bearer flx_pat_of_acme_for_this_test");
    expect(acme, "somebody else's credential");
    let framed = count("content-length") + count("transfer-encoding");
    expect(framed == 1 || framed == 0 && seen.body.is_empty(), "framing");
    if let Some(length) = seen.field("content-length") {
        expect(length == seen.body.len().to_string(), "the length");
    }
    if count("transfer-encoding") == 1 {
        let coded = String::from_utf8_lossy(&seen.coded);
        // Behind the last chunk: fields that mean nothing to a reader of framing, routing or credentials.
        let trailers =
            coded.rsplit_once("\r\n0\r\n").or(coded.split_once("0\r\n")).map_or("", |(_, trailers)| trailers);
        for name in trailers.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name) {
            let name = name.to_ascii_lowercase();
            expect(name.starts_with("x-s") || name == "via", &format!("the trailer {name}"));
        }
    }
    faults
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_visible(byte: u8) -> bool {
    (b'!'..=b'~').contains(&byte)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::faults;
    use crate::support::Received;

    const GOOD: &str =
        "GET /x HTTP/1.1\r\nauthorization: Bearer flx_pat_of_acme_for_this_test\r\nvia: 1.1 x\r\nhost: y";

    fn received(head: &str, body: &str, coded: &str) -> Received {
        Received { head: head.to_owned(), body: body.into(), coded: coded.into(), connection: 0 }
    }

    #[test]
    fn the_strict_reader_finds_what_is_wrong() {
        assert_eq!(faults(&received(GOOD, "", "")), Vec::<String>::new());
        let chunked = format!("{GOOD}\r\ntransfer-encoding: chunked");
        assert_eq!(faults(&received(&chunked, "abc", "3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n")), Vec::<String>::new());
        for (head, body, coded) in [
            (GOOD.replace("GET /x", "GET x"), "", ""),
            (GOOD.replace("GET ", "GET  "), "", ""),
            (GOOD.replace("1.1\r\n", "1.0\r\n"), "", ""),
            (GOOD.replace("via: 1.1 x\r\n", ""), "", ""),
            (GOOD.replace("acme", "beta"), "", ""),
            (format!("{GOOD}\r\nhost: y"), "", ""),
            (format!("{GOOD}\r\nx-a : 1"), "", ""),
            (format!("{GOOD}\r\n x-a: 1"), "", ""),
            (format!("{GOOD}\r\nx-a: 1\n2"), "", ""),
            (format!("{GOOD}\r\nx-a: 1\r2"), "", ""),
            (format!("{GOOD}\r\nconnection: close"), "", ""),
            (format!("{GOOD}\r\nx-flexslot-tenant: acme"), "", ""),
            (format!("{GOOD}\r\ncontent-length: 4"), "abc", "abc"),
            (format!("{chunked}\r\ncontent-length: 3"), "abc", "3\r\nabc\r\n0\r\n\r\n"),
            (GOOD.to_owned(), "abc", "abc"),
            (chunked, "abc", "3\r\nabc\r\n0\r\nContent-Length: 4\r\n\r\n"),
        ] {
            assert_ne!(faults(&received(&head, body, coded)), Vec::<String>::new(), "{head:?}");
        }
    }
}
