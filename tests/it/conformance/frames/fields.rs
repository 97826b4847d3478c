//! The fields of requests: pseudo-header fields, fields of the connection, lengths, trailers. What is malformed ends its
//! stream (RFC 9113 section 8.1.1).

use super::{
    Case, Code, Event, Goaway, Reset, Status, case, good, post,
    wire::{DATA, END_STREAM, block, frame, headers, literal},
    with,
};

type Fields = Vec<(&'static str, &'static str)>;

/// A good request of which one field says something else.
fn saying(name: &str, value: &'static str) -> Fields {
    let fields = good().into_iter();
    fields.map(|(field, said)| (field, if field == name { value } else { said })).collect()
}

fn without(name: &str) -> Fields {
    good().into_iter().filter(|(field, _)| *field != name).collect()
}

/// A good request with this field in front.
fn behind(name: &'static str, value: &'static str) -> Fields {
    [vec![(name, value)], good()].concat()
}

pub(super) fn cases() -> Vec<Case> {
    [malformed(), refused(), fine(), bytes(), lengths(), trailers()].into_iter().flatten().collect()
}

/// RFC 9113 section 8.1.1 would have the stream reset. For what cannot be a field at all h2 gives the connection up, which
/// section 5.4.1 leaves to it.
fn broken() -> Event {
    Event::Any(vec![Reset(1, Code::Protocol), Goaway(Code::Protocol)])
}

fn malformed() -> Vec<Case> {
    let list: Vec<(&str, Fields)> = vec![
        ("nothing", Vec::new()),
        ("no method", without(":method")),
        ("no path", without(":path")),
        ("no scheme", without(":scheme")),
        ("two methods", with(":method", "GET")),
        ("two paths", behind(":path", "/api/public/v1/smuggled")),
        ("two schemes", behind(":scheme", "http")),
        ("two authorities", behind(":authority", "evil.example")),
        ("a pseudo-field behind a field", [without(":path"), vec![(":path", "/api/public/v1/decks/{mark}")]].concat()),
        ("an unknown pseudo-field", behind(":foo", "bar")),
        ("a pseudo-field without a name", behind(":", "bar")),
        ("a status", behind(":status", "200")),
        ("a protocol without CONNECT", behind(":protocol", "websocket")),
        ("an empty path", saying(":path", "")),
        ("a name in upper case", with("X-Upper", "1")),
        ("one letter in upper case", with("x-uPper", "1")),
        ("Connection", with("connection", "close")),
        ("Keep-Alive", with("keep-alive", "timeout=1")),
        ("Proxy-Connection", with("proxy-connection", "keep-alive")),
        ("Transfer-Encoding", with("transfer-encoding", "chunked")),
        ("Upgrade", with("upgrade", "h2c")),
        ("TE of a coding", with("te", "gzip")),
        ("a space in a name", with("x y", "1")),
        ("a colon in a name", with("x:y", "1")),
        ("an empty name", with("", "1")),
    ];
    list.into_iter()
        .map(|(name, fields)| {
            let bytes = headers(END_STREAM, 1, &block(&fields));
            case("malformed requests", name, bytes, broken())
        })
        .collect()
}

/// Well-formed, and not forwarded.
fn refused() -> Vec<Case> {
    let list: Vec<(&str, Fields, u16)> = vec![
        ("another authority", saying(":authority", "evil.example"), 421),
        ("a user in the authority", saying(":authority", "localhost@evil.example"), 421),
        ("a Host that differs", with("host", "evil.example"), 400),
        ("two Hosts", [with("host", "localhost"), vec![("host", "localhost")]].concat(), 400),
        ("a dot segment", saying(":path", "/api/public/v1/../smuggled"), 400),
        ("an encoded dot segment", saying(":path", "/api/public/v1/%2e%2e/smuggled"), 400),
        ("the token endpoint", saying(":path", "/api/public/v1/oauth/token"), 403),
        ("outside of the API", saying(":path", "/smuggled"), 404),
        ("an asterisk", saying(":path", "*"), 404),
        ("two tenants", with("x-flexslot-tenant", "beta"), 400),
        ("a lookalike of the tenant", with("x_flexslot_tenant", "beta"), 400),
        ("TRACE", saying(":method", "TRACE"), 501),
        ("a page of another site", with("origin", "https://evil.example"), 403),
    ];
    list.into_iter()
        .map(|(name, fields, status)| {
            case("refused requests", name, headers(END_STREAM, 1, &block(&fields)), Status(1, status))
        })
        .chain([case(
            "refused requests",
            "a tunnel",
            headers(0, 1, &block(&[(":method", "CONNECT"), (":authority", "localhost:80")])),
            Status(1, 501),
        )])
        .collect()
}

fn fine() -> Vec<Case> {
    let list: Vec<(&str, Fields)> = vec![
        ("Host instead of an authority", [without(":authority"), vec![("host", "localhost")]].concat()),
        ("Host that agrees", with("host", "localhost")),
        ("TE: trailers", with("te", "trailers")),
        ("cookies in crumbs", [with("cookie", "a=b"), vec![("cookie", "c=d")]].concat()),
        ("Proxy-Authorization", with("proxy-authorization", "Basic YTpi")),
        ("another scheme", saying(":scheme", "https")),
        ("an empty value", with("x-empty", "")),
        ("a value beyond ASCII", with("x-name", "é")),
        ("an expectation without a body", with("expect", "100-continue")),
        // The contract has 400 for a raw fragment. In HTTP/1.1 the reader of the wire sees it; here the library that reads
        // targets has cut it off before anybody else can, and what is judged and forwarded is the path without it.
        ("a fragment in the path", saying(":path", "/api/public/v1/decks/{mark}#/../smuggled")),
    ];
    list.into_iter()
        .map(|(name, fields)| {
            case("good requests", name, headers(END_STREAM, 1, &block(&fields)), Status(1, 200)).forwards(1)
        })
        .collect()
}

