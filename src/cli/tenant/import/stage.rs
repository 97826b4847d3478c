//! Standard input, kept sealed on disk between its two readings.
//!
//! The key lives in this process alone, and the file has no name once it is open: whatever happens to the process,
//! nothing readable stays.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use super::{check::Checker, lines::Lines};
use crate::{cli::Failure, model::Random};

/// Lines in a file that nobody else can read.
///
/// The file is a row of frames: the ciphertext's length (four bytes, little-endian), a nonce, the ciphertext. A frame's
/// number is associated data, so that frames neither change places nor go missing from the middle.
pub(super) struct Stage {
    file: File,
    cipher: XChaCha20Poly1305,
    random: Random,
    /// Lines that do not make a whole frame yet.
    pending: Zeroizing<Vec<u8>>,
    frames: u64,
}

/// The lines back from the beginning.
pub(super) struct StageReader<'a> {
    stage: &'a Stage,
    frame: Zeroizing<Vec<u8>>,
    at: usize,
    next: u64,
}

/// Plain bytes per frame, or a line more.
const FRAME: usize = 1 << 18;
const NONCE: usize = 24;

// === impl Stage ===

impl Stage {
    pub(super) fn create(dir: Option<&Path>, random: Random) -> Result<Self, Failure> {
        let dir = dir.ok_or_else(|| {
            Failure::new("nothing tells where standard input could be staged").hint("set store.state_dir")
        })?;
        let path = dir.join(format!("import-{:032x}", u128::from_be_bytes(random.bytes())));
        let create = || {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        let file = create().map_err(failed)?;
        let key = Zeroizing::new(random.bytes::<32>());
        let cipher = XChaCha20Poly1305::new((&*key).into());
        Ok(Self { file, cipher, random, pending: Zeroizing::new(Vec::with_capacity(2 * FRAME)), frames: 0 })
    }

    /// Takes all of `input`, and has every line checked on the way.
    pub(super) fn filled(mut self, input: impl BufRead, checker: &mut Checker<'_>) -> Result<Self, Failure> {
        let mut lines = Lines::new(input);
        while let Some((number, line)) = lines.next()? {
            checker.note(number, line);
            self.pending.extend_from_slice(line);
            self.pending.push(b'\n');
            if self.pending.len() >= FRAME {
                self.write_frame().map_err(failed)?;
            }
        }
        self.write_frame().map_err(failed)?;
        Ok(self)
    }

    pub(super) fn reader(&self) -> Result<StageReader<'_>, Failure> {
        (&self.file).seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(StageReader { stage: self, frame: Zeroizing::default(), at: 0, next: 0 })
    }

    fn write_frame(&mut self) -> io::Result<()> {
        let nonce = self.random.bytes::<NONCE>();
        let payload = Payload { msg: &self.pending, aad: &self.frames.to_le_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let length = u32::try_from(sealed.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&nonce)?;
        self.file.write_all(&sealed)?;
        self.frames += 1;
        self.pending.clear();
        Ok(())
    }

    fn read_frame(&self, number: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut length = [0; 4];
        let mut nonce = [0; NONCE];
        (&self.file).read_exact(&mut length)?;
        (&self.file).read_exact(&mut nonce)?;
        let mut sealed = Vec::new();
        (&self.file).take(u64::from(u32::from_le_bytes(length))).read_to_end(&mut sealed)?;
        let payload = Payload { msg: &sealed, aad: &number.to_le_bytes() };
        let plain = self.cipher.decrypt(&XNonce::from(nonce), payload);
        plain.map(Zeroizing::new).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::new(format!("standard input cannot be staged in the state directory: {error}"))
}

// === impl StageReader ===

impl Read for StageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.frame.len() && self.next < self.stage.frames {
            self.frame = self.stage.read_frame(self.next)?;
            self.at = 0;
            self.next += 1;
        }
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::{Checker, Stage};
    use crate::model::Random;
    use std::io::{Read, Seek, SeekFrom};

    /// More than one frame, and a last line without an end.
    fn input() -> Vec<u8> {
        let lines: Vec<_> = (0..20_000).map(|n| format!("{{\"tenant\":\"t{n}\",\"pat\":\"canary\"}}")).collect();
        lines.join("\n").into_bytes()
    }

    fn staged(dir: &std::path::Path) -> Stage {
        let stage = Stage::create(Some(dir), Random::system()).unwrap();
        stage.filled(&*input(), &mut Checker::new(None)).unwrap()
    }

    #[test]
    fn what_is_staged_comes_back_as_often_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let stage = staged(dir.path());
        let mut expected = input();
        expected.push(b'\n');
        for _ in 0..2 {
            let mut back = Vec::new();
            stage.reader().unwrap().read_to_end(&mut back).unwrap();
            assert!(back == expected);
        }
    }

    #[test]
    fn nothing_readable_lies_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let stage = staged(dir.path());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut bytes = Vec::new();
        (&stage.file).seek(SeekFrom::Start(0)).unwrap();
        (&stage.file).read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() > input().len());
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
}
