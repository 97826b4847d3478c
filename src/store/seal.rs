//! Sealing: what a secret looks like at rest.
//!
//! A sealed value is XChaCha20-Poly1305 under a random nonce, so that a value may be sealed again and again without a
//! counter to keep:
//!
//! ```text
//! format (1 byte, 1) | key id (8) | nonce (24) | ciphertext, as long as the secret | tag (16)
//! ```
//!
//! The key id is the first eight bytes of the key's SHA-256. The associated data is the header (format and key id) and
//! then, each with its length in front, the record's kind, the record's name and the field's name. A value that is
//! moved to another row, another tenant or another field does not open.

use std::{collections::HashSet, fmt, sync::Arc};

use arc_swap::ArcSwap;
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::model::{Random, Secret};

const FORMAT: u8 = 1;
const KEY_LEN: usize = 32;
const KEY_ID_LEN: usize = 8;
const NONCE_LEN: usize = 24;
const HEADER_LEN: usize = 1 + KEY_ID_LEN;

/// Keys are read with or without their padding; people and tools differ.
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Seals and opens with a [`KeyRing`]. Cheap to clone; clones share the ring.
#[derive(Clone)]
pub struct Sealer(Arc<Inner>);

struct Inner {
    ring: ArcSwap<KeyRing>,
    source: Option<Box<dyn KeySource>>,
    /// Key ids that the source was already asked for: each costs one reading of the key file, not one per record.
    asked: Mutex<HashSet<KeyId>>,
    random: Random,
}

/// One or more keys: the first seals, all open. Wiped when dropped.
pub struct KeyRing {
    first: Key,
    others: Vec<Key>,
}

struct Key {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

/// Names a key without giving it away: the first eight bytes of its SHA-256, printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; KEY_ID_LEN]);

/// Where a running process looks when it meets a key id that it does not know.
pub trait KeySource: Send + Sync + 'static {
    /// The keys as they are now; `None` when they cannot be read, which the source has then logged.
    fn reread(&self) -> Option<KeyRing>;
}

/// Where a sealed value belongs. It opens there and nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The kind of record, such as `grant`.
    pub kind: &'a str,
    /// The record's name, for most kinds the tenant.
    pub name: &'a str,
    /// The field, such as `refresh_token`.
    pub field: &'a str,
}

/// A sealed secret. Only a [`Sealer`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// Why a value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealFault {
    /// Not the shape of a sealed value.
    Format,
    /// Sealed with a key that is not on the ring.
    UnknownKey(KeyId),
    /// Altered, or sealed for another place.
    Forged,
}

/// Why a text is no key ring. Names the line, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKeys {
    /// Not a single key.
    Empty,
    /// This line (from 1) is not 32 bytes in base64.
    Line(usize),
}

// === impl Sealer ===

impl Sealer {
    /// A sealer whose keys change only by [`Sealer::replace`].
    pub fn new(ring: KeyRing, random: Random) -> Self {
        Self::build(ring, None, random)
    }

    /// A sealer that asks `source` once for every key id that it does not know.
    pub fn with_source(ring: KeyRing, source: impl KeySource, random: Random) -> Self {
        Self::build(ring, Some(Box::new(source)), random)
    }

    fn build(ring: KeyRing, source: Option<Box<dyn KeySource>>, random: Random) -> Self {
        Self(Arc::new(Inner { ring: ArcSwap::from_pointee(ring), source, asked: Mutex::default(), random }))
    }

    /// A new random key as a line for a key file, without the line's end.
    pub fn generate_key_line(random: &Random) -> Secret {
        let key = Zeroizing::new(random.bytes::<KEY_LEN>());
        Secret::new(STANDARD.encode(*key))
    }

    /// Takes `ring` instead of the keys known so far, and forgets which key ids were not found in them.
    pub fn replace(&self, ring: KeyRing) {
        self.0.ring.store(Arc::new(ring));
        self.0.asked.lock().clear();
    }

    /// The id of the key that seals.
    pub fn sealing_key(&self) -> KeyId {
        self.0.ring.load().first.id
    }

