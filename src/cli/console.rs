//! Standard input, output and error: the one place where the program prints.

use std::{
    fmt,
    io::{self, BufRead, BufReader, IsTerminal, Write},
};

use super::Failure;

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

    /// What standard input is.
    pub fn input_kind(&self) -> StreamKind {
        self.input_kind
    }

    /// Standard input.
    pub fn input(&mut self) -> &mut dyn BufRead {
        &mut *self.input
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

    /// The same without a line end, for prompts and progress.
    pub fn tell_part(&mut self, text: impl fmt::Display) {
        let _ = write!(self.err, "{text}").and_then(|()| self.err.flush());
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
