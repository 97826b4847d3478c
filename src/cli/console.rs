//! Standard input, output and error: the one place where the program prints.

use std::{
    fmt,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    thread,
};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::Failure;
use crate::model::Secret;

/// Where data goes (`out`), where everything else goes (`err`), and where input comes from.
pub struct Console {
    input: Box<dyn BufRead + Send>,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input_kind: StreamKind,
    out_kind: StreamKind,
    err_kind: StreamKind,
    screen: Option<Screen>,
}

/// What is at the other end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Somebody who reads or types.
    Terminal,
    /// A file, a pipe, a service manager.
    Other,
}

/// How much a terminal shows at a time, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    pub columns: usize,
    pub rows: usize,
}

/// Whether somebody still reads what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    There,
    /// The other end of the pipe is closed.
    Gone,
}

/// A terminal that does not show what is typed, until this is dropped.
struct HiddenInput(Option<Termios>);

/// The longest credential that is taken, in bytes.
const MAX_SECRET: usize = 16 << 10;

/// ECMA-48: the cursor goes home, and everything is erased.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

// === impl Console ===

impl Console {
    /// The process's own streams. Colour is stripped unless they are terminals, and with `NO_COLOR` in any case.
    pub fn system() -> Self {
        let kind = |is_terminal| if is_terminal { StreamKind::Terminal } else { StreamKind::Other };
        let out_kind = kind(io::stdout().is_terminal());
        Self {
            input: Box::new(BufReader::new(io::stdin())),
            out: Box::new(anstream::stdout()),
            err: Box::new(anstream::stderr()),
            input_kind: kind(io::stdin().is_terminal()),
            out_kind,
            err_kind: kind(io::stderr().is_terminal()),
            screen: (out_kind == StreamKind::Terminal).then(Screen::of_standard_output).flatten(),
        }
    }

    /// Streams of a test.
    #[cfg(test)]
    pub fn new(
        input: impl BufRead + Send + 'static,
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
    ) -> Self {
        Self {
            input: Box::new(input),
            out: Box::new(anstream::StripStream::new(Box::new(out) as Box<dyn Write + Send>)),
            err: Box::new(anstream::StripStream::new(Box::new(err) as Box<dyn Write + Send>)),
            input_kind: StreamKind::Other,
            out_kind: StreamKind::Other,
            err_kind: StreamKind::Other,
            screen: None,
        }
    }

    /// The same with somebody in front of them.
    #[cfg(test)]
    pub fn on_terminal(self) -> Self {
        Self { input_kind: StreamKind::Terminal, err_kind: StreamKind::Terminal, ..self }
    }

    /// The same with a terminal of this size to write on.
    #[cfg(test)]
    pub fn on_screen(self, screen: Screen) -> Self {
        Self { screen: Some(screen), ..self }
    }

    /// The terminal that standard output is; `None` where it is none, or does not know.
    pub const fn screen(&self) -> Option<Screen> {
        self.screen
    }

    /// Begins a terminal's screen anew; what is written elsewhere goes on after an empty line.
    pub fn turn_page(&mut self) -> Result<(), Failure> {
        // Past the stream that strips: NO_COLOR is about colours.
        let cleared = match self.out_kind {
            StreamKind::Terminal => io::stdout().write_all(CLEAR),
            StreamKind::Other => return self.data(b"\n"),
        };
        cleared.map_err(|error| Failure::new(format!("standard output cannot be written: {}", error.kind())))
    }

    /// Whether there is somebody who reads questions and types answers.
    pub fn can_ask(&self) -> bool {
        (self.input_kind, self.err_kind) == (StreamKind::Terminal, StreamKind::Terminal)
    }

    /// Asks for a yes. Anything else is none, a mere return and the end of the input too.
    pub async fn confirm(&mut self, question: impl fmt::Display) -> Result<bool, Failure> {
        self.tell_part(format_args!("{question} [y/N] "));
        let answer = self.line().await?;
        Ok(answer.is_some_and(|answer| ["y", "yes"].iter().any(|yes| answer.expose().trim().eq_ignore_ascii_case(yes))))
    }

    /// What standard error is: a progress bar and a prompt make sense on a terminal only.
    pub fn err_kind(&self) -> StreamKind {
        self.err_kind
    }

    /// Standard input.
    pub fn input(&mut self) -> &mut dyn BufRead {
        &mut *self.input
    }

