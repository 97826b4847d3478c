//! An upstream that says what it is told, byte for byte, and records what it is sent.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use super::{
    client::in_time,
    raw::{field, find, unchunk},
};

/// A listening upstream; it stops when it is dropped.
pub(crate) struct Upstream {
    pub(crate) origin: String,
    seen: Arc<Mutex<Vec<Received>>>,
    heads: watch::Receiver<Vec<String>>,
    task: JoinHandle<()>,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// Request line and fields, without the empty line.
    pub(crate) head: String,
    /// Without its coding.
    pub(crate) body: Vec<u8>,
    /// The body as it was coded.
    pub(crate) coded: Vec<u8>,
    /// Counts the connections from zero.
    pub(crate) connection: usize,
}

/// What is said to one request, once all of it was read.
#[derive(Clone)]
pub(crate) struct Script {
    /// Before the body of the request is read.
    early: Vec<Part>,
    parts: Vec<Part>,
}

type Writer = dyn Fn(&str, usize) -> Script + Send + Sync;

#[derive(Clone)]
pub(crate) enum Part {
    Bytes(Vec<u8>),
    /// Waits for a permit.
    Wait(Arc<Semaphore>),
    /// Gives a permit: all before it has been said.
    Tell(Arc<Semaphore>),
    /// The end of the connection.
    Close,
}

// === impl Upstream ===

impl Upstream {
    /// Answers each request as `script` says, which sees the request's head and the number of requests before it.
    pub(crate) async fn start(script: impl Fn(&str, usize) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Received>>>::default();
        let (arrivals, heads) = watch::channel(Vec::new());
        let shared = Arc::new(Shared { script: Box::new(script), seen: Arc::clone(&seen), heads: arrivals });
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.spawn(Arc::clone(&shared).talk(stream, number));
            }
        });
        Self { origin, seen, heads, task }
    }

    /// Says the same to everybody.
    pub(crate) async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let script = Script::say(answer);
        Self::start(move |_, _| script.clone()).await
    }

    /// 200 and an empty JSON object for everybody.
    pub(crate) async fn content() -> Self {
        Self::saying("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").await
    }

    /// What has come whole so far, in the order of arrival.
    pub(crate) fn seen(&self) -> Vec<Received> {
        self.seen.lock().clone()
    }

    /// Waits until `n` request heads have come.
    pub(crate) async fn arrived(&self, n: usize) {
        in_time("requests at the upstream", self.heads.clone().wait_for(|heads| heads.len() >= n)).await.unwrap();
    }

    /// The head of every request that has begun to come, whether or not its body came whole.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.borrow().clone()
    }

    /// The one request that has come.
    #[track_caller]
    pub(crate) fn only(&self) -> Received {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    script: Box<Writer>,
    seen: Arc<Mutex<Vec<Received>>>,
    heads: watch::Sender<Vec<String>>,
}

// === impl Shared ===

impl Shared {
    async fn talk(self: Arc<Self>, mut stream: TcpStream, connection: usize) {
        let mut read = Vec::new();
        while let Some(head) =
            read_until(&mut stream, &mut read, |bytes| find(bytes, b"\r\n\r\n").map(|end| end + 4)).await
        {
            let head = String::from_utf8_lossy(&head[..head.len() - 4]).into_owned();
            let number = self.heads.borrow().len();
            self.heads.send_modify(|heads| heads.push(head.clone()));
            let script = (self.script)(&head, number);
            if !say(&mut stream, script.early).await {
                return;
            }
            let coded = match (field(&head, "content-length"), field(&head, "transfer-encoding")) {
                (Some(length), None) => {
                    let length = length.parse::<usize>().expect("a length");
                    read_until(&mut stream, &mut read, |bytes| (bytes.len() >= length).then_some(length)).await
                }
                (None, Some(coding)) => {
                    assert_eq!(coding, "chunked");
                    read_until(&mut stream, &mut read, |bytes| unchunk(bytes).map(|(_, length)| length)).await
                }
                (None, None) => Some(Vec::new()),
                (Some(_), Some(_)) => panic!("ambiguous framing: {head}"),
            };
            let Some(coded) = coded else { return };
            let body = match field(&head, "transfer-encoding") {
                Some(_) => unchunk(&coded).expect("complete").0,
                None => coded.clone(),
            };
            self.seen.lock().push(Received { head, body, coded, connection });
            if !say(&mut stream, script.parts).await {
                return;
            }
        }
    }
}

/// Says all parts; false where the connection is to end.
async fn say(stream: &mut TcpStream, parts: Vec<Part>) -> bool {
    for part in parts {
        match part {
            Part::Bytes(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return false;
                }
            }
            Part::Wait(gate) => gate.acquire().await.expect("the gate stays").forget(),
            Part::Tell(gate) => gate.add_permits(1),
            Part::Close => return false,
        }
    }
    true
}

/// Reads until `complete` says how long the piece at the front is; `None` at the connection's end.
async fn read_until(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
    complete: impl Fn(&[u8]) -> Option<usize>,
) -> Option<Vec<u8>> {
    loop {
        if let Some(length) = complete(read) {
            return Some(read.drain(..length).collect());
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

// === impl Script ===

impl Script {
    /// This.
    pub(crate) fn say(answer: impl Into<Vec<u8>>) -> Self {
        Self::parts([Part::Bytes(answer.into())])
    }

    /// These parts, one after the other.
    pub(crate) fn parts(parts: impl IntoIterator<Item = Part>) -> Self {
        Self { early: Vec::new(), parts: parts.into_iter().collect() }
    }

    /// These parts, before the body of the request is read.
    pub(crate) fn early(parts: impl IntoIterator<Item = Part>) -> Self {
        Self { early: parts.into_iter().collect(), parts: Vec::new() }
    }
}

// === impl Received ===

impl Received {
    /// `GET /path HTTP/1.1`
    pub(crate) fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// The one value of a field; fails where it stands twice.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The names of all fields in lower case, in their order.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.to_ascii_lowercase()).collect()
    }
}
