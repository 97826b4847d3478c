//! Whether the process that began something is still there.
//!
//! Every process holds a lock on a file of its own in `state_dir/instances` for as long as it lives; the kernel gives
//! the lock back when the process ends, however it ends. Who finds a process's intent in the store can then tell a slow
//! process from a dead one, if both run on one host and share a `state_dir`.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use super::files::{create_private, create_private_dir};
use crate::model::{Random, token::Owner};

const ENDING: &str = ".lock";

/// How long the lock file of a process that is gone is kept, so that its intents can be told to be orphans.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// This process's own lock. Dropped, the process counts as gone.
#[derive(Debug)]
pub struct InstanceLock {
    dir: PathBuf,
    owner: Owner,
    /// Holds the lock.
    _file: File,
}

// === impl InstanceLock ===

impl InstanceLock {
    /// Takes a new lock, and clears away lock files of processes that are long gone. Reads and writes files.
    pub fn acquire(state_dir: &Path, random: &Random) -> io::Result<Self> {
        let dir = state_dir.join("instances");
        create_private_dir(&dir)?;
        let instance = format!("{:032x}", u128::from_be_bytes(random.bytes()));
        let path = lock_file(&dir, &instance);
        let file = create_private(&path)?;
        file.lock()?;
        // Another process may have looked before the lock was taken, and have marked the file as one of the dead.
        file.set_len(0)?;
        let _ = clear_away(&dir, &path).inspect_err(|error| {
            tracing::debug!(%error, dir = %dir.display(), "old lock files cannot be cleared away");
        });
        Ok(Self { dir, owner: Owner { host: host(), instance }, _file: file })
    }

    /// This process, as it signs leases and intents.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether `owner` is a process of this host that has ended. `false` means that nobody here can tell.
    ///
    /// Our own file is never opened again. On NFS the kernel locks by process, as `fcntl` does: our lock would not be in
    /// our own way, and would end with the first of our descriptors that is closed.
    pub fn is_provably_gone(&self, owner: &Owner) -> bool {
        // The name comes from a store; it must not lead anywhere else.
        let is_name = owner.instance.len() == 32 && owner.instance.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_name
            && *owner != self.owner
            && owner.host == self.owner.host
            && File::open(lock_file(&self.dir, &owner.instance)).is_ok_and(|file| is_free(&file))
    }
}

/// Whether the lock of the process that made `file` is free. A shared lock asks, so that two that ask at once do not take
/// each other for the living process.
fn is_free(file: &File) -> bool {
    file.try_lock_shared().is_ok()
}

fn lock_file(dir: &Path, instance: &str) -> PathBuf {
    dir.join(format!("{instance}{ENDING}"))
}

/// Marks the files of processes that have ended, and deletes those that were marked long ago. A file's own time is not
/// enough: that of a process that ran for weeks and has just died is weeks old, and its intents are fresh. `ours` was
/// made just now and tells the time; it is not opened.
fn clear_away(dir: &Path, ours: &Path) -> io::Result<()> {
    let now = fs::metadata(ours)?.modified()?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path == ours || !path.as_os_str().as_encoded_bytes().ends_with(ENDING.as_bytes()) {
            continue;
        }
        let Ok(mut file) = File::options().read(true).append(true).open(&path) else { continue };
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let metadata = file.metadata()?;
        let age = now.duration_since(metadata.modified()?).unwrap_or_default();
        match metadata.len() {
            0 => file.write_all(b"ended\n")?,
            _ if age > KEPT => fs::remove_file(&path)?,
            _ => {}
        }
    }
    Ok(())
}

/// The running kernel and the host's name: after a restart, or in another container, it is another host.
fn host() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{}/{}", boot.trim(), rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::Path,
        time::Duration,
    };

    use super::{InstanceLock, clear_away, is_free, lock_file};
    use crate::model::{Random, token::Owner};

    fn acquire(dir: &Path) -> InstanceLock {
        InstanceLock::acquire(dir, &Random::system()).expect("a lock")
    }

    #[test]
    fn a_process_is_gone_when_its_lock_is_free_and_not_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let (us, other) = (acquire(dir.path()), acquire(dir.path()));
        let owner = other.owner().clone();
        assert!(!us.is_provably_gone(&owner) && !us.is_provably_gone(us.owner()));
        drop(other);
        assert!(us.is_provably_gone(&owner));
    }

    #[test]
    fn many_that_ask_at_once_all_find_a_process_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let us = acquire(dir.path());
        let gone = acquire(dir.path()).owner().clone();
        let asking = File::open(lock_file(&us.dir, &gone.instance)).expect("there");
        assert!(is_free(&asking));
        // `asking` still has the lock that it asked with.
        assert!(us.is_provably_gone(&gone));
        assert!(!is_free(&File::open(lock_file(&us.dir, &us.owner.instance)).expect("there")));
    }

    /// The file is made anew here, and so without its lock: whoever opens it finds it free, as we would on NFS.
    #[test]
    fn a_process_never_looks_into_its_own_lock_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let us = acquire(dir.path());
        let ours = lock_file(&us.dir, &us.owner.instance);
        fs::remove_file(&ours).and_then(|()| File::create_new(&ours)).expect("made anew");
        assert!(!us.is_provably_gone(us.owner()));
        clear_away(&us.dir, &ours).expect("gone through");
        assert_eq!(fs::read(&ours).expect("there"), b"", "it is not marked as one of the dead");
        assert!(acquire(dir.path()).is_provably_gone(us.owner()), "another process would have taken it for free");
    }

    #[test]
    fn nothing_is_proved_of_other_hosts_and_unknown_instances() {
        let dir = tempfile::tempdir().expect("a directory");
        let us = acquire(dir.path());
        let gone = acquire(dir.path()).owner().clone();
        let elsewhere = Owner { host: "another/host".into(), ..gone.clone() };
        let unknown = Owner { instance: "0".repeat(32), ..gone.clone() };
        let astray = Owner { instance: format!("../instances/{}", gone.instance), ..gone.clone() };
        assert!(us.is_provably_gone(&gone));
        assert!([elsewhere, unknown, astray].iter().all(|owner| !us.is_provably_gone(owner)));
    }

    #[test]
    fn a_lock_file_is_cleared_away_a_day_after_its_process_was_found_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let gone = acquire(dir.path()).owner().clone();
        let path = lock_file(&dir.path().join("instances"), &gone.instance);
        let age = |by: Duration| {
            let file = File::options().write(true).open(&path).expect("there");
            let then = file.metadata().and_then(|metadata| metadata.modified()).expect("a time") - by;
            file.set_modified(then).expect("set");
        };
        age(Duration::from_secs(40 * 24 * 3600));
        let us = acquire(dir.path());
        assert!(us.is_provably_gone(&gone), "only now it is known to be gone");
        age(Duration::from_secs(25 * 3600));
        let living = us.owner().clone();
        acquire(dir.path());
        assert!(!path.exists());
        assert!(lock_file(&us.dir, &living.instance).exists());
    }

    #[test]
    fn lock_files_are_their_owners_alone() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().expect("a directory");
        let us = acquire(dir.path());
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&us.dir), mode(&lock_file(&us.dir, &us.owner.instance))), (0o700, 0o600));
    }
}
