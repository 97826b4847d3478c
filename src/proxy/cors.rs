//! Cross-origin answers for the origins that the guard admits (Fetch standard, "CORS protocol"). Credentials mode is never allowed: the
//! data plane knows no cookies.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};

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

/// Lets a page of `origin` read this response, problems included, with all its headers.
pub fn allow(response: &mut HeaderMap, origin: &HeaderValue) {
    response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    response.append(header::VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::{allow, is_preflight, preflight};
    use http::{HeaderMap, HeaderValue, Request, request::Parts};

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
        let mut response = HeaderMap::new();
        response.insert("vary", HeaderValue::from_static("Accept-Encoding"));
        allow(&mut response, &ORIGIN);
        assert_eq!(response.get_all("vary").iter().collect::<Vec<_>>(), ["Accept-Encoding", "Origin"]);
        assert_eq!(response["access-control-allow-origin"], "https://app.example.com");
    }
}
