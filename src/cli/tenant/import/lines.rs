//! Lines one by one, in bounded memory.

use std::io::{BufRead, Read};

use zeroize::Zeroizing;

use crate::cli::Failure;

/// A line is cut here, and a cut line is a bad one.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Reads lines.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
    line: Zeroizing<Vec<u8>>,
}

// === impl Lines ===

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, number: 0, line: Zeroizing::new(Vec::with_capacity(4096)) }
    }

    /// The next line without its end, and its number from 1; `None` at the end. A line that is too long comes cut to
    /// [`MAX_LINE`].
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, Failure> {
        self.line.clear();
        let read = (&mut self.reader).take(MAX_LINE as u64).read_until(b'\n', &mut self.line).map_err(failed)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if read == MAX_LINE {
            self.skip_rest()?;
        }
        Ok(Some((self.number, &self.line)))
    }

    /// Goes to the end of the line without keeping it.
    fn skip_rest(&mut self) -> Result<(), Failure> {
        loop {
            let available = self.reader.fill_buf().map_err(failed)?;
            let (used, ended) = match available.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (available.len(), available.is_empty()),
            };
            self.reader.consume(used);
            if ended {
                return Ok(());
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: std::io::Error) -> Failure {
    Failure::new(format!("the lines cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{Lines, MAX_LINE};

    fn all(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Lines::new(text);
        std::iter::from_fn(|| lines.next().unwrap().map(|(number, line)| (number, line.to_vec()))).collect()
    }

    #[test]
    fn lines_come_with_their_numbers_with_or_without_a_last_end() {
        assert_eq!(all(b"a\n\nb"), [(1, b"a".to_vec()), (2, Vec::new()), (3, b"b".to_vec())]);
        assert_eq!(all(b"a\n"), [(1, b"a".to_vec())]);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_comes_cut_and_the_next_one_whole() {
        let mut text = vec![b'x'; 3 * MAX_LINE];
        text.extend_from_slice(b"\nnext");
        let lines = all(&text);
        assert_eq!((lines[0].1.len(), &lines[1]), (MAX_LINE, &(2, b"next".to_vec())));
    }
}
