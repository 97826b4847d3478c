//! What can go wrong with a key in the desktop's keyring, in words for its owner.

use std::{fmt, io, path::PathBuf, time::Duration};

use super::Item;
use crate::store::seal::InvalidKeys;

/// Why the keyring does not give or take a key. `Display` says what happened, [`KeyringError::hint`] what to do. Never
/// carries a key.
#[derive(Debug)]
pub enum KeyringError {
    /// `secret-tool` is not there.
    NotInstalled,
    /// It cannot be run.
    NotStarted(io::Error),
    /// The process belongs to no desktop session: there is no bus to find a keyring on.
    NoSession,
    /// Nobody in the session keeps secrets.
    NoService,
    /// Somebody has to unlock it, and has not done so.
    Locked(Item),
    /// The same, or whoever keeps the secrets hangs.
    Late { item: Item, limit: Duration },
    /// There is no such item.
    Missing(Item),
    /// It is there already, and a key is never overwritten.
    Exists(Item),
    /// Another process changes it just now.
    Busy(Item),
    /// The lock of the item cannot be taken.
    Lock { path: PathBuf, error: io::Error },
    /// What came back is not what was stored.
    NotKept(Item),
    /// More keys than `secret-tool` takes at once.
    TooLong(Item),
    /// There is no key in it, or something else.
    Keys { item: Item, fault: InvalidKeys },
    /// `secret-tool` has failed, and said this.
    Failed { item: Item, doing: &'static str, said: String },
}

const OR_A_FILE: &str = "or keep the key in a file: encryption_key = { file = \"flexslot-proxy.key\" }";

// === impl KeyringError ===

impl KeyringError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotInstalled => {
                format!("install it (Debian, Ubuntu: libsecret-tools; Fedora, Arch: libsecret), {OR_A_FILE}")
            }
            Self::NoSession => format!(
                "start it in the session, where DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR leads to the bus (a unit of systemctl --user is in it, \
                 a system's service or a bare ssh is not), {OR_A_FILE}"
            ),
            Self::NoService => {
                format!("start GNOME Keyring, KWallet, or KeePassXC with its Secret Service turned on, {OR_A_FILE}")
            }
            Self::Locked(_) | Self::Late { .. } => format!(
                "unlock it on the desktop where it asks for its password, then run this again; where nobody can, {}",
                OR_A_FILE.trim_start_matches("or ")
            ),
            Self::Missing(Item { name }) => format!(
                "put the key back that the store was made with: secret-tool store --label=flexslot-proxy service flexslot-proxy store {name} < FILE"
            ),
            Self::Exists(_) => "use it, or name another item".to_owned(),
            Self::Busy(_) => "wait until the other command has ended, then run it again".to_owned(),
            Self::TooLong(Item { name }) => {
                format!("take old keys out of it by hand: secret-tool lookup service flexslot-proxy store {name}")
            }
            Self::Keys { .. } => "each line holds 32 bytes in base64; key generate makes one".to_owned(),
            Self::NotKept(_) => {
                format!("see whether the keyring can be written (Passwords and Keys shows it), {OR_A_FILE}")
            }
            Self::NotStarted(_) | Self::Lock { .. } | Self::Failed { .. } => return None,
        };
        Some(hint)
    }
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str(
                "the encryption key is in the desktop's keyring, and secret-tool, which asks for it, is not installed",
            ),
            Self::NotStarted(error) => write!(f, "secret-tool cannot be run: {error}"),
            Self::NoSession => f.write_str(
                "the encryption key is in the desktop's keyring, and this process belongs to no desktop session",
            ),
            Self::NoService => {
                f.write_str("the encryption key is in the desktop's keyring, and nothing in this session keeps one")
            }
            Self::Locked(item) => write!(f, "the desktop's keyring is locked, and with it {item}"),
            Self::Late { item, limit } => write!(
                f,
                "the desktop's keyring has not given {item} within {} s; as a rule it waits to be unlocked",
                limit.as_secs()
            ),
            Self::Missing(Item { name }) => write!(f, "the desktop's keyring has no item \"{name}\""),
            Self::Exists(item) => {
                write!(f, "{item} is in the desktop's keyring already, and a key is never overwritten")
            }
            Self::Busy(item) => write!(f, "another command is at work on {item} of the desktop's keyring"),
            Self::Lock { path, error } => write!(f, "{}: cannot be locked: {error}", path.display()),
            Self::NotKept(item) => write!(f, "the desktop's keyring has taken {item}, and does not give it back"),
            Self::TooLong(item) => write!(f, "{item} of the desktop's keyring has no room for another key"),
            Self::Keys { item, fault } => write!(f, "{item} of the desktop's keyring: {fault}"),
            Self::Failed { item, doing, said } if said.is_empty() => {
                write!(f, "secret-tool cannot {doing} {item}, and does not say why")
            }
            Self::Failed { item, doing, said } => write!(f, "secret-tool cannot {doing} {item}: {said}"),
        }
    }
}

impl std::error::Error for KeyringError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotStarted(error) | Self::Lock { error, .. } => Some(error),
            Self::Keys { fault, .. } => Some(fault),
            _ => None,
        }
    }
}
