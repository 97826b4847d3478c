//! The chunked transfer coding, followed byte by byte to its end (RFC 9112 section 7.1): what is content, and what only
//! frames it.
//!
//! Strict, because both walls read by it, and what stands behind them may read otherwise: lines end in CR LF, sizes are
//! hexadecimal digits and nothing else, and extensions are text, and few.

/// The most bytes of chunk extensions in one body. Nobody uses them.
const MAX_EXTENSIONS: usize = 8 * 1024;

/// The longest chunk size in hexadecimal digits.
const MAX_SIZE_DIGITS: usize = 15;

/// A chunked body that is being read.
#[derive(Debug, Clone)]
pub struct Chunked {
    place: Place,
    extensions: usize,
}

/// What stands at the front of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes that frame: sizes, extensions, ends of lines.
    Framing(usize),
    /// So many bytes of content.
    Content(usize),
    /// So many bytes of the trailer section. The empty line at its end is one of its lines.
    Trailers(usize),
    /// The first byte must not stand where it stands.
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Size { size: u64, digits: usize },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Content { left: u64 },
    ContentCr,
    ContentLf,
    Trailers(Line),
    End,
}

/// Where in a line of trailers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Start,
    Inside,
    /// After the CR of a line that has something in it, or of one that has not.
    Cr,
    EmptyCr,
}

// === impl Chunked ===

impl Chunked {
    /// A body before its first byte.
    pub const fn begin() -> Self {
        Self { place: Place::Size { size: 0, digits: 0 }, extensions: 0 }
    }

    /// Whether nothing of it is left to come.
    pub fn has_ended(&self) -> bool {
        self.place == Place::End
    }

    /// Whether the next byte is one of content.
    pub const fn is_in_content(&self) -> bool {
        matches!(self.place, Place::Content { .. })
    }

    /// Reads the front of `input`, which is not empty. Ask again with what is left of it, unless the body
    /// [has ended](Self::has_ended).
    pub fn read(&mut self, input: &[u8]) -> Piece {
        match self.place {
            Place::Content { left } => self.content(left, input),
            Place::Trailers(line) => self.trailers(line, input),
            _ => self.framing(input),
        }
    }

    fn content(&mut self, left: u64, input: &[u8]) -> Piece {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left - taken as u64;
        self.place = if left == 0 { Place::ContentCr } else { Place::Content { left } };
        Piece::Content(taken)
    }

    fn framing(&mut self, input: &[u8]) -> Piece {
        for (at, &byte) in input.iter().enumerate() {
            match self.step(byte) {
                Some(next) => self.place = next,
                None if at == 0 => return Piece::Fault,
                None => return Piece::Framing(at),
            }
            if matches!(self.place, Place::Content { .. } | Place::Trailers(_)) {
                return Piece::Framing(at + 1);
            }
        }
        Piece::Framing(input.len())
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
            (Place::SizeLf { size: 0 }, b'\n') => Place::Trailers(Line::Start),
            (Place::SizeLf { size }, b'\n') => Place::Content { left: size },
            (Place::ContentCr, b'\r') => Place::ContentLf,
            (Place::ContentLf, b'\n') => Place::Size { size: 0, digits: 0 },
            _ => return None,
        })
    }

    /// Follows lines only as far as it takes to find the empty one; what stands in them is for others to judge.
    fn trailers(&mut self, mut line: Line, input: &[u8]) -> Piece {
        for (at, &byte) in input.iter().enumerate() {
            line = match (line, byte) {
                (Line::EmptyCr, b'\n') => {
                    self.place = Place::End;
                    return Piece::Trailers(at + 1);
                }
                (Line::Cr, b'\n') => Line::Start,
                (Line::Start, b'\r') => Line::EmptyCr,
                (Line::Inside, b'\r') => Line::Cr,
                (Line::Start | Line::Inside, _) if byte != b'\n' => Line::Inside,
                _ if at == 0 => return Piece::Fault,
                _ => {
                    self.place = Place::Trailers(line);
                    return Piece::Trailers(at);
                }
            };
        }
        self.place = Place::Trailers(line);
        Piece::Trailers(input.len())
    }
}

/// RFC 9110 section 5.5: visible characters, spaces, tabs, and bytes beyond ASCII.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Chunked, Piece};

    /// The content, the trailer section, and how the body ended: with so many bytes after it, in the middle, or at a
    /// byte that must not stand there.
    type Read = (Vec<u8>, Vec<u8>, Result<Option<usize>, ()>);

    fn read(pieces: &[&[u8]]) -> Read {
        let (mut chunked, mut content, mut trailers) = (Chunked::begin(), Vec::new(), Vec::new());
        for (at, piece) in pieces.iter().enumerate() {
            let mut rest = *piece;
            while !rest.is_empty() {
                let taken = match chunked.read(rest) {
                    Piece::Framing(taken) => taken,
                    Piece::Content(taken) => {
                        content.extend_from_slice(&rest[..taken]);
                        taken
                    }
                    Piece::Trailers(taken) => {
                        trailers.extend_from_slice(&rest[..taken]);
                        taken
                    }
                    Piece::Fault => return (content, trailers, Err(())),
                };
                assert!(taken > 0, "it goes on");
                rest = &rest[taken..];
                if chunked.has_ended() {
                    let after = rest.len() + pieces[at + 1..].iter().map(|piece| piece.len()).sum::<usize>();
                    return (content, trailers, Ok(Some(after)));
                }
            }
        }
        (content, trailers, Ok(None))
    }

    #[test]
    fn content_and_trailers_are_told_from_what_frames_them() {
        let body = b"4\r\ndeck\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\nHTTP";
        let (content, trailers, end) = read(&[body]);
        assert_eq!(content, b"deck0123456789");
        assert_eq!((&trailers[..], end), (&b"x-sum: 1\r\n\r\n"[..], Ok(Some(4))));
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_a_fault() {
        for body in [
            &b"\r\n"[..],
            b";\r\n",
            b" 4\r\ndeck",
            b"4 \r\ndeck",
            b"+4\r\ndeck",
            b"0x4\r\ndeck",
            b"4\ndeck",
            b"4\r\rdeck",
            b"4;a\nb\r\n",
            b"4;\0\r\n",
            b"4\r\ndeckX",
            b"4\r\ndeck\n",
            b"4\r\ndeck\rX",
            b"0000000000000000\r\n",
            b"0\r\n\n",
            b"0\r\nx: 1\n\r\n",
            b"0\r\nx: 1\rX",
            b"0\r\n\rX",
        ] {
            assert_eq!(read(&[body]).2, Err(()), "{}", body.escape_ascii());
        }
        let many = [&b"4;"[..], &[b'x'; 8 * 1024 + 1]].concat();
        assert_eq!(read(&[&many]).2, Err(()), "extensions are few");
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_reads_the_same(
            body in "([0-9a-fA-F]{1,3}(;[ -~]{0,4})?\r?\n?[a-z]{0,40}\r?\n?){0,4}0?\r?\n?(x: [a-z]{0,9}\r?\n?){0,2}\r?\n?.{0,5}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let body = body.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[body]));
        }
    }
}
