//! The cookie that ties a flow to the browser that began it (RFC 6265).
//!
//! Browsers do not keep the ports of a host apart, so its name carries ours; and it carries what tells this flow from
//! others, so that two tabs do not take each other's.

use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use crate::{
    model::{RedirectUri, Secret},
    web::{Cookie, bare_name, cookies, full_name},
};

/// Who reads a page, as far as the browser's cookies tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody who was given a link.
    User,
    /// Somebody who has signed in to the connections page, and comes from there.
    Operator,
}

/// How the connections page calls the session of a browser that has signed in, whatever the port. It only decides
/// where a page offers to go on.
const SIGNED_IN: &str = "flexslot-proxy-session-";

/// As long as a session.
const MAX_AGE: u64 = 600;

/// Those that tie flows at `home`.
fn ours<'a>(home: &RedirectUri, headers: &'a HeaderMap) -> impl Iterator<Item = (&'a str, &'a str)> {
    let prefix = full_name(&prefix(home), is_secure(home)).into_owned();
    cookies(headers).filter(move |(name, _)| name.starts_with(&prefix))
}

/// Who has sent this.
pub(super) fn reader(headers: &HeaderMap) -> Reader {
    if cookies(headers).any(|(name, _)| bare_name(name).starts_with(SIGNED_IN)) {
        Reader::Operator
    } else {
        Reader::User
    }
}

/// The binding that the browser has for `state`.
pub(super) fn binding<'a>(home: &RedirectUri, headers: &'a HeaderMap, state: &Secret) -> Option<&'a str> {
    let name = name(home, state);
    let name = full_name(&name, is_secure(home));
    ours(home, headers).find_map(|(found, value)| (found == name).then_some(value))
}

/// All bindings that the browser has.
pub(super) fn bindings<'a>(home: &RedirectUri, headers: &'a HeaderMap) -> Vec<&'a str> {
    ours(home, headers).map(|(_, value)| value).collect()
}

/// Sets the binding of the flow of `state`.
pub(super) fn set(home: &RedirectUri, state: &Secret, binding: &Secret) -> Option<HeaderValue> {
    line(home, state, binding.expose(), MAX_AGE)
}

/// Takes it back.
pub(super) fn clear(home: &RedirectUri, state: &Secret) -> Option<HeaderValue> {
    line(home, state, "", 0)
}

fn line(home: &RedirectUri, state: &Secret, value: &str, max_age: u64) -> Option<HeaderValue> {
    Cookie { name: &name(home, state), value, max_age, secure: is_secure(home) }.line()
}

/// Whether browsers come back by https, as they do but to this machine.
fn is_secure(home: &RedirectUri) -> bool {
    !home.is_loopback()
}

fn prefix(home: &RedirectUri) -> String {
    format!("flexslot-connect-{}-", home.origin().port())
}

fn name(home: &RedirectUri, state: &Secret) -> String {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(state.expose().as_bytes()).into();
    format!("{}{a:02x}{b:02x}{c:02x}{d:02x}", prefix(home))
}

#[cfg(test)]
mod tests {
    use super::{binding, bindings, clear, set};
    use crate::model::{RedirectUri, Secret};
    use http::{HeaderMap, header::COOKIE};

    fn home(text: &str) -> RedirectUri {
        text.parse().unwrap()
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, line.parse().unwrap())).collect()
    }

    #[test]
    fn the_name_carries_the_port_and_a_hash_of_the_state() {
        let line = set(&home("http://127.0.0.1:3540/oauth/callback"), &Secret::new("abc"), &Secret::new("b1")).unwrap();
        assert_eq!(line, "flexslot-connect-3540-ba7816bf=b1; Path=/; Max-Age=600; HttpOnly; SameSite=Lax");
        assert!(line.is_sensitive());
    }

    #[test]
    fn under_https_it_is_secure() {
        let home = home("https://app.example.com/flexslot/oauth/callback");
        let line = set(&home, &Secret::new("abc"), &Secret::new("b1")).unwrap();
        assert_eq!(
            line,
            "__Host-flexslot-connect-443-ba7816bf=b1; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        let line = clear(&home, &Secret::new("abc")).unwrap();
        assert_eq!(line, "__Host-flexslot-connect-443-ba7816bf=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
    }

    /// A neighbour below the same domain can set a cookie for all of it, but none of such a name.
    #[test]
    fn what_a_neighbour_has_planted_binds_nothing() {
        let home = home("https://app.example.com/oauth/callback");
        let planted = headers(&["flexslot-connect-443-ba7816bf=theirs"]);
        assert_eq!((binding(&home, &planted, &Secret::new("abc")), bindings(&home, &planted).len()), (None, 0));
        let ours = headers(&["flexslot-connect-443-ba7816bf=theirs; __Host-flexslot-connect-443-ba7816bf=b1"]);
        assert_eq!(binding(&home, &ours, &Secret::new("abc")), Some("b1"));
    }

    #[test]
    fn a_flow_finds_its_own_among_others() {
        let home = home("http://127.0.0.1:3540/oauth/callback");
        let sent = headers(&[
            "theme=dark; flexslot-connect-3541-ba7816bf=other-port; flexslot-connect-3540-00000000=other-tab",
            "flexslot-connect-3540-ba7816bf=b1;x",
        ]);
        assert_eq!(binding(&home, &sent, &Secret::new("abc")), Some("b1"));
        assert_eq!(binding(&home, &sent, &Secret::new("abd")), None);
        assert_eq!(bindings(&home, &sent), ["other-tab", "b1"]);
        assert_eq!(binding(&home, &HeaderMap::new(), &Secret::new("abc")), None);
    }
}
