//! The name of a request: in `Flexslot-Proxy-Request-Id`, in problems, in the access log, and what its trace is asked
//! for by.

use std::{fmt, str::FromStr};

/// Eight hexadecimal digits for the process, a dash, and the request's number in it, hexadecimal too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    process: u32,
    number: u64,
}

/// The longest text of an id, in bytes.
pub const LONGEST: usize = 8 + 1 + 16;

/// A text is no request's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRequestId;

// === impl RequestId ===

impl RequestId {
    /// The request `number` of the process that goes by `process`.
    pub const fn new(process: u32, number: u64) -> Self {
        Self { process, number }
    }

    /// The text, in `room`. Without the machinery of formatting: each request has its id in a header and in a line.
    pub fn written(self, room: &mut [u8; LONGEST]) -> &str {
        let digit = |of: u64| b"0123456789abcdef"[(of & 0xf) as usize];
        for (place, shift) in (0..8).zip((0..32).step_by(4).rev()) {
            room[place] = digit(u64::from(self.process >> shift));
        }
        room[8] = b'-';
        let digits = (16 - self.number.leading_zeros() as usize / 4).max(1);
        for (place, shift) in (9..9 + digits).zip((0..4 * digits).step_by(4).rev()) {
            room[place] = digit(self.number >> shift);
        }
        str::from_utf8(&room[..9 + digits]).unwrap_or_default()
    }

    /// The place in the order of the process's requests.
    pub const fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written(&mut [0; LONGEST]))
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let (process, number) = text.split_once('-').ok_or(InvalidRequestId)?;
        let is_hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if process.len() != 8 || !is_hexadecimal(process) || !is_hexadecimal(number) {
            return Err(InvalidRequestId);
        }
        let process = u32::from_str_radix(process, 16).map_err(|_| InvalidRequestId)?;
        let number = u64::from_str_radix(number, 16).map_err(|_| InvalidRequestId)?;
        Ok(Self { process, number })
    }
}

// === impl InvalidRequestId ===

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request id looks like d067bdbd-1f: eight hexadecimal digits, a dash, and a hexadecimal number")
    }
}

impl std::error::Error for InvalidRequestId {}

#[cfg(test)]
mod tests {
    use super::RequestId;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let numbers =
            (0..=16).flat_map(|digits| [u64::MAX.checked_shr(64 - 4 * digits).unwrap_or(0), 1 << (4 * digits).min(63)]);
        let all = numbers.map(|number| RequestId::new(7, number));
        for id in all.chain([RequestId::new(0xd067_bdbd, 0x1f), RequestId::new(u32::MAX, u64::MAX)]) {
            assert_eq!(id.to_string(), format!("{:08x}-{:x}", id.process, id.number));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(RequestId::new(7, 0x1f).to_string(), "00000007-1f");
    }

    #[test]
    fn what_is_no_id_is_not_read() {
        for text in
            ["", "-", "d067bdbd", "d067bdbd-", "d067bdb-1", "+067bdbd-1", "d067bdbd-+1", "d067bdbd-1-2", "d067bdbd-g"]
        {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
        assert!(format!("d067bdbd-{}", "1".repeat(17)).parse::<RequestId>().is_err());
    }
}
