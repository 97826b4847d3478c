//! Changing a key file that others read meanwhile.
//!
//! The file is locked, and replaced as a whole: whoever reads it finds the old lines or the new ones, and after a crash
//! it is one of both. The new file is locked before it takes the old one's place, so that at no moment a second writer
//! finds it free.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::PathBuf,
};

use zeroize::Zeroizing;

use super::{KeyFile, KeyFileError};
use crate::{
    model::Secret,
    store::{
        files::{beside, create_private, sync_dir_of},
        seal::{KeyId, KeyRing},
    },
};

/// A key file that nobody else changes until this is dropped.
#[derive(Debug)]
pub struct HeldKeyFile {
    /// With its path as it is behind symbolic links: a link stays one.
    file: KeyFile,
    locked: File,
}

// === impl KeyFile ===

impl KeyFile {
    /// Keeps others from changing the file.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Busy`] when another process does the same.
    pub fn hold(&self) -> Result<HeldKeyFile, KeyFileError> {
        let path = fs::canonicalize(&self.path).map_err(|error| self.failed("find the key file", error))?;
        let file = Self::new(path, self.access);
        loop {
            let locked = File::open(&file.path).map_err(|error| file.failed("read the key file", error))?;
            match locked.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(KeyFileError::Busy { path: file.path }),
                Err(TryLockError::Error(error)) => return Err(file.failed("lock the key file", error)),
            }
            // Between the opening and the locking another file may have taken its place.
            let now = fs::metadata(&file.path).map_err(|error| file.failed("look at the key file", error))?;
            let ours = locked.metadata().map_err(|error| file.failed("look at the key file", error))?;
            if (now.dev(), now.ino()) == (ours.dev(), ours.ino()) {
                return Ok(HeldKeyFile { file, locked });
            }
        }
    }
}

// === impl HeldKeyFile ===

impl HeldKeyFile {
    /// The keys as they are.
    pub fn keys(&self) -> Result<KeyRing, KeyFileError> {
        self.file.read()
    }

    /// Puts `line` in front of the others.
    pub fn put_first(&mut self, line: &Secret) -> Result<KeyRing, KeyFileError> {
        let old = self.text()?;
        let mut new = Zeroizing::new(String::with_capacity(old.len() + line.expose().len() + 1));
        new.push_str(line.expose());
        new.push('\n');
        new.push_str(&old);
        self.replace(&new)
    }

    /// Takes the lines of `keys` out; the others stay as they are.
    pub fn remove(&mut self, keys: &[KeyId]) -> Result<KeyRing, KeyFileError> {
        let old = self.text()?;
        let stays = |line: &&str| KeyId::of_line(line).is_none_or(|id| !keys.contains(&id));
        let mut new = Zeroizing::new(String::with_capacity(old.len()));
        old.split_inclusive('\n').filter(stays).for_each(|line| new.push_str(line));
        self.replace(&new)
    }

    fn text(&mut self) -> Result<Zeroizing<String>, KeyFileError> {
        let read = |file: &mut File| {
            file.seek(SeekFrom::Start(0))?;
            // Room from the start, because a buffer that grows leaves unwiped copies behind.
            let room = usize::try_from(file.metadata()?.len()).unwrap_or_default().saturating_add(1);
            let mut text = Zeroizing::new(String::with_capacity(room));
            file.read_to_string(&mut text).map(|_| text)
        };
        read(&mut self.locked).map_err(|error| self.file.failed("read the key file", error))
    }

    /// The new file has the old one's owner and mode.
    fn replace(&mut self, text: &str) -> Result<KeyRing, KeyFileError> {
        let ring = self.file.parse(&Secret::new(text))?;
        let staged = beside(&self.file.path, ".new");
        self.locked = self.exchange(&staged, text).map_err(|error| {
            // What cannot take the old file's place must not stay: it holds keys.
            let _ = fs::remove_file(&staged);
            self.file.failed("rewrite the key file", error)
        })?;
        Ok(ring)
    }

    fn exchange(&self, staged: &PathBuf, text: &str) -> io::Result<File> {
        // Left by a crash; nobody but who holds the lock writes this one.
        match fs::remove_file(staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let old = self.locked.metadata()?;
        let mut file = create_private(staged)?;
        file.lock()?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(staged, &self.file.path)?;
        sync_dir_of(&self.file.path)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
        path::Path,
    };

    use super::{HeldKeyFile, KeyFile, KeyFileError};
    use crate::{
        model::{FileAccess, Random, Secret},
        store::seal::Sealer,
    };

    fn made(dir: &Path) -> KeyFile {
        let file = KeyFile::new(dir.join("key"), FileAccess::Private);
        file.create(&Random::system()).expect("created");
        file
    }

    fn put_new(held: &mut HeldKeyFile) -> Secret {
        let line = Sealer::generate_key_line(&Random::system());
        held.put_first(&line).expect("written");
        line
    }

    #[test]
    fn a_new_key_goes_in_front_and_an_old_one_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = made(dir.path());
        let old = fs::read_to_string(file.path()).expect("read");
        let mut held = file.hold().expect("held");
        let before = held.keys().expect("keys").first();
        let line = put_new(&mut held);
        assert_eq!(fs::read_to_string(file.path()).expect("read"), format!("{}\n{old}", line.expose()));
        assert_eq!(held.keys().expect("keys").others(), [before]);
        let left = held.remove(&[before]).expect("removed");
        assert_eq!(fs::read_to_string(file.path()).expect("read"), format!("{}\n", line.expose()));
        assert!(left.others().is_empty());
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn of_two_that_would_change_it_one_is_refused_until_the_other_is_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = made(dir.path());
        let mut held = file.hold().expect("held");
        assert!(matches!(file.hold(), Err(KeyFileError::Busy { .. })));
        put_new(&mut held);
        assert!(matches!(file.hold(), Err(KeyFileError::Busy { .. })), "also of the new file");
        drop(held);
        assert!(file.hold().is_ok());
    }

    #[test]
    fn the_mode_stays_and_so_does_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = made(dir.path());
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o400)).expect("mode set");
        let link = dir.path().join("link");
        symlink(file.path(), &link).expect("linked");
        let mut held = KeyFile::new(&link, FileAccess::Private).hold().expect("held");
        put_new(&mut held);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::metadata(file.path()).expect("there").mode() & 0o777, 0o400);
        assert_eq!(file.read().expect("read").others().len(), 1);
    }

    #[test]
    fn what_a_crash_left_beside_it_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = made(dir.path());
        fs::write(dir.path().join("key.new"), "half a li").expect("written");
        put_new(&mut file.hold().expect("held"));
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn the_last_key_is_never_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = made(dir.path());
        let before = fs::read(file.path()).expect("read");
        let mut held = file.hold().expect("held");
        let only = held.keys().expect("keys").first();
        assert!(matches!(held.remove(&[only]), Err(KeyFileError::Keys { .. })));
        assert_eq!(fs::read(file.path()).expect("read"), before);
    }
}
