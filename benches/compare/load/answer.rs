//! Reads an answer, and is content with one only: 200, framed as RFC 9112 has it, of the expected length.

use crate::failure::{Failure, Result, Trying};

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Answer {
    expected: u64,
    received: u64,
    part: Part,
    /// A head, or the line of a chunk, that has not come whole.
    line: Vec<u8>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    /// A body, or a chunk of one.
    Body {
        left: u64,
        chunked: bool,
    },
    /// The line that says how long a chunk is.
    Size,
    /// The end of a chunk's line of data.
    ChunkEnd,
    Trailer,
    Over,
}

/// Whether more has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Complete,
    /// The connection has ended, and nothing of an answer has come.
    Closed,
}

// === impl Answer ===

impl Answer {
    /// One whose body is to have `expected` bytes.
    pub(super) fn of(expected: u64) -> Self {
        Self { expected, received: 0, part: Part::Head, line: Vec::new() }
    }

    /// Whether something of an answer has come, and not all of it.
    pub(super) fn is_begun(&self) -> bool {
        self.part != Part::Head || !self.line.is_empty()
    }

    /// Takes what has come. The next answer begins when one is complete.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<Progress> {
        while !bytes.is_empty() {
            bytes = match self.part {
                Part::Body { left, chunked } => self.body(bytes, left, chunked),
                Part::Over => return Err(Failure::new("more was answered than was asked for")),
                Part::Head => self.line(bytes, b"\r\n\r\n")?,
                Part::Size | Part::ChunkEnd | Part::Trailer => self.line(bytes, b"\r\n")?,
            };
        }
        match self.part {
            Part::Over if self.received != self.expected => {
                Err(Failure::new(format!("an answer of {} bytes, not {}", self.received, self.expected)))
            }
            Part::Over => {
                (self.received, self.part) = (0, Part::Head);
                Ok(Progress::Complete)
            }
            _ => Ok(Progress::More),
        }
    }

    fn body<'a>(&mut self, bytes: &'a [u8], left: u64, chunked: bool) -> &'a [u8] {
        let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.received += length as u64;
        self.part = match left - length as u64 {
            0 if chunked => Part::ChunkEnd,
            0 => Part::Over,
            left => Part::Body { left, chunked },
        };
        &bytes[length..]
    }

    /// Takes up to `end` and goes on to the next part; keeps what has come if `end` has not.
    fn line<'a>(&mut self, bytes: &'a [u8], end: &[u8]) -> Result<&'a [u8]> {
        let before = self.line.len();
        self.line.extend_from_slice(bytes);
        let from = before.saturating_sub(end.len() - 1);
        let Some(at) = self.line[from..].windows(end.len()).position(|window| window == end) else {
            return Ok(&[]);
        };
        let length = from + at;
        self.line.truncate(length);
        let line = std::mem::take(&mut self.line);
        self.part = self.after(std::str::from_utf8(&line).trying(|| "an answer's head".into())?)?;
        self.line = line;
        self.line.clear();
        Ok(&bytes[length + end.len() - before..])
    }

    fn after(&self, line: &str) -> Result<Part> {
        match self.part {
            Part::Head => after_head(line),
            Part::Size => {
                let size = line.split(';').next().unwrap_or_default().trim();
                let left = u64::from_str_radix(size, 16).trying(|| format!("the size of a chunk, {size:?}"))?;
                Ok(if left == 0 { Part::Trailer } else { Part::Body { left, chunked: true } })
            }
            Part::ChunkEnd => Ok(Part::Size),
            Part::Trailer if !line.is_empty() => Ok(Part::Trailer),
            _ => Ok(Part::Over),
        }
    }
}

fn after_head(head: &str) -> Result<Part> {
    let mut lines = head.split("\r\n");
    if lines.next().and_then(|line| line.split(' ').nth(1)) != Some("200") {
        return Err(Failure::new(format!("an answer that is not 200:\n{head}")));
    }
    let mut length = None;
    let mut chunked = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name {
            name if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok(),
            name if name.eq_ignore_ascii_case("transfer-encoding") => chunked = true,
            _ => {}
        }
    }
    match length {
        _ if chunked => Ok(Part::Size),
        Some(0) => Ok(Part::Over),
        Some(left) => Ok(Part::Body { left, chunked: false }),
        None => Err(Failure::new(format!("an answer without a length:\n{head}"))),
    }
}
