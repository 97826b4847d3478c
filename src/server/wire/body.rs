//! A request's body, followed byte by byte to its end (RFC 9112 section 6).

use super::fields::{Fields, Framing};
use crate::proxy::chunked::{self, Piece};

/// A body that is being read.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// This many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
}

/// Where reading has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The body goes on.
    More,
    /// The body has ended.
    End,
    /// The byte after those that were taken breaks the framing.
    Fault,
}

/// The chunked coding, with the judgement on its trailers.
#[derive(Debug, Clone)]
pub(super) struct Chunked {
    coding: chunked::Chunked,
    trailers: Fields,
    /// The line of the trailer section that has not ended yet.
    line: Vec<u8>,
}

// === impl Body ===

impl Body {
    /// `None` where there is none.
    pub(super) fn new(framing: Framing, header_size: usize) -> Option<Self> {
        match framing {
            Framing::Length(0) => None,
            Framing::Length(length) => Some(Self::Length(length)),
            Framing::Chunked => Some(Self::Chunked(Chunked {
                coding: chunked::Chunked::begin(),
                trailers: Fields::new(header_size),
                line: Vec::new(),
            })),
        }
    }

    /// How many bytes of `input` belong to the body, and whether it ends there.
    pub(super) fn read(&mut self, input: &[u8]) -> (usize, Outcome) {
        match self {
            Self::Length(left) => {
                let taken = at_most(*left, input.len());
                *left -= taken as u64;
                (taken, if *left == 0 { Outcome::End } else { Outcome::More })
            }
            Self::Chunked(chunked) => chunked.read(input),
        }
    }
}

fn at_most(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

// === impl Chunked ===

impl Chunked {
    fn read(&mut self, input: &[u8]) -> (usize, Outcome) {
        let mut at = 0;
        while at < input.len() {
            at += match self.coding.read(&input[at..]) {
                Piece::Framing(taken) | Piece::Content(taken) => taken,
                Piece::Trailers(taken) => match self.judge(&input[at..at + taken]) {
                    None => taken,
                    Some(good) => return (at + good, Outcome::Fault),
                },
                Piece::Fault => return (at, Outcome::Fault),
            };
            if self.coding.has_ended() {
                return (at, Outcome::End);
            }
        }
        (at, Outcome::More)
    }

    /// How many bytes of a piece of the trailer section are good, where not all are.
    fn judge(&mut self, piece: &[u8]) -> Option<usize> {
        piece.iter().position(|&byte| {
            let refused = if byte != b'\n' {
                self.line.push(byte);
                self.trailers.check_partial(&self.line).is_err()
            } else {
                self.line != b"\r" && self.trailers.line(&self.line).is_err()
            };
            if byte == b'\n' {
                self.line.clear();
            }
            refused
        })
    }
}
