//! The way of log lines to standard error. Those of requests go together, a few milliseconds late, so that a request
//! costs no system call of its own for its line; every other line goes at once, after those that came before it.

use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rustix::fs::{FileType, fstat};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How late the lines of requests are at most, when standard error takes them.
const LATE: Duration = Duration::from_millis(5);

/// So many bytes may wait. Who has a line more waits until standard error has taken some: no line is lost.
const MOST: usize = 1 << 20;

/// What a pipe takes in one piece, without bytes of others in between (PIPE_BUF, pipe(7)).
const PIECE: usize = 4096;

/// What is given to a file at a time: it takes any write as one.
const PIECE_OF_FILE: usize = 64 * 1024;

/// The pause while standard error is full, for somebody who has made it non-blocking.
const FULL: Duration = Duration::from_millis(1);

/// Where lines go. Clones share it.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

/// Takes one line.
pub(super) struct Line<'a> {
    lines: &'a Shared,
    kind: Kind,
}

/// Writes what waits when it is dropped: at the end of the process.
pub struct Rest(Lines);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A request's: there may be many.
    Request,
    Other,
}

struct Shared {
    /// Held by whoever writes, so that lines keep their order.
    out: Mutex<Out>,
    waiting: Mutex<Waiting>,
    /// Tells the thread that lines wait.
    filled: Condvar,
    /// Tells whoever has a line that there is room again.
    emptied: Condvar,
}

/// Where bytes go, and whether the last of them were the end of a line.
struct Out {
    to: Box<dyn Write + Send>,
    /// Bytes that go in one piece, at most.
    piece: usize,
    is_torn: bool,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Whether the thread knows of them.
    told: bool,
}

// === impl Lines ===

impl Lines {
    /// Lines that go to standard error, by a thread that lasts as long as the process.
    ///
    /// # Errors
    ///
    /// Where the system has no more threads.
    pub(super) fn to_stderr() -> io::Result<Self> {
        let err = io::stderr();
        let is_file = fstat(&err).is_ok_and(|about| FileType::from_raw_mode(about.st_mode).is_file());
        Self::to(err, if is_file { PIECE_OF_FILE } else { PIECE })
    }

    fn to(out: impl Write + Send + 'static, piece: usize) -> io::Result<Self> {
        let lines = Self::without_thread(out, piece);
        let shared = Arc::clone(&lines.0);
        thread::Builder::new().name("log".into()).spawn(move || shared.follow())?;
        Ok(lines)
    }

    fn without_thread(out: impl Write + Send + 'static, piece: usize) -> Self {
        Self(Arc::new(Shared {
            out: Mutex::new(Out { to: Box::new(out), piece, is_torn: false }),
            waiting: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }))
    }

    /// For the end of the process.
    pub(super) fn rest(&self) -> Rest {
        Rest(self.clone())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: &self.0, kind: Kind::Other }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line<'a> {
        let is_request = of.target() == "access" && *of.level() == Level::INFO;
        Line { lines: &self.0, kind: if is_request { Kind::Request } else { Kind::Other } }
    }
}

// === impl Shared ===

impl Shared {
    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        while waiting.bytes.len() > MOST {
            self.emptied.wait(&mut waiting);
        }
        waiting.bytes.extend_from_slice(line);
        if !mem::replace(&mut waiting.told, true) {
            self.filled.notify_one();
        }
    }

    /// Writes what waits, and `more` after it.
    fn write(&self, more: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock();
        let mut bytes = mem::take(&mut self.waiting.lock().bytes);
        bytes.extend_from_slice(more);
        let written = out.lines(&bytes);
        bytes.clear();
        let waiting = &mut *self.waiting.lock();
        // The memory serves the next lines, unless some wait already.
        if waiting.bytes.capacity() == 0 {
            waiting.bytes = bytes;
        }
        self.emptied.notify_all();
        written
    }

    /// Has the lines of requests written, for ever.
    fn follow(&self) {
        loop {
            let mut waiting = self.waiting.lock();
            while !waiting.told {
                self.filled.wait(&mut waiting);
            }
            // More come meanwhile, and go with the first.
            self.filled.wait_for(&mut waiting, LATE);
            waiting.told = false;
            drop(waiting);
            // There is nobody left to be told that standard error is gone.
            let _ = self.write(&[]);
        }
    }
}

// === impl Out ===

