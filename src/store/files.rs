//! Files and directories that only their owner may read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::model::Random;

/// What the name of a [`Staged`] file ends in, behind its own.
pub(super) const STAGED: &str = ".tmp";

/// A file that is whole and on the disk, under another name than its own.
#[must_use]
pub(super) struct Staged<'p> {
    path: &'p Path,
    staged: PathBuf,
}

/// Makes `path`, and what is missing above it, for its owner alone. One that exists stays as it is.
pub(super) fn create_private_dir(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What others could do in the directory `path`, and what mends it, as one line; `None`: nothing. Whoever can write there
/// can put files of their own in the place of ours. Its mode is left alone: it may be meant for others too.
pub(super) fn exposure_of_dir(path: &Path) -> Option<String> {
    const OF_OTHERS: u32 = 0o022;
    // Files in there are their owner's to rename, as in /tmp.
    const STICKY: u32 = 0o1000;
    let mode = fs::metadata(path).ok()?.mode();
    let path = path.display();
    (mode & OF_OTHERS != 0 && mode & STICKY == 0)
        .then(|| format!("{path} can be written by others, who can replace the files in it; chmod go-w {path}"))
}

/// Makes a file of mode 0600 that was not there before.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file of mode 0600 so that, after a crash at any moment, it is there whole or not at all. One that exists is
/// replaced.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Staged::write(path, bytes)?.put_in_place()
}

/// Makes a file of mode 0600, and what is missing above it, so that it is there whole or not at all; never in place of
/// another file, not even of one that appears at the same moment: that is [`io::ErrorKind::AlreadyExists`].
pub fn create_whole(path: &Path, bytes: &[u8], random: &Random) -> io::Result<()> {
    create_private_dir(dir_of(path))?;
    let mut suffix = String::from(".");
    random.bytes::<8>().iter().for_each(|byte| suffix.push_str(&format!("{byte:02x}")));
    let staged = beside(path, &suffix);
    let write = || {
        let mut file = create_private(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // A link, unlike a rename, fails where the name is taken.
        fs::hard_link(&staged, path)
    };
    let made = write();
    // Linked under its name or not, the staged name goes; a failure to take it away is not worth failing for.
    let _ = fs::remove_file(&staged);
    made?;
    sync_dir_of(path)
}

/// Makes the entry of `path` in its directory durable.
pub(super) fn sync_dir_of(path: &Path) -> io::Result<()> {
    File::open(dir_of(path))?.sync_all()
}

/// The directory that `path` lies in.
pub(super) fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// The path with `ending` behind its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

// === impl Staged ===

impl<'p> Staged<'p> {
    /// Writes what is to be the file `path`.
    pub(super) fn write(path: &'p Path, bytes: &[u8]) -> io::Result<Self> {
        let staged = beside(path, STAGED);
        // Left by a crash; nobody but us writes this one.
        match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create_private(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(Self { path, staged })
    }

    /// Gives it its name.
    pub(super) fn put_in_place(self) -> io::Result<()> {
        fs::rename(&self.staged, self.path)?;
        sync_dir_of(self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::{create_private_dir, exposure_of_dir};

    #[test]
    fn a_directory_that_others_write_to_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("a/b");
        create_private_dir(&made).unwrap();
        for made in [&made, &dir.path().join("a")] {
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o700, "{made:?}");
        }
        for (mode, exposed) in [(0o700, false), (0o755, false), (0o1777, false), (0o770, true), (0o777, true)] {
            fs::set_permissions(&made, Permissions::from_mode(mode)).unwrap();
            let told = exposure_of_dir(&made);
            assert_eq!(told.is_some(), exposed, "{mode:o}");
            assert!(told.is_none_or(|told| told.contains("a/b can be written by others")), "{mode:o}");
        }
        assert_eq!(exposure_of_dir(&dir.path().join("missing")), None);
    }
}