    /// A line that is a secret, without its end. On a terminal `prompt` asks for it, and it is not shown.
    ///
    /// # Errors
    ///
    /// When there is more than one line, when it is longer than any credential, or when it is not text.
    pub fn secret_line(&mut self, prompt: &str) -> Result<Secret, Failure> {
        let on_terminal = self.input_kind == StreamKind::Terminal;
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 1));
        if on_terminal {
            self.tell_part(prompt);
        }
        let hidden = on_terminal.then(HiddenInput::begin);
        let read = match on_terminal {
            true => (&mut self.input).take(MAX_SECRET as u64 + 1).read_until(b'\n', &mut text),
            false => (&mut self.input).take(MAX_SECRET as u64 + 1).read_to_end(&mut text),
        };
        if hidden.is_some() {
            drop(hidden);
            self.tell("");
        }
        read.map_err(|error| Failure::new(format!("standard input cannot be read: {}", error.kind())))?;
        match std::str::from_utf8(&text) {
            Ok(text) if text.len() <= MAX_SECRET && !text.trim_end().contains('\n') => Ok(Secret::new(text.trim())),
            _ => Err(Failure::new("standard input is not one line of text")),
        }
    }

    /// The next line that somebody types or pastes, or that comes from elsewhere, without its end; `None` where there is
    /// none. On a terminal it is not shown. Other work goes on while it is waited for; given up, it leaves nothing to
    /// read.
    pub async fn hidden_line(&mut self) -> Result<Option<Secret>, Failure> {
        let hidden = (self.input_kind == StreamKind::Terminal).then(HiddenInput::begin);
        let read = self.line().await;
        if hidden.is_some() {
            drop(hidden);
            self.tell("");
        }
        read
    }

    /// The same, shown. What is answered to a question is no secret.
    pub async fn line(&mut self) -> Result<Option<Secret>, Failure> {
        let unreadable = |why: &dyn fmt::Display| Failure::new(format!("standard input cannot be read: {why}"));
        let mut input = std::mem::replace(&mut self.input, Box::new(io::empty()));
        let (sender, read) = oneshot::channel();
        // Not one of the runtime's threads: at its end the runtime would wait for whoever still types.
        let reading = thread::Builder::new().spawn(move || {
            let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 1));
            let read = (&mut input).take(MAX_SECRET as u64 + 1).read_until(b'\n', &mut text);
            let _ = sender.send((input, read.map(|_| text)));
        });
        reading.map_err(|error| unreadable(&error.kind()))?;
        let (input, text) = read.await.map_err(|_| unreadable(&"nobody reads it"))?;
        self.input = input;
        let text = text.map_err(|error| unreadable(&error.kind()))?;
        match std::str::from_utf8(&text) {
            Ok("") => Ok(None),
            Ok(line) if line.len() <= MAX_SECRET => Ok(Some(Secret::new(line.trim_end()))),
            _ => Err(Failure::new("a line of standard input is too long, or not text")),
        }
    }

    /// Writes data, which is what the command was asked for.
    ///
    /// # Errors
    ///
    /// When it cannot be written, except that the reader is gone: `flexslot-proxy man | head` is no failure.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.data_to_reader(bytes).map(drop)
    }

    /// The same for who would go on for as long as somebody reads.
    pub fn data_to_reader(&mut self, bytes: &[u8]) -> Result<Reader, Failure> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(Reader::There),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
            Err(error) => Err(Failure::new(format!("standard output cannot be written: {}", error.kind()))),
        }
    }

    /// Writes a line of data.
    pub fn data_line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        self.data(format!("{line}\n").as_bytes())
    }

    /// Tells something on standard error. That nobody can hear it stops no work.
    pub fn tell(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.err, "{line}").and_then(|()| self.err.flush());
    }

    /// Tells something to somebody who is about to type standard input.
    pub fn tell_who_types(&mut self, line: impl fmt::Display) {
        if self.input_kind == StreamKind::Terminal {
            self.tell(line);
        }
    }

    /// The same as `tell` without a line end, for prompts and progress.
    pub fn tell_part(&mut self, text: impl fmt::Display) {
        let _ = write!(self.err, "{text}").and_then(|()| self.err.flush());
    }
}

/// The text without what would steer a terminal, or turn around what follows. For names that others have chosen.
pub(super) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

// === impl Screen ===

impl Screen {
    fn of_standard_output() -> Option<Self> {
        let size = termios::tcgetwinsize(io::stdout()).ok()?;
        (size.ws_col > 0 && size.ws_row > 0).then(|| Self { columns: size.ws_col.into(), rows: size.ws_row.into() })
    }
}

// === impl HiddenInput ===

impl HiddenInput {
    /// A terminal that cannot be told so shows what is typed; that is no reason to fail.
    fn begin() -> Self {
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(mut hidden) = before.clone() {
            hidden.local_modes.remove(LocalModes::ECHO);
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &hidden);
        }
        Self(before)
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("input_kind", &self.input_kind)
            .field("out_kind", &self.out_kind)
            .field("err_kind", &self.err_kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Console, Reader, printable};
    use std::io::{self, Cursor};

    fn console(input: &str) -> Console {
        Console::new(Cursor::new(input.to_owned()), io::sink(), io::sink())
    }

    #[tokio::test]
    async fn only_a_yes_is_a_yes() {
        for (answer, means) in [
            ("y\n", true),
            ("YES\n", true),
            (" y \r\n", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yep\n", false),
        ] {
            assert_eq!(console(answer).confirm("Do it?").await, Ok(means), "{answer:?}");
        }
    }

    #[test]
    fn nobody_is_asked_who_is_not_there() {
        assert!(!console("").can_ask());
        assert!(console("").on_terminal().can_ask());
    }

    #[tokio::test]
    async fn lines_come_one_by_one() {
        let mut console = console("one\r\n\ntwo");
        let mut lines = Vec::new();
        while let Some(line) = console.line().await.unwrap() {
            lines.push(line.expose().to_owned());
        }
        assert_eq!(lines, ["one", "", "two"]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_and_not_repeated() {
        let error = console(&"canary".repeat(3000)).line().await.unwrap_err();
        assert_eq!(error.to_string().matches("canary").count(), 0);
    }

    #[test]
    fn who_writes_for_a_reader_learns_that_it_is_gone() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gone = Console::new(io::empty(), Closed, io::sink());
        assert_eq!((gone.data_to_reader(b"x"), gone.data(b"x")), (Ok(Reader::Gone), Ok(())));
        assert_eq!(console("").data_to_reader(b"x"), Ok(Reader::There));
    }

    #[test]
    fn what_others_have_named_is_text() {
        assert_eq!(printable("george é日"), "george é日");
        assert_eq!(printable("\u{1b}[2J\u{202e}a\n\u{9b}"), "\u{fffd}[2J\u{fffd}a\u{fffd}\u{fffd}");
    }
}