impl Out {
    /// Writes lines, as many at a time as go in one piece although others write there as well. What does not go
    /// through of a piece is lost, and no other piece; what stays of a line is ended, so that the next one stands alone.
    fn lines(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut rest, mut outcome) = (bytes, Ok(()));
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_of(rest, self.piece));
            rest = after;
            if self.is_torn {
                self.is_torn = self.bytes(b"\n").is_err();
            }
            if let Err(error) = self.bytes(piece) {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Writes all of it. Standard error may be open for somebody who has made it non-blocking.
    fn bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(FULL),
                Err(error) => {
                    self.is_torn |= bytes.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Where to cut the first piece off lines: behind the last line that fits, or behind the first where none does.
fn piece_of(lines: &[u8], most: usize) -> usize {
    let is_end = |byte: &u8| *byte == b'\n';
    let fitting = &lines[..lines.len().min(most)];
    let end = fitting.iter().rposition(is_end).or_else(|| lines.iter().position(is_end));
    end.map_or(lines.len(), |end| end + 1)
}

// === impl Line ===

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.kind {
            Kind::Request => self.lines.add(line),
            Kind::Other => self.lines.write(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Rest ===

impl Rest {
    /// Writes what waits, now.
    pub fn write(&self) {
        // As above.
        let _ = self.0.0.write(&[]);
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.write();
    }
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Line, Lines, MOST, PIECE, Write};
    use parking_lot::Mutex;
    use std::{io, sync::Arc, sync::mpsc};

    /// Each write as it came; a second channel may hold them up.
    struct Out(mpsc::Sender<String>, Option<mpsc::Receiver<()>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(gate) = &self.1 {
                let _ = gate.recv();
            }
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(lines: &Lines, kind: Kind, text: &str) {
        Line { lines: &lines.0, kind }.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_of_requests_go_together_and_before_whatever_comes_after_them() {
        let (tell, told) = mpsc::channel();
        let lines = Lines::without_thread(Out(tell, None), PIECE);
        line(&lines, Kind::Request, "a\n");
        line(&lines, Kind::Request, "b\n");
        assert!(told.try_recv().is_err());
        line(&lines, Kind::Other, "c\n");
        assert_eq!(told.try_recv().as_deref(), Ok("a\nb\nc\n"));
        line(&lines, Kind::Request, "d\n");
        drop(lines.rest());
        assert_eq!(told.try_recv().as_deref(), Ok("d\n"));
    }

    /// Takes some bytes of each write, or none and a fault.
    struct Torn(Vec<u8>, Vec<io::Result<usize>>);

    impl Write for Torn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.1.pop().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(text: &str, mut faults: Vec<io::Result<usize>>) -> String {
        faults.reverse();
        let shared = Arc::new(Mutex::new(Torn(Vec::new(), faults)));
        struct To(Arc<Mutex<Torn>>);
        impl Write for To {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::without_thread(To(Arc::clone(&shared)), PIECE);
        for line in text.split_inclusive('\n') {
            Line { lines: &lines.0, kind: Kind::Request }.write_all(line.as_bytes()).unwrap();
        }
        drop(lines.rest());
        String::from_utf8(shared.lock().0.clone()).unwrap()
    }

    #[test]
    fn a_line_that_breaks_off_spoils_no_other() {
        let full = || Err(io::ErrorKind::StorageFull.into());
        let long = format!("{}\n{}\n", "a".repeat(4000), "b".repeat(4000));
        assert_eq!(written(&long, vec![Ok(10), full()]), format!("{}\n{}\n", "a".repeat(10), "b".repeat(4000)));
        assert_eq!(written(&long, vec![full()]), format!("{}\n", "b".repeat(4000)));
    }

    #[test]
    fn who_is_full_for_now_gets_all_of_it_later() {
        let later = || Err(io::ErrorKind::WouldBlock.into());
        assert_eq!(written("a line\nanother\n", vec![later(), Ok(3), later()]), "a line\nanother\n");
    }

    #[test]
    fn a_write_ends_with_a_line_and_fits_into_a_pipe() {
        let line = format!("{}\n", "x".repeat(999));
        let ((tell, told), lines) = (mpsc::channel(), line.repeat(10));
        let out = Lines::without_thread(Out(tell, None), PIECE);
        Line { lines: &out.0, kind: Kind::Other }.write_all(lines.as_bytes()).unwrap();
        let pieces: Vec<String> = told.try_iter().collect();
        assert_eq!(pieces.iter().map(String::len).collect::<Vec<_>>(), [4000, 4000, 2000]);
        assert!(pieces.iter().all(|piece| piece.ends_with('\n')));
    }

    #[test]
    fn the_thread_writes_what_nobody_else_does() {
        let (tell, told) = mpsc::channel();
        let lines = Lines::to(Out(tell, None), PIECE).unwrap();
        for text in ["a\n", "b\n"] {
            line(&lines, Kind::Request, text);
            assert_eq!(told.recv().as_deref(), Ok(text));
        }
    }

    #[test]
    fn who_has_a_line_more_than_can_wait_waits_and_none_is_lost() {
        let ((tell, told), (open, gate)) = (mpsc::channel(), mpsc::channel());
        let lines = Lines::to(Out(tell, Some(gate)), PIECE).unwrap();
        let full = "x".repeat(MOST + 1);
        line(&lines, Kind::Request, &full);
        let done = Arc::new(Mutex::new(false));
        let writing = std::thread::spawn({
            let (lines, full, done) = (lines.clone(), full.clone(), Arc::clone(&done));
            move || {
                // The first may have been taken by now; one of these cannot.
                (0..2).for_each(|_| line(&lines, Kind::Request, &full));
                *done.lock() = true;
            }
        });
        assert!(!*done.lock());
        (0..6).for_each(|_| open.send(()).unwrap());
        writing.join().unwrap();
        drop(lines.rest());
        let all: usize = told.try_iter().map(|text| text.len()).sum();
        assert_eq!(all, 3 * full.len());
    }
}
