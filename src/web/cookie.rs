//! Cookies, read and set (RFC 6265).

use std::{borrow::Cow, fmt};

use http::{HeaderMap, HeaderValue, header::COOKIE};

/// A cookie for the browser to keep: for every path, out of reach of scripts, and not sent with what other sites' pages
/// ask for by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Cookie<'a> {
    /// Without what [`full_name`] puts in front.
    pub name: &'a str,
    pub value: &'a str,
    /// In seconds; 0 takes it away.
    pub max_age: u64,
    /// For https alone.
    pub secure: bool,
}

/// What browsers take only from the very host that they send it back to, and only by https (RFC 6265bis section
/// 4.1.3.2): no neighbour below the same domain can set one of such a name.
const HOST_ONLY: &str = "__Host-";

/// How a cookie is called that is for https alone, or that is not. One that is looked for by its full name was set by
/// nobody else, where it is for https.
pub fn full_name(name: &str, secure: bool) -> Cow<'_, str> {
    if secure { format!("{HOST_ONLY}{name}").into() } else { name.into() }
}

/// The name again, whichever of both it is.
pub fn bare_name(full: &str) -> &str {
    full.strip_prefix(HOST_ONLY).unwrap_or(full)
}

/// Every cookie that a browser has sent: its name and its value. A name may come twice, where another port's or a parent
/// domain's page has set one like it.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

// === impl Cookie ===

impl Cookie<'_> {
    /// The value of `Set-Cookie`, which no log shows; `None` where it holds what cannot stand there.
    pub fn line(&self) -> Option<HeaderValue> {
        let mut line = HeaderValue::try_from(self.to_string()).ok()?;
        line.set_sensitive(true);
        Some(line)
    }
}

impl fmt::Display for Cookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, max_age, secure } = self;
        let name = full_name(name, *secure);
        let secure = if *secure { "; Secure" } else { "" };
        write!(f, "{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Cookie, bare_name, cookies, full_name};
    use http::{HeaderMap, HeaderValue, header::COOKIE};

    #[test]
    fn every_cookie_of_every_line_is_read() {
        let headers: HeaderMap =
            ["a=1; b=2=x;c=;d", "a=3"].map(|line| (COOKIE, HeaderValue::from_static(line))).into_iter().collect();
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), [("a", "1"), ("b", "2=x"), ("c", ""), ("a", "3")]);
    }

    #[test]
    fn a_cookie_is_set_for_the_whole_host_and_out_of_reach_of_scripts() {
        let cookie = Cookie { name: "a", value: "1", max_age: 60, secure: false };
        let line = cookie.line().unwrap();
        assert_eq!(line, "a=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert!(line.is_sensitive());
        assert_eq!(Cookie { value: "\n", ..cookie }.line(), None);
    }

    /// `Path=/`, `Secure` and no `Domain`, or browsers do not take it (RFC 6265bis section 5.7, step 21).
    #[test]
    fn over_https_a_cookie_has_a_name_that_no_other_host_can_set() {
        let cookie = Cookie { name: "a", value: "1", max_age: 60, secure: true };
        let line = cookie.line().unwrap();
        assert_eq!(line, "__Host-a=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert_eq!((full_name("a", true), full_name("a", false)), ("__Host-a".into(), "a".into()));
        assert_eq!((bare_name("__Host-a"), bare_name("a")), ("a", "a"));
    }
}
