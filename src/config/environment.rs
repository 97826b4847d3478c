//! What the process finds around itself, handed in so that tests need neither variables nor files of the machine.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// The most that is read of any file that the configuration names: room for a large CA bundle.
const MAX_FILE: u64 = 4 << 20;

/// Variables and files.
pub trait Environment: Send + Sync {
    /// The variable's value, as it is.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// Where relative paths of flags and variables begin.
    fn current_dir(&self) -> io::Result<PathBuf>;

    /// A file's contents with the facts that its access rule needs.
    fn read(&self, path: &Path) -> io::Result<FileRead>;

    /// Whether something is there.
    fn exists(&self, path: &Path) -> bool;
}

/// A file as read. The facts are those of the very file whose bytes these are.
#[derive(Debug)]
pub struct FileRead {
    pub bytes: Zeroizing<Vec<u8>>,
    /// The permission bits, such as `0o600`.
    pub mode: u32,
    pub owner: FileOwner,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOwner {
    ThisProcess,
    SomebodyElse,
}

/// The machine's variables and files.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

// === impl SystemEnvironment ===

impl Environment for SystemEnvironment {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn current_dir(&self) -> io::Result<PathBuf> {
        std::env::current_dir()
    }

    fn read(&self, path: &Path) -> io::Result<FileRead> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if facts.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Never grown while it is filled, so that no copy of a secret is left behind in freed memory; the size is a guess for pipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(facts.len().min(MAX_FILE)).unwrap_or(0) + 1));
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let ours = facts.uid() == rustix::process::geteuid().as_raw();
        let owner = if ours { FileOwner::ThisProcess } else { FileOwner::SomebodyElse };
        Ok(FileRead { bytes, mode: facts.mode() & 0o7777, owner })
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}
