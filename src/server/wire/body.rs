//! A request's body, followed byte by byte to its end (RFC 9112 sections 6 and 7.1).

use super::fields::{Fields, Framing, is_text};

/// The most bytes of chunk extensions in one body. Nobody uses them; hyper stops at 16 KiB.
const MAX_EXTENSIONS: usize = 8 * 1024;

/// The longest chunk size in hexadecimal digits.
const MAX_SIZE_DIGITS: usize = 15;

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

/// The chunked coding.
#[derive(Debug, Clone)]
pub(super) struct Chunked {
    place: Place,
    extensions: usize,
    trailers: Fields,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Size { size: u64, digits: usize },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    End,
}

// === impl Body ===

impl Body {
    /// `None` where there is none.
    pub(super) fn new(framing: Framing, header_size: usize) -> Option<Self> {
        match framing {
            Framing::Length(0) => None,
            Framing::Length(length) => Some(Self::Length(length)),
            Framing::Chunked => Some(Self::Chunked(Chunked {
                place: Place::Size { size: 0, digits: 0 },
                extensions: 0,
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
            if let Place::Data { left } = &mut self.place {
                let taken = at_most(*left, input.len() - at);
                *left -= taken as u64;
                at += taken;
                if *left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            match self.step(input[at]) {
                Some(Place::End) => return (at + 1, Outcome::End),
                Some(next) => self.place = next,
                None => return (at, Outcome::Fault),
            }
            at += 1;
        }
        (at, Outcome::More)
    }

    /// The place after `byte`; `None` where it must not stand.
    fn step(&mut self, byte: u8) -> Option<Place> {
        Some(match (self.place, byte) {
            (Place::Size { size, digits: 1.. }, b'\r') => Place::SizeLf { size },
            (Place::Size { size, digits: 1.. }, b';') => Place::Extension { size },
            (Place::Size { size, digits }, _) if digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                Place::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Place::Extension { size }, b'\r') => Place::SizeLf { size },
            (Place::Extension { size }, _) if is_text(byte) && self.extensions < MAX_EXTENSIONS => {
                self.extensions += 1;
                Place::Extension { size }
            }
            (Place::SizeLf { size: 0 }, b'\n') => Place::Trailer,
            (Place::SizeLf { size }, b'\n') => Place::Data { left: size },
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size { size: 0, digits: 0 },
            (Place::Trailer, b'\n') if self.line == b"\r" => Place::End,
            (Place::Trailer, b'\n') => {
                self.trailers.line(&self.line).ok()?;
                self.line.clear();
                Place::Trailer
            }
            (Place::Trailer, _) => {
                self.line.push(byte);
                self.trailers.check_partial(&self.line).ok()?;
                Place::Trailer
            }
            _ => return None,
        })
    }
}
