//! The content of a response, out of the bytes of its connection.

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;

use super::{
    framing::Framing,
    head::{Malformed, read_trailers},
};
use crate::proxy::chunked::{Chunked, Piece};

/// Content that is being read.
#[derive(Debug)]
pub(super) struct Content {
    stage: Stage,
    /// Bytes that the trailer section may have.
    limit: usize,
}

#[derive(Debug)]
enum Stage {
    /// So many bytes are still to come; never zero.
    Length(u64),
    Chunked(Box<Chunks>),
    UntilClose,
    Over,
}

#[derive(Debug)]
struct Chunks {
    coding: Chunked,
    /// The trailer section, as far as it has come.
    section: BytesMut,
    /// What is wrong with what comes next.
    fault: Option<Malformed>,
}

/// The connection ended before the content did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CutShort;

/// The trailer section of a body that has no trailers.
const EMPTY_SECTION: &[u8] = b"\r\n";

// === impl Content ===

impl Content {
    /// No content, or none any more.
    pub(super) const fn over() -> Self {
        Self { stage: Stage::Over, limit: 0 }
    }

    pub(super) fn new(framing: Framing, limit: usize) -> Self {
        let stage = match framing {
            Framing::Length(0) => Stage::Over,
            Framing::Length(length) => Stage::Length(length),
            Framing::Chunked => Stage::Chunked(Box::new(Chunks::new())),
            Framing::UntilClose => Stage::UntilClose,
        };
        Self { stage, limit }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// How many bytes of content are still to come, where that is known.
    pub(super) const fn left(&self) -> Option<u64> {
        match self.stage {
            Stage::Length(left) => Some(left),
            Stage::Over => Some(0),
            Stage::Chunked(_) | Stage::UntilClose => None,
        }
    }

    /// The next frame in `buffer`; `None` where it holds none. The content [is over](Self::is_over) as soon as that can
    /// be known.
    pub(super) fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Malformed> {
        match &mut self.stage {
            Stage::Length(left) if !buffer.is_empty() => {
                let taken = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                *left -= taken as u64;
                if *left == 0 {
                    self.stage = Stage::Over;
                }
                Ok(Some(Frame::data(buffer.split_to(taken).freeze())))
            }
            Stage::Chunked(chunks) => {
                let frame = chunks.read(buffer, self.limit)?;
                if chunks.is_over() {
                    self.stage = Stage::Over;
                }
                Ok(frame)
            }
            Stage::UntilClose if !buffer.is_empty() => Ok(Some(Frame::data(buffer.split().freeze()))),
            Stage::Length(_) | Stage::UntilClose | Stage::Over => Ok(None),
        }
    }

    /// The connection has ended, and nothing of it is left to read.
    pub(super) fn close(&mut self) -> Result<(), CutShort> {
        match self.stage {
            Stage::Over | Stage::UntilClose => {
                self.stage = Stage::Over;
                Ok(())
            }
            Stage::Length(_) | Stage::Chunked(_) => Err(CutShort),
        }
    }
}

// === impl Chunks ===

impl Chunks {
    fn new() -> Self {
        Self { coding: Chunked::begin(), section: BytesMut::new(), fault: None }
    }

    /// A piece of content, and what frames it on both sides, so that the end is known with it; or trailers.
    fn read(&mut self, buffer: &mut BytesMut, limit: usize) -> Result<Option<Frame<Bytes>>, Malformed> {
        let mut content = None;
        while self.fault.is_none() && !buffer.is_empty() && !self.coding.has_ended() {
            if content.is_some() && self.coding.is_in_content() {
                break;
            }
            match self.coding.read(buffer) {
                Piece::Framing(length) => buffer.advance(length),
                Piece::Content(length) => content = Some(buffer.split_to(length).freeze()),
                Piece::Trailers(length) if self.section.len() + length <= limit => {
                    self.section.extend_from_slice(&buffer[..length]);
                    buffer.advance(length);
                }
                Piece::Trailers(_) => self.fault = Some(Malformed("trailers over the limit")),
                Piece::Fault => self.fault = Some(Malformed("broken chunks")),
            }
        }
        match (content, self.fault) {
            (Some(content), _) => Ok(Some(Frame::data(content))),
            (None, Some(fault)) => Err(fault),
            (None, None) if self.coding.has_ended() && !self.is_over() => {
                let trailers = read_trailers(self.section.split().freeze())?;
                Ok(Some(Frame::trailers(trailers)))
            }
            (None, None) => Ok(None),
        }
    }

    /// Whether neither content nor trailers are left.
    fn is_over(&self) -> bool {
        self.coding.has_ended() && (self.section.is_empty() || self.section == EMPTY_SECTION)
    }
}

#[cfg(test)]
mod tests;
