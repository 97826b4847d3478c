//! One request of a caller: its bytes, and how it must look where it arrives.

use std::collections::BTreeSet;

use http::Method;
use tokio::time::Instant;

use super::super::{
    bytes::Script,
    stage::{AUTHORITY, TENANTS, Which, caller::Reply, upstream::Arrival},
};

/// A request under way, or over.
pub struct Call {
    pub number: usize,
    pub which: Which,
    pub tenant: &'static str,
    pub method: Method,
    pub upload: Upload,
    /// What has been said of the body so far.
    pub body: Vec<u8>,
    /// The body has been said to its end.
    pub whole: bool,
    pub begun: Instant,
    /// Since when its sidecar had been able to read what others write by then; `None`: it was not.
    pub hears_since: Option<Instant>,
    pub hung_up: bool,
    pub reply: Option<Reply>,
    by_path: bool,
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    None,
    /// At once, with its length.
    Whole(usize),
    /// Chunk by chunk, as long as it is told to.
    Slow,
}

/// Now, and since when the sidecar has been able to read what others write.
type When = (Instant, Option<Instant>);

/// One that nobody knows.
const NOBODY: &str = "nobody";

// === impl Call ===

impl Call {
    pub fn new(number: usize, which: Which, script: &mut Script<'_>, when: When) -> Self {
        let tenant = script.one_of(&[TENANTS[0], TENANTS[1], TENANTS[2], TENANTS[0], NOBODY]);
        let how = script.byte();
        let method = [Method::GET, Method::POST, Method::GET, Method::HEAD, Method::PUT, Method::DELETE]
            [usize::from(how) % 6]
            .clone();
        let upload = match (&method, how / 6 % 4) {
            (&Method::GET | &Method::HEAD, _) | (_, 0) => Upload::None,
            (_, 1) => Upload::Whole(20),
            // More than is kept of one.
            (_, 2) => Upload::Whole(3000),
            _ => Upload::Slow,
        };
        Self::plain(number, which, tenant, when).with(method, upload, how & 0x80 != 0)
    }

    /// A request without anything special.
    pub fn plain(number: usize, which: Which, tenant: &'static str, (begun, hears_since): When) -> Self {
        let (method, upload) = (Method::GET, Upload::None);
        let (body, whole, hung_up, reply, by_path) = (Vec::new(), true, false, None, false);
        Self { number, which, tenant, method, upload, body, whole, begun, hears_since, hung_up, reply, by_path }
    }

    fn with(self, method: Method, upload: Upload, by_path: bool) -> Self {
        let mut call = Self { method, upload, by_path, whole: upload != Upload::Slow, ..self };
        if let Upload::Whole(length) = upload {
            call.body = call.more(length);
        }
        call
    }

    /// The next bytes of the body; no two calls have the same.
    fn more(&self, length: usize) -> Vec<u8> {
        let from = self.body.len();
        (from..from + length).map(|at| (at * 7 + self.number * 31) as u8).collect()
    }

    fn target(&self) -> String {
        format!("/api/public/v1/decks/{}/?q=%2F", self.number)
    }

    /// What is said first.
    pub fn text(&self) -> Vec<u8> {
        let Self { method, number, tenant, .. } = self;
        let (prefix, header) = match self.by_path {
            true => (format!("/t/{tenant}"), String::new()),
            false => (String::new(), format!("x-flexslot-tenant: {tenant}\r\n")),
        };
        let framing = match self.upload {
            Upload::None => String::new(),
            Upload::Whole(length) => format!("content-type: a/b\r\ncontent-length: {length}\r\n"),
            Upload::Slow => "content-type: a/b\r\ntransfer-encoding: chunked\r\n".to_owned(),
        };
        let head = format!(
            "{method} {prefix}{} HTTP/1.1\r\nhost: localhost:3539\r\n{header}x-call: {number}\r\naccept: a/b;q=0.5\r\ncookie: a=b\r\n\
             authorization: Bearer of-the-caller\r\nx-hop: 1\r\nconnection: x-hop\r\n{framing}\r\n",
            self.target()
        );
        [head.as_bytes(), &self.body].concat()
    }

    /// What is said of a slow upload next.
    pub fn goes_on(&mut self, length: usize) -> Vec<u8> {
        let more = self.more(length);
        self.body.extend_from_slice(&more);
        [format!("{length:x}\r\n").as_bytes(), &more, b"\r\n"].concat()
    }

    /// The end of a slow upload.
    pub fn ends(&mut self) -> &'static [u8] {
        self.whole = true;
        b"0\r\n\r\n"
    }

    /// Whether `arrival` is this request, as it was asked.
    pub fn check_arrival(&self, arrival: &Arrival) {
        let Arrival { head, body, whole, .. } = arrival;
        assert_eq!(head.line, format!("{} {} HTTP/1.1", self.method, self.target()));
        let names: BTreeSet<_> = head.fields.keys().map(|name| name.as_str()).collect();
        assert_eq!(head.fields.len(), names.len(), "{head:?}");
        let mut expected = BTreeSet::from(["host", "x-call", "accept", "authorization", "via"]);
        match self.upload {
            Upload::None => {}
            Upload::Whole(_) => expected.extend(["content-type", "content-length"]),
            Upload::Slow => expected.extend(["content-type", "transfer-encoding"]),
        }
        // A POST without a body may say so.
        let says_nothing = self.upload == Upload::None && head.field("content-length") == Some("0");
        assert!(names == expected || says_nothing, "{names:?}");
        assert_eq!((head.field("host"), head.field("accept")), (Some(AUTHORITY), Some("a/b;q=0.5")));
        match whole {
            true => assert!(self.whole && *body == self.body, "another body than was sent"),
            false => assert!(self.body.starts_with(body), "other bytes than were sent"),
        }
    }

    /// Asking twice does no harm.
    pub fn is_harmless(&self) -> bool {
        self.upload == Upload::None && [Method::GET, Method::HEAD].contains(&self.method)
    }
}
