//! Who else may have access to a file that holds a secret.

use std::fmt;

/// The rule for a secret's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAccess {
    /// Nobody else may write it and, where it belongs to this process, nobody else may read it. "Else" is group and
    /// others alike. (A file of another owner, such as a mounted Kubernetes secret, is readable to us only because
    /// others can read it.)
    Private,
    /// Whatever its mode: `any_mode = true`.
    AnyMode,
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOwner {
    ThisProcess,
    /// Who can write every file anyway.
    Root,
    SomebodyElse,
}

/// What others can do with a file, and should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooOpen {
    Read,
    /// Whose file it is decides what mends it.
    Write(FileOwner),
}

// === impl FileAccess ===

impl FileAccess {
    /// Judges a file by its permission bits and its owner.
    pub fn check(self, mode: u32, owner: FileOwner) -> Result<(), TooOpen> {
        match self {
            Self::AnyMode => Ok(()),
            Self::Private if mode & 0o022 != 0 => Err(TooOpen::Write(owner)),
            Self::Private if mode & 0o044 != 0 && owner == FileOwner::ThisProcess => Err(TooOpen::Read),
            Self::Private => Ok(()),
        }
    }
}

// === impl FileOwner ===

impl FileOwner {
    /// The owner of a file whose user id is `uid`, for a process of the user `process`.
    pub fn of(uid: u32, process: u32) -> Self {
        match uid {
            uid if uid == process => Self::ThisProcess,
            0 => Self::Root,
            _ => Self::SomebodyElse,
        }
    }
}

// === impl TooOpen ===

impl TooOpen {
    /// The mode to give to `chmod`, after which [`FileAccess::Private`] takes the file and this process can read it.
    pub const fn mended_by(self) -> &'static str {
        match self {
            Self::Read | Self::Write(FileOwner::ThisProcess) => "600",
            // With less we could not read it.
            Self::Write(FileOwner::Root | FileOwner::SomebodyElse) => "go-w",
        }
    }
}

impl fmt::Display for TooOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "can be read by others",
            Self::Write(_) => "can be written by others",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        FileAccess,
        FileOwner::{Root, SomebodyElse, ThisProcess},
        TooOpen,
    };

    #[test]
    fn others_neither_write_a_private_file_nor_read_one_of_ours() {
        for (mode, owner, judged) in [
            (0o600, ThisProcess, Ok(())),
            (0o400, ThisProcess, Ok(())),
            (0o640, ThisProcess, Err(TooOpen::Read)),
            (0o604, ThisProcess, Err(TooOpen::Read)),
            (0o620, ThisProcess, Err(TooOpen::Write(ThisProcess))),
            (0o602, ThisProcess, Err(TooOpen::Write(ThisProcess))),
            (0o444, SomebodyElse, Ok(())),
            (0o644, Root, Ok(())),
            (0o664, Root, Err(TooOpen::Write(Root))),
            (0o464, SomebodyElse, Err(TooOpen::Write(SomebodyElse))),
        ] {
            assert_eq!(FileAccess::Private.check(mode, owner), judged, "{mode:o} {owner:?}");
            assert_eq!(FileAccess::AnyMode.check(mode, owner), Ok(()), "{mode:o} {owner:?}");
        }
    }
    #[test]
    fn what_mends_a_file_lets_nobody_else_in_and_us() {
        for owner in [ThisProcess, Root, SomebodyElse] {
            for mode in 0..=0o777 {
                let Err(too_open) = FileAccess::Private.check(mode, owner) else { continue };
                let mended = match too_open.mended_by() {
                    "600" => 0o600,
                    "go-w" => mode & !0o022,
                    other => panic!("{other}"),
                };
                assert_eq!(FileAccess::Private.check(mended, owner), Ok(()), "{mode:o} {owner:?}");
                if owner != ThisProcess {
                    assert_eq!(mended & 0o044, mode & 0o044, "{mode:o}: we read it as before");
                }
            }
        }
    }
}
