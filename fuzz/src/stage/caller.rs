//! Callers: connections to a sidecar, and what comes back on them.

use std::sync::Arc;

use bytes::Bytes;
use flexslot_proxy::proxy::error::Code;
use http::Method;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split},
    sync::mpsc,
    task::JoinHandle,
};

use super::super::message::{Content, Framing, Head, find};
use super::SECRET;

/// A connection. Dropping it hangs up.
#[derive(Debug)]
pub struct Connection {
    say: Option<mpsc::UnboundedSender<Bytes>>,
    heard: Arc<Mutex<Heard>>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    ended: bool,
}

/// An answer as far as it has come.
#[derive(Debug, Clone)]
pub struct Reply {
    pub head: Head,
    pub content: Content,
    /// The connection ended before the answer did.
    pub broken: bool,
}

// === impl Connection ===

impl Connection {
    pub fn new(stream: DuplexStream) -> Self {
        let (mut reading, mut writing) = split(stream);
        let heard = Arc::<Mutex<Heard>>::default();
        let ear = Arc::clone(&heard);
        let (say, mut said) = mpsc::unbounded_channel::<Bytes>();
        let hearing = tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let length = reading.read(&mut buffer).await.unwrap_or(0);
                let mut heard = ear.lock();
                heard.bytes.extend_from_slice(&buffer[..length]);
                heard.ended = length == 0;
                if heard.ended {
                    return;
                }
            }
        });
        let saying = tokio::spawn(async move {
            while let Some(bytes) = said.recv().await {
                if writing.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            // Whoever stops talking still listens.
            std::future::pending::<()>().await;
        });
        Self { say: Some(say), heard, tasks: [hearing, saying] }
    }

    /// Sends bytes, as soon as there is room for them.
    pub fn say(&self, bytes: impl Into<Bytes>) {
        if let Some(say) = &self.say {
            let _ = say.send(bytes.into());
        }
    }

    pub fn has_ended(&self) -> bool {
        self.heard.lock().ended
    }

    /// How much has been heard, and whether that was all.
    pub fn progress(&self) -> (usize, bool) {
        let heard = self.heard.lock();
        (heard.bytes.len(), heard.ended)
    }

    /// All that was heard.
    pub fn bytes(&self) -> Vec<u8> {
        self.heard.lock().bytes.clone()
    }

    /// The final answers to requests of these methods, in turn; the last one may be on its way.
    pub fn replies(&self, methods: &[Method]) -> Result<Vec<Reply>, String> {
        let heard = self.heard.lock();
        let (mut at, mut replies) = (0, Vec::new());
        for method in methods {
            let Some((head, length)) = final_head(&heard.bytes, &mut at)? else { break };
            at += length;
            let reply = Reply::read(head, &heard.bytes[at..], *method == Method::HEAD, heard.ended)?;
            at += reply.content.length.unwrap_or_default();
            let is_whole = reply.content.length.is_some();
            replies.push(reply);
            if !is_whole {
                return Ok(replies);
            }
        }
        // What comes unasked is an answer to somebody else.
        match heard.bytes.len() - at {
            left if left > 0 && replies.len() == methods.len() => Err(format!("{left} bytes that nobody asked for")),
            _ => Ok(replies),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The next head that is not of an interim answer, from `at` on.
pub fn final_head(bytes: &[u8], at: &mut usize) -> Result<Option<(Head, usize)>, String> {
    while let Some((head, length)) = Head::parse(&bytes[*at..])? {
        if !head.line.starts_with("HTTP/1.") {
            return Err(format!("no answer: {}", head.line));
        }
        if head.status() >= 200 {
            return Ok(Some((head, length)));
        }
        *at += length;
    }
    Ok(None)
}

// === impl Reply ===

impl Reply {
    /// The answer with this head; `rest` is what came behind it.
    pub fn read(head: Head, rest: &[u8], to_head: bool, ended: bool) -> Result<Self, String> {
        let bodiless = to_head || matches!(head.status(), 204 | 304);
        let framing = if bodiless { Framing::Length(0) } else { head.framing(Framing::Close)? };
        let content = match framing {
            // An answer that is as long as its connection is whole when that ends.
            Framing::Close if ended => Content { data: rest.to_vec(), length: Some(rest.len()) },
            framing => framing.read(rest)?,
        };
        let broken = ended && content.length.is_none();
        Ok(Self { head, content, broken })
    }

    /// The code of a problem; `None` where the answer is none of the sidecar's own. Fails where it is one that nobody can
    /// know.
    pub fn problem(&self) -> Option<String> {
        if self.head.field("content-type") != Some("application/problem+json") || self.head.field("x-answer").is_some()
        {
            return None;
        }
        let document: Value = serde_json::from_slice(&self.content.data).expect("a problem is JSON");
        let code = document["code"].as_str().expect("a code").to_owned();
        let status = self.head.status();
        let row = Code::ALL.iter().map(|code| code.problem("")).find(|row| row.code == code && row.status == status);
        assert!(row.is_some(), "no code of ours with this status: {document}");
        assert_eq!(document["status"], status);
        assert_eq!(document["type"], format!("urn:flexslot-proxy:problem:{code}"));
        assert!(
            ["detail", "title", "request_id", "action"].iter().all(|member| document[*member].is_string()),
            "{document}"
        );
        Some(code)
    }

    /// Whether it is an answer without anything, as those get who cannot be talked to.
    pub fn is_bare(&self) -> bool {
        matches!(self.head.status(), 400 | 408 | 414 | 431)
            && self.content.data.is_empty()
            && self.head.field("connection") == Some("close")
    }
}

/// Fails where a token or PAT is in what a caller has heard.
pub fn has_no_secret(heard: &[u8]) {
    if let Some(at) = find(heard, SECRET.as_bytes()) {
        let around = &heard[at.saturating_sub(300)..(at + 40).min(heard.len())];
        panic!("a credential in an answer: {}", around.escape_ascii());
    }
}
