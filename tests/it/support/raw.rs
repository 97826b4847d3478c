//! A caller that sends bytes, and whatever comes back as bytes.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::client::in_time;

/// A connection to the sidecar.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    /// The status line and the fields, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body as it was coded, with its trailers.
    pub(crate) coded: Vec<u8>,
}

// === impl Raw ===

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the sidecar accepts");
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Sends all of it. The sidecar may close before it has read everything; that is for the answer to judge.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed_early = in_time("sending", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Says that nothing more will come.
    pub(crate) async fn finish_sending(&mut self) {
        let _closed_already = self.stream.shutdown().await;
    }

    /// The next answer, read no further than its end. Answers to HEAD are not for this.
    pub(crate) async fn reply(&mut self) -> RawReply {
        self.try_reply().await.unwrap_or_else(|rest| {
            panic!("the connection ended within an answer: {:?}", String::from_utf8_lossy(&rest))
        })
    }

    /// The same, where the connection may end before; then what came until then.
    pub(crate) async fn try_reply(&mut self) -> Result<RawReply, Vec<u8>> {
        loop {
            if let Some((reply, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Ok(reply);
            }
            if !self.more().await {
                return Err(std::mem::take(&mut self.read));
            }
        }
    }

    /// The answers until the sidecar closes, and what is left over.
    pub(crate) async fn replies_to_end(&mut self) -> (Vec<RawReply>, Vec<u8>) {
        while self.more().await {}
        let mut replies = Vec::new();
        while let Some((reply, length)) = parse(&self.read) {
            self.read.drain(..length);
            replies.push(reply);
        }
        (replies, std::mem::take(&mut self.read))
    }

    /// Everything until the sidecar closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// The next bytes, that many.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await, "the connection ended early");
        }
        self.read.drain(..length).collect()
    }

    /// Reads until `text` has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            assert!(self.more().await, "the connection ended before {text:?}: {so_far:?}");
        }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        // A reset is an end as well: what was read before it counts.
        let length = in_time("an answer or the end", self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..length]);
        length > 0
    }
}

/// The answer at the front of `bytes` and its length, if it is complete.
fn parse(bytes: &[u8]) -> Option<(RawReply, usize)> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status =
        head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no answer: {head:?}"));
    let body = &bytes[end + 4..];
    if let Some(length) = field(&head, "content-length") {
        let length: usize = length.parse().unwrap();
        let body = body.get(..length)?.to_vec();
        return Some((RawReply { status, head, coded: body.clone(), body }, end + 4 + length));
    }
    if field(&head, "transfer-encoding").is_some() {
        let (data, length) = unchunk(body)?;
        return Some((RawReply { status, head, body: data, coded: body[..length].to_vec() }, end + 4 + length));
    }
    Some((RawReply { status, head, body: Vec::new(), coded: Vec::new() }, end + 4))
}

/// The data of a complete chunked body and the length of its coding, trailers included; `None` while there is more to
/// come.
pub(crate) fn unchunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size =
            std::str::from_utf8(&bytes[at..at + line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size =
            size.unwrap_or_else(|| panic!("no chunk size: {:?}", String::from_utf8_lossy(&bytes[at..at + line])));
        at += line + 2;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(at..at + size)?);
        assert!(bytes.get(at + size..at + size + 2)? == b"\r\n", "a chunk ends with CRLF");
        at += size + 2;
    }
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some((data, at));
        }
    }
}

/// The one value of a field in a head; fails where it stands twice.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut values = head.split("\r\n").skip(1).filter_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    let value = values.next();
    assert!(values.next().is_none(), "{name} stands twice: {head}");
    value
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
