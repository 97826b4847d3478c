//! The desktop's keyring (the Secret Service of freedesktop.org) as the place of the encryption key.
//!
//! An item holds what a key file holds: one or more lines, the first seals, all open. It has two attributes,
//!
//! ```text
//! service = flexslot-proxy    store = NAME
//! ```
//!
//! and is read and written by `secret-tool`. That replaces an item which has the same attributes without a word. So a
//! key is made only where a keyring that is certainly unlocked has none, with a lock held that every process of this
//! user respects; and what was stored is read back before anything is sealed with it.

mod error;
mod held;
#[cfg(test)]
mod tests;
mod tool;

use std::{
    ffi::OsString,
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::Duration,
};

use zeroize::Zeroizing;

pub use self::{error::KeyringError, held::HeldKeyring};

use self::tool::{Answer, NoAnswer, Tool};
use super::{
    files::create_private_dir,
    seal::{KeyRing, KeySource, Sealer},
};
use crate::model::{Random, Secret};

/// A key in the desktop's keyring.
#[derive(Debug, Clone)]
pub struct Keyring {
    item: Item,
    tool: Tool,
    lock_dir: Option<PathBuf>,
}

/// The item of a store, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub name: String,
}

/// A key that was to be made.
#[derive(Debug)]
pub enum Made {
    New(KeyRing),
    /// Somebody had made it before.
    Found(KeyRing),
}

/// The value of the attribute `service`.
#[derive(Debug, Clone, Copy)]
enum Service {
    Keys,
    /// Keys that a rotation has taken out: backups of the store may need them.
    OldKeys,
    /// Says nothing, and shows that the keyring takes something.
    Probe,
}

/// Time for somebody to type a password.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running process does not wait for a password: it has the keys that it had.
const IN_PASSING: Duration = Duration::from_secs(5);

/// What `secret-tool` takes (its buffer has 8,192 bytes, and what is longer is cut off).
const MAX_TEXT: usize = 8_000;

// === impl Keyring ===

