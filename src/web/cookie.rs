//! Cookies, read and set (RFC 6265).

use std::fmt;

use http::{HeaderMap, HeaderValue, header::COOKIE};

/// A cookie for the browser to keep: for every path, out of reach of scripts, and not sent with what other sites' pages
/// ask for by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Cookie<'a> {
    pub name: &'a str,
    pub value: &'a str,
    /// In seconds; 0 takes it away.
    pub max_age: u64,
    /// For https alone.
    pub secure: bool,
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
        let secure = if *secure { "; Secure" } else { "" };
        write!(f, "{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Cookie, cookies};
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
        assert!(
            Cookie { secure: true, ..cookie }.line().unwrap().to_str().unwrap().ends_with("; SameSite=Lax; Secure")
        );
        assert_eq!(Cookie { value: "\n", ..cookie }.line(), None);
    }
}
