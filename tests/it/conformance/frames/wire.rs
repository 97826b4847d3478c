//! HTTP/2 frames by hand (RFC 9113 section 4), header blocks of literals (RFC 7541 section 6.2.2), and a client that
//! writes whatever it is told while it notes what it hears.

use std::{collections::VecDeque, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use crate::support::in_time;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

// Flags.
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITISED: u8 = 0x20;

/// Error codes (RFC 9113 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    Protocol = 1,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Compression = 9,
    EnhanceYourCalm = 11,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Status(u32, u16),
    Data(u32, usize),
    /// The end of an answer.
    End(u32),
    Reset(u32, u32),
    Goaway(u32),
    Pong,
    Settings,
    /// What is no HTTP/2.
    Text(String),
    Other(u8),
    /// The end of the connection.
    Closed,
}

/// A connection to the sidecar.
pub(super) struct Client {
    reader: OwnedReadHalf,
    writer: mpsc::UnboundedSender<Option<Vec<u8>>>,
    read: Vec<u8>,
    pub(super) heard: VecDeque<Heard>,
}

/// A frame, whatever it holds.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(super) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        pairs.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// What a good client begins with. No table, so that what the server says can be read without one.
pub(super) fn opening() -> Vec<u8> {
    [PREFACE, &settings(&[(1, 0)])].concat()
}

/// A number with a prefix of seven bits (RFC 7541 section 5.1).
fn length(mut value: usize) -> Vec<u8> {
    let byte = |value: usize| u8::try_from(value).expect("a byte");
    if value < 127 {
        return vec![byte(value)];
    }
    value -= 127;
    let mut bytes = vec![127];
    while value >= 128 {
        bytes.push(byte(value % 128) | 128);
        value /= 128;
    }
    bytes.push(byte(value));
    bytes
}

/// A field that is written out and not kept.
pub(super) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &length(name.len()), name, &length(value.len()), value].concat()
}

pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes())).collect()
}

/// A whole header section in one frame.
pub(super) fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, block)
}

pub(super) fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

// === impl Client ===

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the sidecar accepts");
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(write(writer, receiver));
        Self { reader, writer: sender, read: Vec::new(), heard: VecDeque::new() }
    }

    /// Has these bytes written, while others may be waiting to be.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        let _writing_has_failed = self.writer.send(Some(bytes));
    }

    /// Says that no more will come.
    pub(super) fn hang_up(&self) {
        let _writing_has_failed = self.writer.send(None);
    }

    /// Listens until this has been heard; false where the connection ends before.
    pub(super) async fn hears(&mut self, mut wanted: impl FnMut(&Heard) -> bool) -> bool {
        let mut looked_at = 0;
        loop {
            while let Some(heard) = self.heard.get(looked_at) {
                if wanted(heard) {
                    return true;
                }
                looked_at += 1;
            }
            if self.heard.back() == Some(&Heard::Closed) {
                return false;
            }
            self.listen().await;
        }
    }

    /// Takes in what comes next.
    async fn listen(&mut self) {
        let read = in_time("a frame or the end", self.reader.read_buf(&mut self.read)).await.unwrap_or(0);
        if self.read.starts_with(b"HTTP/1.") {
            self.heard.push_back(Heard::Text(String::from_utf8_lossy(&self.read).into_owned()));
        } else {
            while let Some(length) = whole_frame(&self.read) {
                let frame: Vec<u8> = self.read.drain(..length).collect();
                note(&frame, &mut self.heard);
            }
        }
        if read == 0 {
            self.heard.push_back(Heard::Closed);
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut wanted: mpsc::UnboundedReceiver<Option<Vec<u8>>>) {
    while let Some(bytes) = wanted.recv().await {
        let done = match bytes {
            Some(bytes) => writer.write_all(&bytes).await,
            None => writer.shutdown().await,
        };
        if done.is_err() {
            return;
        }
    }
}

fn whole_frame(bytes: &[u8]) -> Option<usize> {
    let &[one, two, three, ..] = bytes else { return None };
    let length = 9 + u32::from_be_bytes([0, one, two, three]) as usize;
    (bytes.len() >= length).then_some(length)
}

fn note(frame: &[u8], heard: &mut VecDeque<Heard>) {
    let (kind, flags, payload) = (frame[3], frame[4], &frame[9..]);
    let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
    let stream = u32::from_be_bytes(frame[5..9].try_into().expect("four bytes"));
    heard.push_back(match kind {
        HEADERS => status(payload).map_or(Heard::Other(HEADERS), |status| Heard::Status(stream, status)),
        DATA => Heard::Data(stream, payload.len()),
        RST_STREAM => Heard::Reset(stream, number(0)),
        GOAWAY => Heard::Goaway(number(4)),
        PING if flags & ACK != 0 => Heard::Pong,
        SETTINGS => Heard::Settings,
        other => Heard::Other(other),
    });
    if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
        heard.push_back(Heard::End(stream));
    }
}

/// The status, which comes first: by its index in the static table, or as three digits, Huffman-coded or not. `None` of
/// trailers.
fn status(block: &[u8]) -> Option<u16> {
    let mut start = 0;
    // Changes of the table's size (RFC 7541 section 6.3), of one byte or more.
    while block.get(start)? & 0xe0 == 0x20 {
        if block[start] == 0x3f {
            start += block[start + 1..].iter().position(|byte| byte & 0x80 == 0)? + 1;
        }
        start += 1;
    }
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block[start] {
        byte @ 0x88..=0x8e => Some(INDEXED[usize::from(byte - 0x88)]),
        // Literals that name the eighth entry.
        0x08 | 0x18 | 0x48 => {
            let length = block[start + 1];
            let text = &block[start + 2..start + 2 + usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
            std::str::from_utf8(&digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Decimal digits in the code of RFC 7541, appendix B: 0 to 2 have five bits, the others six.
fn digits(coded: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let value = |bits: &[u8]| bits.iter().fold(0, |value, bit| value * 2 + bit);
    let (mut digits, mut at) = (Vec::new(), 0);
    while bits.len() - at >= 5 && digits.len() < 3 {
        match value(&bits[at..at + 5]) {
            short @ 0..=2 => {
                digits.push(b'0' + short);
                at += 5;
            }
            _ if bits.len() - at >= 6 => {
                digits.push(b'3' + value(&bits[at..at + 6]).saturating_sub(0x19));
                at += 6;
            }
            _ => break,
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::{length, literal, status};

    #[test]
    fn numbers_and_statuses_are_coded_as_in_rfc_7541() {
        assert_eq!((length(10), length(127), length(1337 - 31 + 127)), (vec![10], vec![127, 0], vec![127, 154, 10]));
        assert_eq!(literal(b"a", b"bc"), [0, 1, b'a', 2, b'b', b'c']);
        assert_eq!(
            (status(&[0x88]), status(&[0x20, 0x3f, 0xe1, 0x1f, 0x8d]), status(&[0x48, 3, b'4', b'3', b'1'])),
            (Some(200), Some(404), Some(431))
        );
        // Appendix C.6.1: 302.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0x00, 1, b'x', 1, b'y']), None);
    }
}