    /// Seals `secret` for `place`.
    pub fn seal(&self, place: Place<'_>, secret: &Secret) -> Sealed {
        let ring = self.0.ring.load();
        let nonce = self.0.random.bytes::<NONCE_LEN>();
        let mut sealed = Vec::with_capacity(HEADER_LEN + NONCE_LEN + secret.expose().len() + 16);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&ring.first.id.0);
        let aad = place.associated_data(&sealed);
        sealed.extend_from_slice(&nonce);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &aad };
        #[allow(clippy::expect_used, reason = "the cipher takes everything up to 256 GiB")]
        let ciphertext = ring.first.cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret fits into memory");
        sealed.extend_from_slice(&ciphertext);
        Sealed(sealed)
    }

    /// Opens what was sealed for `place`. May read the key file, once for each key id that is not known.
    ///
    /// # Errors
    ///
    /// Tells a foreign shape, an unknown key and everything else apart, and no more than that.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealFault> {
        let (header, rest) = sealed.0.split_at_checked(HEADER_LEN).ok_or(SealFault::Format)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealFault::Format)?;
        let id = match header.split_first() {
            Some((&FORMAT, id)) => KeyId(id.try_into().map_err(|_| SealFault::Format)?),
            _ => return Err(SealFault::Format),
        };
        let ring = self.ring_with(id);
        let key = ring.find(id).ok_or(SealFault::UnknownKey(id))?;
        let payload = Payload { msg: ciphertext, aad: &place.associated_data(header) };
        let plain = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealFault::Forged)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| SealFault::Forged)
    }

    /// The ring, read again if that may bring the key named `id`.
    fn ring_with(&self, id: KeyId) -> Arc<KeyRing> {
        let ring = self.0.ring.load_full();
        let (None, Some(source)) = (ring.find(id), &self.0.source) else { return ring };
        // The lock is held over the reading, so that others who meet the same id wait for its outcome instead of
        // failing.
        let mut asked = self.0.asked.lock();
        let ring = self.0.ring.load_full();
        if ring.find(id).is_some() || !asked.insert(id) {
            return ring;
        }
        match source.reread() {
            Some(fresh) if fresh.find(id).is_some() => {
                let fresh = Arc::new(fresh);
                self.0.ring.store(Arc::clone(&fresh));
                fresh
            }
            _ => ring,
        }
    }
}

/// Shows key ids, which are no secret.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealer").field(&*self.0.ring.load()).finish()
    }
}

// === impl KeyRing ===

impl KeyRing {
    /// Reads one key per line, 32 bytes in base64 each; empty lines do not count.
    ///
    /// # Errors
    ///
    /// Names the first line that is no key.
    pub fn parse(text: &Secret) -> Result<Self, InvalidKeys> {
        let lines = text.expose().lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty());
        let mut keys = lines.map(|(line, number)| Key::parse(line).ok_or(InvalidKeys::Line(number)));
        let first = keys.next().ok_or(InvalidKeys::Empty)??;
        Ok(Self { first, others: keys.collect::<Result<_, _>>()? })
    }

    /// A ring with one new key that is nowhere written down; for stores that end with the process.
    pub fn ephemeral(random: &Random) -> Self {
        Self { first: Key::new(&Zeroizing::new(random.bytes())), others: Vec::new() }
    }

    /// Whether the key of this id is among them.
    pub fn holds(&self, id: KeyId) -> bool {
        self.find(id).is_some()
    }

    fn find(&self, id: KeyId) -> Option<&Key> {
        std::iter::once(&self.first).chain(&self.others).find(|key| key.id == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entry(&self.first.id).entries(self.others.iter().map(|key| key.id)).finish()
    }
}

// === impl Key ===

impl Key {
    fn parse(line: &str) -> Option<Self> {
        // Longer than any key's text needs, so that a line that is too long is told by its length.
        let mut buffer = Zeroizing::new([0; 3 * KEY_LEN]);
        let len = KEY_TEXT.decode_slice(line, buffer.as_mut_slice()).ok()?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if len != KEY_LEN {
            return None;
        }
        key.copy_from_slice(&buffer[..KEY_LEN]);
        Some(Self::new(&key))
    }

    fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&Sha256::digest(key)[..KEY_ID_LEN]);
        Self { id: KeyId(id), cipher: XChaCha20Poly1305::new(key.into()) }
    }
}

// === impl KeyId ===

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl KeySource ===

impl<F: Fn() -> Option<KeyRing> + Send + Sync + 'static> KeySource for F {
    fn reread(&self) -> Option<KeyRing> {
        self()
    }
}

// === impl Place ===

impl Place<'_> {
    /// Unambiguous because every part has its length in front: no two places share it.
    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        let mut data = Vec::from(header);
        for part in [self.kind, self.name, self.field] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

// === impl Sealed ===

impl Sealed {
    /// The base64 that a record holds.
    pub(super) fn to_text(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// As read from a record; whether it opens is for [`Sealer::open`] to say.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok().map(Self)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

// === impl SealFault ===

impl fmt::Display for SealFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("not a sealed value"),
            Self::UnknownKey(id) => write!(f, "sealed with the key {id}, which is not among the encryption keys"),
            Self::Forged => f.write_str("altered, or sealed for another place"),
        }
    }
}

impl std::error::Error for SealFault {}

// === impl InvalidKeys ===

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no key in it"),
            Self::Line(number) => write!(f, "line {number}: not 32 bytes in base64"),
        }
    }
}

impl std::error::Error for InvalidKeys {}

#[cfg(test)]
mod tests;
