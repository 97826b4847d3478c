//! Changing the keys of a keyring's item that others read meanwhile. The keyring replaces an item as a whole.

use std::fs::File;

use super::{Item, Keyring, KeyringError, MAX_TEXT, PATIENCE, Service, joined};
use crate::{
    model::Secret,
    store::seal::{KeyId, KeyRing},
};

/// An item that no other process of this user changes until this is dropped.
#[derive(Debug)]
pub struct HeldKeyring {
    keyring: Keyring,
    _lock: File,
}

// === impl Keyring ===

impl Keyring {
    /// Keeps others from changing the item.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Busy`] when another process does the same.
    pub fn hold(&self) -> Result<HeldKeyring, KeyringError> {
        let lock = self.lock(File::try_lock)?;
        Ok(HeldKeyring { keyring: self.clone(), _lock: lock })
    }
}

// === impl HeldKeyring ===

impl HeldKeyring {
    /// Which item it is.
    pub fn item(&self) -> &Item {
        self.keyring.item()
    }

    /// The keys as they are.
    pub fn keys(&self) -> Result<KeyRing, KeyringError> {
        self.keyring.parse(&self.text()?)
    }

    /// Puts `line` in front of the others.
    pub fn put_first(&mut self, line: &Secret) -> Result<KeyRing, KeyringError> {
        self.keyring.put(&in_front(line.expose(), self.text()?.expose()))
    }

    /// Takes the lines of `keys` out, and puts them to the former keys, because nobody has backed this place up as one
    /// does a file. The other lines stay as they are.
    pub fn remove(&mut self, keys: &[KeyId]) -> Result<KeyRing, KeyringError> {
        let text = self.text()?;
        let goes = |line: &&str| KeyId::of_line(line).is_some_and(|id| keys.contains(&id));
        let lines = text.expose().lines();
        self.put_to_former(&joined(lines.clone().filter(goes)))?;
        self.keyring.put(&joined(lines.filter(|line| !goes(line))))
    }

    /// The latest first; what is too old to fit goes.
    fn put_to_former(&self, lines: &Secret) -> Result<(), KeyringError> {
        let former = self.keyring.look_up(Service::OldKeys, PATIENCE)?;
        let all = in_front(lines.expose(), former.as_ref().map_or("", Secret::expose));
        let ends = all.expose().lines().scan(0, |end, line| {
            *end += line.len() + 1;
            Some(*end)
        });
        let fit = ends.take_while(|end| *end <= MAX_TEXT).count();
        self.keyring.store(Service::OldKeys, &joined(all.expose().lines().take(fit)))
    }

    fn text(&self) -> Result<Secret, KeyringError> {
        let text = self.keyring.look_up(Service::Keys, PATIENCE)?;
        text.ok_or_else(|| KeyringError::Missing(self.keyring.item.clone()))
    }
}

/// `lines`, and behind them `others`.
fn in_front(lines: &str, others: &str) -> Secret {
    joined(lines.lines().chain(others.lines()))
}
