//! What can go wrong with a store, in words for the operator.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{
    files::dir_of,
    seal::{InvalidKeys, KeyId},
};
use crate::model::file_access::TooOpen;

/// Why the store did not do what it was asked. Never carries a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Out of reach, full, locked for too long, …; the same call may work later. The text is for the operator.
    Unavailable(String),
    /// A record that this program did not write, or cannot open with the keys it has. Names the record and the field.
    Unreadable { record: String, what: String },
}

/// Why a store cannot be used at all. `Display` says what happened and where, [`OpenError::hint`] what to do.
#[derive(Debug)]
pub enum OpenError {
    /// A file or directory that cannot be made or used.
    File { path: PathBuf, doing: &'static str, error: io::Error },
    /// The store's file belongs to this other user.
    OtherOwner { path: PathBuf, uid: u32 },
    /// The file is not a store of this program.
    Foreign { path: PathBuf },
    /// The file was written by a newer version of this program.
    Newer { path: PathBuf, found: i64, known: i64 },
    /// The store was sealed with a key that is not among the configured ones.
    WrongKey { sealed_with: KeyId, configured: KeyId },
    /// The record that tells a right key from a wrong one is itself damaged.
    KeyCheckDamaged { what: String },
    /// There is no store there yet, and who opened it only looks.
    NotYet { place: String },
    /// A server that cannot be used until something is mended: who we are, what we may, or what lies there is not
    /// right. Never holds a user's name or password.
    Refused { what: String, hint: String },
    /// The store answered with an error.
    Store(StoreError),
}

/// Why a key file cannot be used or made. `Display` says what happened and where, [`KeyFileError::hint`] what to do.
#[derive(Debug)]
pub enum KeyFileError {
    /// It cannot be read, or not be written.
    File { path: PathBuf, doing: &'static str, error: io::Error },
    /// It exists already, and a key file is never overwritten.
    Exists { path: PathBuf },
    /// Another process rewrites it just now.
    Busy { path: PathBuf },
    /// Others may read or write it.
    TooOpen { path: PathBuf, mode: u32, to_others: TooOpen },
    /// There is no key in it, or something else.
    Keys { path: PathBuf, fault: InvalidKeys },
}

// === impl StoreError ===

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(what) => write!(f, "the store is unavailable: {what}"),
            Self::Unreadable { record, what } => write!(f, "the record \"{record}\" is unreadable: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

// === impl OpenError ===

impl OpenError {
    /// The next step, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OtherOwner { uid, .. } => Some(format!("run the command as that user: sudo -u '#{uid}' flexslot-proxy …")),
            Self::Foreign { .. } => Some("name another file in store.url; this one was left as it is".into()),
            Self::Newer { .. } => Some("use the newer program; the file was left as it is".into()),
            Self::WrongKey { .. } => Some(
                "give the key that this store is sealed with in store.encryption_key (after a rotation, from the key file of a process that runs), \
                 or name another store; nothing was written"
                    .into(),
            ),
            Self::KeyCheckDamaged { .. } => Some("restore the store from a backup; nothing was written".into()),
            Self::Refused { hint, .. } => Some(hint.clone()),
            Self::NotYet { .. } => Some("flexslot-proxy serve creates it".into()),
            Self::File { path, error, .. } => who_may_write(path, error),
            Self::Store(_) => None,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, doing, error } => write!(f, "{}: cannot {doing}: {error}", path.display()),
            Self::OtherOwner { path, uid } => {
                write!(f, "{}: the store belongs to the user with the id {uid}", path.display())
            }
            Self::Foreign { path } => write!(f, "{}: not a store of flexslot-proxy", path.display()),
            Self::Newer { path, found, known } => write!(
                f,
                "{}: written by a newer flexslot-proxy (format {found}; this one knows up to {known})",
                path.display()
            ),
            Self::WrongKey { sealed_with, configured } => write!(
                f,
                "wrong encryption key: the store is sealed with the key {sealed_with}, the first configured key is {configured}"
            ),
            Self::KeyCheckDamaged { what } => write!(f, "the store's key check is damaged: {what}"),
            Self::NotYet { place } => write!(f, "{place}: the store does not exist yet"),
            Self::Refused { what, .. } => f.write_str(what),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The way out where the file system does not let us.
fn who_may_write(path: &Path, error: &io::Error) -> Option<String> {
    let dir = dir_of(path).display();
    match error.kind() {
        // Nobody but systemd writes there (systemd.exec(5), "Credentials").
        _ if path.starts_with("/run/credentials") => Some(format!(
            "{} does not exist: LoadCredential= in the unit puts it there, and flexslot-proxy key generate --out FILE makes the file \
             that it names",
            path.display()
        )),
        io::ErrorKind::PermissionDenied => Some(format!(
            "the user who runs flexslot-proxy must be able to write in {dir}; give it that directory, run as its owner, or name another place \
             (store.url, or --store sqlite:PATH; a key beside it goes along)"
        )),
        io::ErrorKind::ReadOnlyFilesystem => Some(format!(
            "{dir} cannot be written; name another place (store.url, or --store sqlite:PATH; a key beside it goes along)"
        )),
        io::ErrorKind::NotADirectory => Some("name a file in a directory".to_owned()),
        _ => None,
    }
}

// === impl KeyFileError ===

impl KeyFileError {
    /// The file may be read and not be rewritten: a read-only mount, another owner's, a single file mounted into a
    /// container.
    pub fn is_read_only(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
        matches!(self, Self::File { error, .. } if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy))
    }

    /// The next step, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { path, doing, error } if doing.starts_with("write") || doing.starts_with("make") => {
                who_may_write(path, error)
            }
            Self::File { .. } => None,
            Self::Exists { .. } => Some("use it, or name another file".into()),
            Self::Busy { .. } => Some("wait until the other key rotate has ended, then run it again".into()),
            Self::TooOpen { path, to_others, .. } => Some(format!(
                "chmod {} {} (any_mode = true in proxy.toml accepts it as it is)",
                to_others.mended_by(),
                path.display()
            )),
            Self::Keys { .. } => Some("each line holds 32 bytes in base64; key generate makes one".into()),
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, doing, error } => write!(f, "{}: cannot {doing}: {error}", path.display()),
            Self::Exists { path } => {
                write!(f, "{}: exists already, and a key file is never overwritten", path.display())
            }
            Self::Busy { path } => write!(f, "{}: another key rotate is at work on it", path.display()),
            Self::TooOpen { path, mode, to_others } => {
                write!(f, "{}: the key file {to_others} (mode {mode:04o})", path.display())
            }
            Self::Keys { path, fault } => write!(f, "{}: {fault}", path.display()),
        }
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            Self::Keys { fault, .. } => Some(fault),
            Self::Exists { .. } | Self::Busy { .. } | Self::TooOpen { .. } => None,
        }
    }
}
