//! The encryption keys of a process: one or more lines of 32 bytes in base64. The first seals, all open.

use std::{fmt, sync::Arc};

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::model::{Random, Secret};

pub(super) const KEY_ID_LEN: usize = 8;
pub(super) const KEY_LEN: usize = 32;

/// Keys are read with or without their padding; people and tools differ.
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One or more keys: the first seals, all open. Wiped when the last ring that has them is dropped.
pub struct KeyRing {
    pub(super) first: Arc<Key>,
    pub(super) others: Vec<Arc<Key>>,
}

pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) cipher: XChaCha20Poly1305,
}

/// Names a key without giving it away: the first eight bytes of its SHA-256, printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(super) [u8; KEY_ID_LEN]);

/// Why a text is no key ring. Names the line, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKeys {
    /// Not a single key.
    Empty,
    /// This line (from 1) is not 32 bytes in base64.
    Line(usize),
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
        let mut keys = lines.map(|(line, number)| Key::parse(line).map(Arc::new).ok_or(InvalidKeys::Line(number)));
        let first = keys.next().ok_or(InvalidKeys::Empty)??;
        Ok(Self { first, others: keys.collect::<Result<_, _>>()? })
    }

    /// A ring with one new key that is nowhere written down; for stores that end with the process.
    pub fn ephemeral(random: &Random) -> Self {
        Self { first: Arc::new(Key::new(&Zeroizing::new(random.bytes()))), others: Vec::new() }
    }

    /// Whether the key of this id is among them.
    pub fn holds(&self, id: KeyId) -> bool {
        self.find(id).is_some()
    }

    /// The id of the key that seals.
    pub fn first(&self) -> KeyId {
        self.first.id
    }

    /// The ids of the keys that only open, each once.
    pub fn others(&self) -> Vec<KeyId> {
        let mut others: Vec<_> = self.others.iter().map(|key| key.id).filter(|id| *id != self.first.id).collect();
        others.sort();
        others.dedup();
        others
    }

    /// These keys, and behind them those of `before` that are not among them.
    pub(super) fn over(mut self, before: &Self) -> Self {
        for key in std::iter::once(&before.first).chain(&before.others) {
            if !self.holds(key.id) {
                self.others.push(Arc::clone(key));
            }
        }
        self
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&Key> {
        std::iter::once(&self.first).chain(&self.others).find(|key| key.id == id).map(|key| &**key)
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
        let mut buffer = Zeroizing::new([0; 96]);
        let len = KEY_TEXT.decode_slice(line, buffer.as_mut_slice()).ok()?;
        buffer[..len].try_into().ok().map(Self::new)
    }

    fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&Sha256::digest(key)[..KEY_ID_LEN]);
        Self { id: KeyId(id), cipher: XChaCha20Poly1305::new(key.into()) }
    }
}

// === impl KeyId ===

impl KeyId {
    /// The id of the key in a line of a key file; `None` where there is no key in it.
    pub(in crate::store) fn of_line(line: &str) -> Option<Self> {
        Key::parse(line.trim()).map(|key| key.id)
    }
}

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
