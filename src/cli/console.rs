//! Standard input, output and error: the one place where the program prints.

use std::{
    fmt,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use zeroize::Zeroizing;

use super::Failure;
use crate::model::Secret;

/// Where data goes (`out`), where everything else goes (`err`), and where input comes from.
pub struct Console {
    input: Box<dyn BufRead + Send>,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input_kind: StreamKind,
    err_kind: StreamKind,
}

/// What is at the other end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Somebody who reads or types.
    Terminal,
    /// A file, a pipe, a service manager.
    Other,
}

/// A terminal that does not show what is typed, until this is dropped.
struct HiddenInput(Option<Termios>);

/// The longest credential that is taken, in bytes.
const MAX_SECRET: usize = 16 << 10;

// === impl Console ===

impl Console {
    /// The process's own streams. Colour is stripped unless they are terminals, and with `NO_COLOR` in any case.
    pub fn system() -> Self {
        let kind = |is_terminal| if is_terminal { StreamKind::Terminal } else { StreamKind::Other };
        Self {
            input: Box::new(BufReader::new(io::stdin())),
            out: Box::new(anstream::stdout()),
            err: Box::new(anstream::stderr()),
            input_kind: kind(io::stdin().is_terminal()),
            err_kind: kind(io::stderr().is_terminal()),
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
            err_kind: StreamKind::Other,
        }
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

    /// Writes data, which is what the command was asked for.
    ///
    /// # Errors
    ///
    /// When it cannot be written, except that the reader is gone: `flexslot-proxy man | head` is no failure.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(format!("standard output cannot be written: {}", error.kind())))
            }
            _ => Ok(()),
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
            .field("err_kind", &self.err_kind)
            .finish_non_exhaustive()
    }
}
