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
//! then, each with its length in front, the record's kind, the record's name, the field's name, and a digest of what
//! stands beside the value in its record. A value that is moved to another row, another tenant or another field does not
//! open, and neither does one whose record says anything else than when it was sealed.

mod ring;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XNonce,
    aead::{Aead, Payload},
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use self::ring::{InvalidKeys, KeyId, KeyRing};
use self::ring::{KEY_ID_LEN, KEY_LEN};
use crate::model::{Random, Secret};

const FORMAT: u8 = 1;
const NONCE_LEN: usize = 24;
const HEADER_LEN: usize = 1 + KEY_ID_LEN;
const TAG_LEN: usize = 16;

/// Seals and opens with a [`KeyRing`]. Cheap to clone; clones share the ring.
#[derive(Clone)]
pub struct Sealer(Arc<Inner>);

struct Inner {
    ring: ArcSwap<KeyRing>,
    /// How often another ring was taken over.
    changes: AtomicU64,
    source: Option<Box<dyn KeySource>>,
    asked: Mutex<Asked>,
    random: Random,
}

/// Key ids that the source was already asked for: each costs one reading of the key file, not one per record.
#[derive(Default)]
struct Asked {
    /// Because something was sealed with them.
    unknown: HashSet<KeyId>,
    /// Because the store was.
    followed: HashSet<KeyId>,
}

/// What [`Sealer::follow`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// That key sealed here already, or this was told before.
    Nothing,
    /// It seals from now on.
    Sealing,
    /// It only opens: among our keys it is not the first.
    Opening,
    /// It is not among our keys.
    Unknown,
}

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
    pub beside: Beside,
}

/// What stands in a record beside its sealed values, as its SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside([u8; 32]);

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
    /// Altered, or its record was, or sealed for another place.
    Forged,
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
        let ring = ArcSwap::from_pointee(ring);
        Self(Arc::new(Inner { ring, changes: AtomicU64::new(0), source, asked: Mutex::default(), random }))
    }

    /// A new random key as a line for a key file, without the line's end.
    pub fn generate_key_line(random: &Random) -> Secret {
        let key = Zeroizing::new(random.bytes::<KEY_LEN>());
        Secret::new(STANDARD.encode(*key))
    }

    /// Takes `ring` over, and forgets which key ids were not found so far.
    ///
    /// Keys that it no longer has go on opening until the process ends: something may have been sealed with them a
    /// moment ago.
    pub fn replace(&self, ring: KeyRing) {
        let mut asked = self.0.asked.lock();
        self.take_over(ring);
        *asked = Asked::default();
    }

    /// Only with [`Inner::asked`] locked, so that of two readings of the key file the later one wins.
    fn take_over(&self, ring: KeyRing) -> Arc<KeyRing> {
        let ring = Arc::new(ring.over(&self.0.ring.load()));
        self.0.ring.store(Arc::clone(&ring));
        self.0.changes.fetch_add(1, Ordering::Release);
        ring
    }

    /// The store is sealed with the key `id`. Where another one seals here, the key file is read again, once for each
    /// such id.
    pub fn follow(&self, id: KeyId) -> Followed {
        if self.sealing_key() == id {
            return Followed::Nothing;
        }
        let mut asked = self.0.asked.lock();
        if self.sealing_key() == id || !asked.followed.insert(id) {
            return Followed::Nothing;
        }
        let fresh = self.0.source.as_ref().and_then(|source| source.reread()).filter(|fresh| fresh.holds(id));
        let ring = match fresh {
            Some(fresh) => self.take_over(fresh),
            None => self.0.ring.load_full(),
        };
        match ring.find(id) {
            Some(_) if ring.first() == id => Followed::Sealing,
            Some(_) => Followed::Opening,
            None => Followed::Unknown,
        }
    }

    /// The keys as they are now.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.0.ring.load_full()
    }

    /// How often another ring was taken over.
    pub fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// The id of the key that seals.
    pub fn sealing_key(&self) -> KeyId {
        self.0.ring.load().first.id
    }

    /// Seals `secret` for `place`.
    pub fn seal(&self, place: Place<'_>, secret: &Secret) -> Sealed {
        let ring = self.0.ring.load();
        let nonce = self.0.random.bytes::<NONCE_LEN>();
        let header = [&[FORMAT], &ring.first.id.0[..]].concat();
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &place.associated_data(&header) };
        #[allow(clippy::expect_used, reason = "the cipher takes everything up to 256 GiB")]
        let ciphertext = ring.first.cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret fits into memory");
        Sealed([&header[..], &nonce, &ciphertext].concat())
    }

    /// Opens what was sealed for `place`. May read the key file, once for each key id that is not known.
    ///
    /// # Errors
    ///
    /// Tells a foreign shape, an unknown key and everything else apart, and no more than that.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealFault> {
        let id = sealed.key().ok_or(SealFault::Format)?;
        let (header, rest) = sealed.0.split_at_checked(HEADER_LEN).ok_or(SealFault::Format)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealFault::Format)?;
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
        if ring.find(id).is_some() || !asked.unknown.insert(id) {
            return ring;
        }
        match source.reread() {
            Some(fresh) if fresh.holds(id) => self.take_over(fresh),
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
        for part in [self.kind.as_bytes(), self.name.as_bytes(), self.field.as_bytes(), &self.beside.0] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

// === impl Beside ===

impl Beside {
    /// Of a record whose plain fields these bytes are.
    pub fn of(plain: &[u8]) -> Self {
        Self(Sha256::digest(plain).into())
    }
}

// === impl Sealed ===

impl Sealed {
    /// The base64 that a record holds.
    pub(super) fn to_text(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// The key that sealed it; `None` where this is not the shape of a sealed value.
    pub(super) fn key(&self) -> Option<KeyId> {
        let (header, rest) = self.0.split_first_chunk::<HEADER_LEN>()?;
        let (&format, id) = header.split_first()?;
        let is_sealed = format == FORMAT && rest.len() >= NONCE_LEN + TAG_LEN;
        id.try_into().ok().filter(|_| is_sealed).map(KeyId)
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
            Self::Forged => f.write_str("it or its record was altered, or it was sealed for another place"),
        }
    }
}

impl std::error::Error for SealFault {}

#[cfg(test)]
mod tests;
