//! Nonces (RFC 9449 sections 8 and 9): which are good is told by themselves, so that there may be any number of them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{CAPACITY, Server, Uses, seen::Seen};
use crate::{
    model::{Random, Timestamp},
    sandbox::ids,
};

/// Server, series, time and chance.
const PAYLOAD: usize = 1 + 8 + 8 + 8;

/// Makes nonces, and knows them again.
pub(super) struct Mint {
    key: [u8; 32],
    /// Goes up when all the nonces so far shall be forgotten.
    series: AtomicU64,
    spent: Seen,
}

// === impl Mint ===

impl Mint {
    pub(super) fn new(random: &Random) -> Self {
        Self { key: random.bytes(), series: AtomicU64::new(0), spent: Seen::new(CAPACITY) }
    }

    pub(super) fn issue(&self, server: Server, now: Timestamp, random: &Random) -> String {
        let mut nonce = vec![server as u8];
        nonce.extend(self.series.load(Relaxed).to_be_bytes());
        nonce.extend(now.millis().to_be_bytes());
        nonce.extend(random.bytes::<8>());
        let seal = self.seal(&nonce).finalize().into_bytes();
        nonce.extend(&seal[..]);
        ids::base64url(&nonce)
    }

    /// Whether `nonce` came from `server` not longer than `life` ago. With [`Uses::Once`] it is spent by that.
    pub(super) fn accepts(&self, nonce: &str, server: Server, life: Duration, uses: Uses, now: Timestamp) -> bool {
        let Some(made) = self.opened(nonce, server) else { return false };
        let until = made.plus(life);
        now < until && (uses == Uses::Many || self.spent.is_first(nonce, now, until))
    }

    pub(super) fn forget(&self) {
        self.series.fetch_add(1, Relaxed);
    }

    /// When a nonce of `server` was made.
    fn opened(&self, nonce: &str, server: Server) -> Option<Timestamp> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (payload, seal) = bytes.split_at_checked(PAYLOAD)?;
        self.seal(payload).verify_slice(seal).ok()?;
        let (&of, rest) = payload.split_first()?;
        let (&series, rest) = rest.split_first_chunk()?;
        let (&millis, _) = rest.split_first_chunk()?;
        let current = of == server as u8 && u64::from_be_bytes(series) == self.series.load(Relaxed);
        current.then(|| Timestamp::from_millis(i64::from_be_bytes(millis)))
    }

    fn seal(&self, payload: &[u8]) -> Hmac<Sha256> {
        #[allow(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 section 2)")]
        let mut seal = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        seal.update(payload);
        seal
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Mint, Server, Uses};
    use crate::model::{Random, Timestamp};

    const LIFE: Duration = Duration::from_secs(30);

    #[test]
    fn a_nonce_is_good_at_its_own_server_for_a_while() {
        let random = Random::system();
        let (mint, made) = (Mint::new(&random), Timestamp::from_secs(1_000));
        let nonce = mint.issue(Server::Token, made, &random);
        let accepts = |nonce: &str, server, after| {
            mint.accepts(nonce, server, LIFE, Uses::Many, made.plus(Duration::from_secs(after)))
        };
        assert!(accepts(&nonce, Server::Token, 0) && accepts(&nonce, Server::Token, 29));
        assert!(!accepts(&nonce, Server::Token, 30));
        assert!(!accepts(&nonce, Server::Api, 0));
        assert!(!accepts(&nonce[1..], Server::Token, 0) && !accepts("", Server::Token, 0));
        assert_ne!(nonce, mint.issue(Server::Token, made, &random));
    }

    #[test]
    fn a_nonce_for_one_use_is_spent_by_it() {
        let random = Random::system();
        let (mint, now) = (Mint::new(&random), Timestamp::from_secs(1_000));
        let nonce = mint.issue(Server::Api, now, &random);
        let once = || mint.accepts(&nonce, Server::Api, LIFE, Uses::Once, now);
        assert!(once() && !once());
    }

    #[test]
    fn forgotten_nonces_and_those_of_another_mint_are_unknown() {
        let random = Random::system();
        let (mint, other) = (Mint::new(&random), Mint::new(&random));
        let now = Timestamp::from_secs(1_000);
        let nonce = mint.issue(Server::Api, now, &random);
        assert!(!other.accepts(&nonce, Server::Api, LIFE, Uses::Many, now));
        mint.forget();
        assert!(!mint.accepts(&nonce, Server::Api, LIFE, Uses::Many, now));
    }
}
