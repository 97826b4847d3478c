//! The pure part: bytes in, judgement out. Knows no socket and no clock, and judges the same however the bytes are cut
//! into reads.

use std::ops::Range;

use super::{
    Refusal,
    body::{Body, Outcome},
    head::HeadReader,
};

/// Follows one connection's requests.
#[derive(Debug)]
pub struct Judge {
    header_size: usize,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Head(HeadReader),
    Body(Body),
    /// The body's framing is broken; where the next head begins is unknown.
    Fault,
}

/// What is known of the head at the front of a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It has not ended.
    More,
    /// It is good, and lies between `start` and `end`; `upgrades` are its lines of `Upgrade`. Its body, if it has one,
    /// follows.
    Head { start: usize, end: usize, upgrades: Vec<Range<usize>> },
    /// It is not read any further.
    Refused(Refusal),
}

// === impl Judge ===

impl Judge {
    /// For requests whose fields take at most `header_size` bytes.
    pub fn new(header_size: usize) -> Self {
        Self { header_size, phase: Phase::Head(HeadReader::new(header_size)) }
    }

    /// Whether what comes next belongs to a head.
    pub fn in_head(&self) -> bool {
        matches!(self.phase, Phase::Head(_))
    }

    /// Whether the body of the current request is broken.
    pub fn is_fault(&self) -> bool {
        matches!(self.phase, Phase::Fault)
    }

    /// Judges the head at the front of `buffer`, which begins with what it held at the last call for the same head.
    pub fn head(&mut self, buffer: &[u8]) -> Progress {
        let Phase::Head(reader) = &mut self.phase else { return Progress::More };
        match reader.read(buffer) {
            Ok(None) => Progress::More,
            Ok(Some(head)) => {
                self.phase = match Body::new(head.framing, self.header_size) {
                    Some(body) => Phase::Body(body),
                    None => Phase::Head(HeadReader::new(self.header_size)),
                };
                Progress::Head { start: head.skip, end: head.end, upgrades: head.upgrades }
            }
            Err(refusal) => Progress::Refused(refusal),
        }
    }

    /// How many bytes at the front of `input` are the body's and good. After them comes the next head, more of the
    /// body, or a fault.
    pub fn body(&mut self, input: &[u8]) -> usize {
        let Phase::Body(body) = &mut self.phase else { return 0 };
        let (taken, outcome) = body.read(input);
        match outcome {
            Outcome::More => {}
            Outcome::End => self.phase = Phase::Head(HeadReader::new(self.header_size)),
            Outcome::Fault => self.phase = Phase::Fault,
        }
        taken
    }
}

#[cfg(test)]
mod tests;