/// What HTTP/1.1 would take for the end of a line, or of a target, does not get there.
fn bytes() -> Vec<Case> {
    let at = |name: &str, bytes: Vec<u8>| {
        let event = Event::Any(vec![broken(), Status(1, 400)]);
        case("bytes in fields", name, headers(END_STREAM, 1, &bytes), event)
    };
    let value = |text: &[u8]| [block(&good()), literal(b"x", text)].concat();
    let pseudo = |name: &str, text: &[u8]| {
        [block(&without(name)[..3]), literal(name.as_bytes(), text), block(&[("x-flexslot-tenant", "acme")])].concat()
    };
    vec![
        at("CRLF in a value", value(b"1\r\nx-flexslot-tenant: beta")),
        at("CR in a value", value(b"1\r2")),
        at("LF in a value", value(b"1\n2")),
        at("NUL in a value", value(b"1\x002")),
        at("a request in a value", value(b"1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")),
        at("CRLF in a path", pseudo(":path", b"/api/public/v1/decks/ HTTP/1.1\r\nX: y")),
        at("a space in a path", pseudo(":path", b"/api/public/v1/de cks/")),
        at("NUL in a path", pseudo(":path", b"/api/public/v1/de\0cks/")),
        at("an absolute path", pseudo(":path", b"http://localhost/api/public/v1/decks/")),
        at("a path without a slash", pseudo(":path", b"api/public/v1/decks/")),
        at("CRLF in a method", pseudo(":method", b"GET /smuggled HTTP/1.1\r\nX: y")),
        at("a space in a method", pseudo(":method", b"GET /smuggled")),
        at("CRLF in an authority", pseudo(":authority", b"localhost\r\nX: y")),
        at("a space in an authority", pseudo(":authority", b"localhost evil.example")),
        at("CRLF in a name", [block(&good()), literal(b"x\r\ny", b"1")].concat()),
        at("NUL in a name", [block(&good()), literal(b"x\0y", b"1")].concat()),
    ]
}

fn lengths() -> Vec<Case> {
    let upload = |name: &str, said: &[&'static str], body: &[u8], event| {
        let mut fields = good();
        fields[0].1 = "POST";
        fields.extend(said.iter().map(|length| ("content-length", *length)));
        let bytes = [headers(0, 1, &block(&fields)), frame(DATA, END_STREAM, 1, body)].concat();
        case("lengths", name, bytes, event).begins(1)
    };
    let broken = || Reset(1, Code::Protocol);
    let refused = || Event::Any(vec![Reset(1, Code::Protocol), Status(1, 400)]);
    let whole = |case: Case| Case { whole: 1, begun: 0, ..case };
    vec![
        whole(upload("that fits", &["3"], b"abc", Status(1, 200))),
        upload("that is too large", &["4"], b"abc", broken()),
        upload("that is too small", &["2"], b"abc", broken()),
        upload("of nothing, with a body", &["0"], b"abc", broken()),
        upload("that is signed", &["+3"], b"abc", refused()),
        upload("that is a list", &["3, 3"], b"abc", refused()),
        upload("that is empty", &[""], b"abc", refused()),
        upload("beyond 64 bits", &["18446744073709551619"], b"abc", refused()),
        upload("twice, differing", &["3", "4"], b"abc", refused()),
        upload("twice, differing, the second right", &["4", "3"], b"abc", refused()),
        case("lengths", "and no body", headers(END_STREAM, 1, &block(&with("content-length", "3"))), broken()),
        upload("over the limit", &["67108865"], b"abc", Event::Any(vec![Status(1, 413), Reset(1, Code::Protocol)])),
    ]
}

fn trailers() -> Vec<Case> {
    let upload = |name: &str, trailers: &[(&str, &str)], event| {
        let bytes = [post(1), frame(DATA, 0, 1, b"abc"), headers(END_STREAM, 1, &block(trailers))].concat();
        case("trailers", name, bytes, event).begins(1)
    };
    let whole = |case: Case| Case { whole: 1, begun: 0, ..case };
    vec![
        whole(upload("good ones", &[("x-sum", "1")], Status(1, 200))),
        whole(upload("none", &[], Status(1, 200))),
        whole(upload("of framing", &[("content-length", "9")], Status(1, 200))),
        whole(upload("of another tenant", &[("x-flexslot-tenant", "beta")], Status(1, 200))),
        whole(upload("a credential", &[("authorization", "Bearer x")], Status(1, 200))),
        // Malformed by RFC 9113 section 8.1; h2 leaves out what it knows, and nothing of it is forwarded.
        whole(upload("a path", &[(":path", "/smuggled")], Status(1, 200))),
        whole(upload("a status", &[(":status", "200")], Status(1, 200))),
        upload("an unknown pseudo-field", &[(":foo", "bar")], broken()),
        upload("a name in upper case", &[("X-Sum", "1")], broken()),
        upload("Connection", &[("connection", "close")], broken()),
        upload("Transfer-Encoding", &[("transfer-encoding", "chunked")], broken()),
        upload("CRLF in a value", &[("x-sum", "1\r\nx: y")], broken()),
    ]
}