impl Keyring {
    /// The item `name` in the session that these variables lead to. The lock lies in `lock_dir`.
    pub fn new(name: String, session: Vec<(&'static str, OsString)>, lock_dir: Option<PathBuf>) -> Self {
        Self { item: Item { name }, tool: Tool::find(session), lock_dir }
    }

    /// Which item it is.
    pub fn item(&self) -> &Item {
        &self.item
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.item.name
    }

    /// Reads the keys; `None` where a keyring that is unlocked has none. May wait for a minute for somebody to unlock it.
    pub fn read(&self) -> Result<Option<KeyRing>, KeyringError> {
        self.look_up(Service::Keys, PATIENCE)?.map(|text| self.parse(&text)).transpose()
    }

    /// Makes an item with one new key, unless there is one. Of several processes that do so at once, one makes it.
    pub fn create(&self, random: &Random) -> Result<Made, KeyringError> {
        let _lock = self.lock(File::lock)?;
        // One that is locked may look as if it were empty, and be unlocked by whoever answers the next question.
        self.store(Service::Probe, &Secret::new("unlocked"))?;
        let found = self.read();
        let _ = self.ask(&["clear"], Service::Probe, None, PATIENCE);
        match found? {
            Some(ring) => Ok(Made::Found(ring)),
            None => self.put(&joined(Sealer::generate_key_line(random).expose().lines())).map(Made::New),
        }
    }

    /// Puts `text` in the place of what the item holds, and looks whether it is there.
    fn put(&self, text: &Secret) -> Result<KeyRing, KeyringError> {
        let ring = self.parse(text)?;
        self.store(Service::Keys, text)?;
        match self.look_up(Service::Keys, PATIENCE)? {
            Some(kept) if Secret::new(kept.expose().trim_end()) == Secret::new(text.expose().trim_end()) => Ok(ring),
            _ => Err(KeyringError::NotKept(self.item.clone())),
        }
    }

    fn parse(&self, text: &Secret) -> Result<KeyRing, KeyringError> {
        KeyRing::parse(text).map_err(|fault| KeyringError::Keys { item: self.item.clone(), fault })
    }

    /// The item's text.
    fn look_up(&self, service: Service, limit: Duration) -> Result<Option<Secret>, KeyringError> {
        let answer = self.ask(&["lookup"], service, None, limit)?;
        if answer.status.success() {
            let text = str::from_utf8(&answer.stdout);
            return match text {
                Ok(text) => Ok(Some(Secret::new(text))),
                Err(_) => Err(self.failed("read", "it is not text".to_owned())),
            };
        }
        if !answer.is_silent() {
            return Err(self.fault("read", answer));
        }
        // Silence means that there is none, or that somebody would not unlock it. An item that is locked is listed.
        let listed = self.ask(&["search"], service, None, limit)?;
        if !listed.status.success() && !listed.is_silent() {
            return Err(self.fault("find", listed));
        }
        let is_listed = listed.stdout.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"[/"));
        if is_listed { Err(KeyringError::Locked(self.item.clone())) } else { Ok(None) }
    }

    fn store(&self, service: Service, text: &Secret) -> Result<(), KeyringError> {
        if text.expose().len() > MAX_TEXT {
            return Err(KeyringError::TooLong(self.item.clone()));
        }
        let label = format!("--label={} {}", service.label(), self.item.name);
        let answer = self.ask(&["store", &label], service, Some(text), PATIENCE)?;
        if answer.status.success() { Ok(()) } else { Err(self.fault("store", answer)) }
    }

    /// Runs `secret-tool` with the item's attributes.
    fn ask(
        &self,
        words: &[&str],
        service: Service,
        input: Option<&Secret>,
        limit: Duration,
    ) -> Result<Answer, KeyringError> {
        let args = [words, &["service", service.as_str(), "store", &self.item.name]].concat();
        self.tool.run(&args, input.map(Secret::expose), limit).map_err(|none| match none {
            NoAnswer::NotInstalled => KeyringError::NotInstalled,
            NoAnswer::NotStarted(error) => KeyringError::NotStarted(error),
            NoAnswer::Late(limit) => KeyringError::Late { item: self.item.clone(), limit },
        })
    }

    /// What an answer means that is no success.
    fn fault(&self, doing: &'static str, answer: Answer) -> KeyringError {
        let is_silent = answer.is_silent();
        let said = answer.said;
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if says(&["autolaunch", "Could not connect", "Connection refused"]) {
            KeyringError::NoSession
        } else if says(&["org.freedesktop.secrets"]) {
            KeyringError::NoService
        } else if is_silent || says(&["locked"]) {
            KeyringError::Locked(self.item.clone())
        } else {
            self.failed(doing, said)
        }
    }

    fn failed(&self, doing: &'static str, said: String) -> KeyringError {
        KeyringError::Failed { item: self.item.clone(), doing, said }
    }

    /// Takes the lock of the item. It lies beside nothing that matters, and is left there.
    fn lock<E: Into<io::Error>>(&self, take: impl FnOnce(&File) -> Result<(), E>) -> Result<File, KeyringError> {
        let Some(dir) = &self.lock_dir else { return Err(KeyringError::NoSession) };
        let path = dir.join(format!("keyring-{}.lock", self.item.name));
        let open = || {
            create_private_dir(dir)?;
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)
        };
        let locked = open().and_then(|file| take(&file).map_err(Into::into).map(|()| file));
        locked.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => KeyringError::Busy(self.item.clone()),
            _ => KeyringError::Lock { path, error },
        })
    }
}

/// What a running process does when it meets a key id that it does not know.
impl KeySource for Keyring {
    fn reread(&self) -> Option<KeyRing> {
        let read = || match self.look_up(Service::Keys, IN_PASSING)? {
            Some(text) => self.parse(&text),
            None => Err(KeyringError::Missing(self.item.clone())),
        };
        read()
            .inspect_err(|error| {
                tracing::warn!(%error, hint = error.hint(), "the desktop's keyring cannot be read again; the keys stay as they are");
            })
            .ok()
    }
}

/// Each line with its end. Room from the start, because a text that grows leaves unwiped copies behind.
fn joined<'t>(lines: impl Iterator<Item = &'t str> + Clone) -> Secret {
    let room = lines.clone().map(|line| line.len() + 1).sum();
    let mut text = Zeroizing::new(String::with_capacity(room));
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    Secret::new(text.as_str())
}

// === impl Item ===

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the item \"{}\"", self.name)
    }
}

// === impl Service ===

impl Service {
    fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "flexslot-proxy",
            Self::OldKeys => "flexslot-proxy-old-keys",
            Self::Probe => "flexslot-proxy-probe",
        }
    }

    /// As Passwords and Keys shows it.
    fn label(self) -> &'static str {
        match self {
            Self::Keys => "flexslot-proxy: encryption key of",
            Self::OldKeys => "flexslot-proxy: former encryption keys of",
            Self::Probe => "flexslot-proxy: about to make a key for",
        }
    }
}
