//! Protobuf's binary form, as far as OTLP needs it (<https://protobuf.dev/programming-guides/encoding/>).

/// A message that is being written. Fields that have their default value are left out, as proto3 does.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// How a field's value is written.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

// === impl Message ===

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// `uint64`, `int64`, `bool`, an enum.
    pub(super) fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.tag(field, Wire::Varint);
            self.varint(number);
        }
    }

    pub(super) fn fixed64(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.tag(field, Wire::Fixed64);
            self.0.extend(number.to_le_bytes());
        }
    }

    pub(super) fn fixed32(&mut self, field: u32, number: u32) {
        if number != 0 {
            self.tag(field, Wire::Fixed32);
            self.0.extend(number.to_le_bytes());
        }
    }

    /// `bytes`, `string`.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.present(field, bytes);
        }
    }

    /// A message within, or a member of a `oneof`: it is there even where nothing is in it.
    pub(super) fn present(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, Wire::Bytes);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// A number that is a member of a `oneof`.
    pub(super) fn present_number(&mut self, field: u32, number: u64) {
        self.tag(field, Wire::Varint);
        self.varint(number);
    }

    /// A message within, written by `write`.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.present(field, &inner.0);
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field << 3 | wire as u32));
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

// === reading ===

/// A value as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order, up to the first that cannot be read.
pub(super) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let tag = take_varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Number(take_varint(&mut bytes)?),
            1 => Field::Bytes(take(&mut bytes, 8)?),
            2 => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Field::Bytes(take(&mut bytes, length)?)
            }
            5 => Field::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        Some((tag >> 3, field))
    })
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Field, Message, fields};
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_specification() {
        let mut message = Message::default();
        message.number(1, 150);
        message.bytes(2, b"testing");
        message.message(3, |inner| inner.number(1, 150));
        let written = [&[0x08, 0x96, 0x01, 0x12, 0x07][..], b"testing", &[0x1a, 0x03, 0x08, 0x96, 0x01]].concat();
        assert_eq!(message.into_bytes(), written);
    }

    #[test]
    fn what_has_its_default_value_is_left_out_but_for_what_says_that_it_is_there() {
        let mut message = Message::default();
        message.number(1, 0);
        message.fixed32(2, 0);
        message.fixed64(3, 0);
        message.bytes(4, b"");
        assert!(message.0.is_empty());
        message.present(5, b"");
        message.present_number(6, 0);
        assert_eq!(message.into_bytes(), [0x2a, 0, 0x30, 0]);
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(number in 1_u64.., field in 1_u32..5000, text in "..*") {
            let mut message = Message::default();
            message.number(field, number);
            message.bytes(field, text.as_bytes());
            message.fixed32(7, 7);
            message.fixed64(8, number);
            let bytes = message.into_bytes();
            let field = u64::from(field);
            let eight = number.to_le_bytes();
            let expected = [
                (field, Field::Number(number)),
                (field, Field::Bytes(text.as_bytes())),
                (7, Field::Bytes(&[7, 0, 0, 0])),
                (8, Field::Bytes(&eight)),
            ];
            prop_assert_eq!(fields(&bytes).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = fields(&bytes).count();
        }
    }
}
