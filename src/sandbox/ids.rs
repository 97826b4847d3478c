//! Tokens, identifiers, and the digests under which tokens are kept.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::model::{Random, Secret, Timestamp};

/// SHA-256 of a token: the sandbox keeps no token, only these.
pub(super) type Digest = [u8; 32];

/// Orders identifiers made within one millisecond.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

/// Crockford's base 32, the alphabet of ULIDs.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

pub(super) fn digest(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}

/// Base64url without padding.
pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An opaque token of 256 bits behind `prefix`.
pub(super) fn token(random: &Random, prefix: &str) -> Secret {
    Secret::new(format!("{prefix}{}", base64url(&random.bytes::<32>())))
}

/// An unguessable value for a form or a path.
pub(super) fn nonce(random: &Random) -> String {
    base64url(&random.bytes::<18>())
}

/// A ULID: 48 bits of milliseconds, 80 random bits.
pub(super) fn ulid(random: &Random, now: Timestamp) -> String {
    let mut bytes = [0; 16];
    bytes[6..].copy_from_slice(&random.bytes::<10>());
    let value = u128::from_be_bytes(bytes) | (u128::from(now.millis().cast_unsigned() & 0xffff_ffff_ffff) << 80);
    (0..26).rev().map(|digit| char::from(CROCKFORD[(value >> (5 * digit)) as usize & 31])).collect()
}

/// A UUID of version 7: ordered by creation, so that a sorted map lists oldest first.
pub(super) fn uuid(random: &Random, now: Timestamp) -> String {
    let mut bytes = random.bytes::<16>();
    bytes[..6].copy_from_slice(&now.millis().to_be_bytes()[2..]);
    let [.., high, low] = SEQUENCE.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    (bytes[6], bytes[7]) = (0x70 | (high & 0x0f), low);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex = hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::{ulid, uuid};
    use crate::model::{Random, Timestamp};

    #[test]
    fn identifiers_are_ordered_by_creation() {
        let (random, now) = (Random::system(), Timestamp::from_secs(1_795_200_000));
        let later = Timestamp::from_millis(now.millis() + 1);
        assert!(uuid(&random, now) < uuid(&random, later));
        assert!(ulid(&random, now) < ulid(&random, later));
        assert_eq!((uuid(&random, now).len(), ulid(&random, now).len()), (36, 26));
    }
}
