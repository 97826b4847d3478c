//! Cross-origin answers for the origins that the guard admits (Fetch standard, "CORS protocol"). Credentials mode is
//! never allowed: the data plane knows no cookies.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};

/// What an answer tells browsers about who may read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Readers {
    /// No origin is allowed, so that the answer is the same for all; or it has said everything itself, as a preflight's
    /// does.
    #[default]
    Unsaid,
    /// No web page this time; but for a page of an allowed origin, the answer would say so, and a cache must not mix
    /// them up.
    NoPage,
    /// Pages of this allowed origin.
    Page(HeaderValue),
}

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// How long a browser may remember a preflight's answer, in seconds.
const MAX_AGE: &str = "600";

/// Whether a browser asks what it may send.
pub fn is_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The headers of a 204 that lets a page of `origin` send what it asks for: the method and the headers that it named.
pub fn preflight(request: &Parts, origin: &HeaderValue) -> HeaderMap {
    let asked = &request.headers;
    let mut answer = HeaderMap::with_capacity(8);
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    answer.insert(
        header::VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    if let Some(method) = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    if asked.get(REQUEST_PRIVATE_NETWORK).is_some_and(|asks| asks == "true") {
        answer.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    answer
}

// === impl Readers ===

impl Readers {
    /// Says it in the header of a response, problems included: who may read it, with all its fields.
    pub fn say(&self, response: &mut HeaderMap) {
        match self {
            Self::Unsaid => return,
            Self::NoPage => {}
            Self::Page(origin) => {
                response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
            }
        }
        if !varies_by_origin(response) {
            response.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// Whether `Vary` says so already (RFC 9110 section 12.5.5).
fn varies_by_origin(response: &HeaderMap) -> bool {
    let lines = response.get_all(header::VARY).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    members.any(|member| member == b"*" || member.eq_ignore_ascii_case(b"origin"))
}

#[cfg(test)]
mod tests {
    use super::{Readers, is_preflight, preflight};
    use http::{HeaderMap, HeaderValue, Request, header, request::Parts};

    const ORIGIN: HeaderValue = HeaderValue::from_static("https://app.example.com");

    fn options(headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(Request::options("/"), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_options_with_origin_and_method_is_a_preflight() {
        let origin = ("origin", "https://app.example.com");
        assert!(is_preflight(&options(&[origin, ("access-control-request-method", "PUT")])));
        assert!(!is_preflight(&options(&[origin])));
        assert!(!is_preflight(&options(&[("access-control-request-method", "PUT")])));
    }

    #[test]
    fn a_preflight_is_granted_what_it_asks_for() {
        let answer = preflight(
            &options(&[
                ("access-control-request-method", "PATCH"),
                ("access-control-request-headers", "authorization,x-a"),
                ("access-control-request-private-network", "true"),
            ]),
            &ORIGIN,
        );
        assert_eq!(answer["access-control-allow-origin"], "https://app.example.com");
        assert_eq!(answer["access-control-allow-methods"], "PATCH");
        assert_eq!(answer["access-control-allow-headers"], "authorization,x-a");
        assert_eq!(answer["access-control-allow-private-network"], "true");
        assert!(!answer.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn an_answer_keeps_what_it_varied_by_before() {
        let vary = |readers: &Readers, before: &'static str| {
            let mut response = HeaderMap::from_iter([(header::VARY, HeaderValue::from_static(before))]);
            readers.say(&mut response);
            response.get_all("vary").iter().map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for readers in [Readers::NoPage, Readers::Page(ORIGIN)] {
            assert_eq!(vary(&readers, "Accept-Encoding"), ["Accept-Encoding", "Origin"]);
            assert_eq!(vary(&readers, "accept, origin"), ["accept, origin"]);
            assert_eq!(vary(&readers, "*"), ["*"]);
        }
        assert_eq!(vary(&Readers::Unsaid, "Accept"), ["Accept"]);
    }

    #[test]
    fn only_an_allowed_page_is_named() {
        for (readers, named) in
            [(Readers::Page(ORIGIN), Some(&ORIGIN)), (Readers::NoPage, None), (Readers::Unsaid, None)]
        {
            let mut response = HeaderMap::new();
            readers.say(&mut response);
            assert_eq!(response.get("access-control-allow-origin"), named);
        }
    }
}
