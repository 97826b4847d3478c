//! The session of a browser: a cookie that says until when and for whom, made with the admin token. The store notes it at
//! the sign-in, until the sign-out; so every sidecar of the store with the same token takes it, and none that was signed out.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::model::{Random, Secret, Timestamp};

/// A browser that has signed in, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// `expiry.user.nonce.mac`: the end in seconds, the user id or `-`, and base64url twice.
    text: Secret,
    ends: Timestamp,
}

/// Whose browser it is: the user id on this host, where that is known.
pub(super) type User = Option<u32>;

/// How long a sign-in lasts.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 3600);

/// What a key is used for, so that no value of one use can be passed off as one of another.
const SESSION: &[u8] = b"flexslot-proxy page session\0";
const CSRF: &[u8] = b"flexslot-proxy csrf\0";

// === impl Session ===

impl Session {
    /// A new session, from now on.
    pub(super) fn begin(key: &Secret, user: User, now: Timestamp, random: &Random) -> Self {
        let ends = Timestamp::from_secs(now.plus(LIFE).secs());
        let claim = format!("{}.{}.{}", ends.secs(), named(user), URL_SAFE_NO_PAD.encode(random.bytes::<16>()));
        let mac = URL_SAFE_NO_PAD.encode(hmac(key, SESSION, &claim).finalize().into_bytes());
        Self { text: Secret::new(format!("{claim}.{mac}")), ends }
    }

    /// The session that a cookie names, if it was made with `key` for `user`, and its time is not over.
    #[cfg(test)]
    fn read(key: &Secret, user: User, text: &str, now: Timestamp) -> Option<Self> {
        Self::made(key, text, now).filter(|session| session.is_of(user))
    }

    /// The session that a cookie names, if it was made with `key`, for whomever, and its time is not over.
    pub(super) fn made(key: &Secret, text: &str, now: Timestamp) -> Option<Self> {
        let (claim, mac) = text.rsplit_once('.')?;
        hmac(key, SESSION, claim).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        let ends = Timestamp::from_secs(claim.split_once('.')?.0.parse().ok()?);
        (now < ends).then(|| Self { text: Secret::new(text), ends })
    }

    /// Whether it was made for `user`.
    pub(super) fn is_of(&self, user: User) -> bool {
        self.text.expose().split('.').nth(1) == Some(&*named(user))
    }

    /// The cookie's value.
    pub(super) const fn text(&self) -> &Secret {
        &self.text
    }

    /// What every form of the session's pages carries, so that no other site can send one: it goes into pages, and the
    /// session itself cannot be read off it.
    pub(super) fn csrf(&self, key: &Secret) -> String {
        URL_SAFE_NO_PAD.encode(hmac(key, CSRF, self.text.expose()).finalize().into_bytes())
    }

    /// Whether `presented` is that.
    pub(super) fn is_csrf(&self, key: &Secret, presented: &str) -> bool {
        let Ok(presented) = URL_SAFE_NO_PAD.decode(presented) else { return false };
        hmac(key, CSRF, self.text.expose()).verify_slice(&presented).is_ok()
    }
}

fn named(user: User) -> String {
    user.map_or_else(|| "-".to_owned(), |uid| uid.to_string())
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 section 2)")]
fn hmac(key: &Secret, purpose: &[u8], text: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("a key of any length");
    mac.chain_update(purpose).chain_update(text)
}

#[cfg(test)]
mod tests {
    use super::{LIFE, Session};
    use crate::model::{Random, Secret, Timestamp};
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn key() -> Secret {
        Secret::new("token")
    }

    fn session() -> Session {
        Session::begin(&key(), Some(1000), NOW, &Random::system())
    }

    #[test]
    fn a_session_reads_back_until_its_end() {
        let session = session();
        let at = |now| Session::read(&key(), Some(1000), session.text().expose(), now);
        assert_eq!(at(NOW).as_ref(), Some(&session));
        assert_eq!(at(NOW.plus(LIFE).minus(Duration::from_secs(1))).as_ref(), Some(&session));
        assert_eq!(at(NOW.plus(LIFE)), None);
    }

    #[test]
    fn no_two_sessions_are_the_same() {
        assert_ne!(session().text().expose(), session().text().expose());
    }

    #[test]
    fn a_new_token_ends_all_sessions() {
        assert_eq!(Session::read(&Secret::new("other"), Some(1000), session().text().expose(), NOW), None);
    }

    #[test]
    fn a_session_is_for_the_user_whose_browser_has_signed_in() {
        let (session, far) = (session(), Session::begin(&key(), None, NOW, &Random::system()));
        let read = |session: &Session, user| Session::read(&key(), user, session.text().expose(), NOW);
        for other in [None, Some(0), Some(100), Some(1001)] {
            assert_eq!(read(&session, other), None, "{other:?}");
        }
        assert_eq!((read(&far, None), read(&far, Some(0))), (Some(far.clone()), None), "nobody knows whose");
    }

    #[test]
    fn nobody_prolongs_a_session() {
        let session = session();
        let (claim, mac) = session.text().expose().rsplit_once('.').unwrap();
        let (ends, rest) = claim.split_once('.').unwrap();
        let later = ends.parse::<i64>().unwrap() + 1;
        for forged in
            [format!("{later}.{rest}.{mac}"), format!("{claim}."), claim.to_owned(), format!("{claim}.x{mac}")]
        {
            assert_eq!(Session::read(&key(), Some(1000), &forged, NOW), None, "{forged}");
        }
    }

    #[test]
    fn a_form_is_bound_to_its_session() {
        let (one, other) = (session(), session());
        assert!(one.is_csrf(&key(), &one.csrf(&key())));
        assert!(!one.is_csrf(&key(), &other.csrf(&key())));
        assert!(!one.is_csrf(&key(), ""));
        assert!(
            !one.is_csrf(&key(), one.text().expose().rsplit_once('.').unwrap().1),
            "the session's own proof is none"
        );
        assert_eq!(Session::read(&key(), Some(1000), &format!("1.x.{}", one.csrf(&key())), NOW), None);
    }

    #[test]
    fn debug_shows_no_session() {
        let session = session();
        assert!(!format!("{session:?}").contains(session.text().expose()));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_no_session(text in "[0-9a-zA-Z._-]{0,80}") {
            prop_assert_eq!(Session::read(&key(), Some(1000), &text, NOW), None);
        }
    }
}
