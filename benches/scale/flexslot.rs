//! A stand-in of Flexslot on a thread of its own: a resource that takes the newest token of each tenant and nothing else, and a
//! token endpoint.

use std::{io, net::Ipv4Addr, sync::Arc, thread};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Builder,
    time::sleep,
};

use crate::{
    failure::{Result, Trying},
    load::{self, Urgency},
    record::Record,
};

/// It runs as long as the program.
#[derive(Debug)]
pub(crate) struct Flexslot {
    pub(crate) port: u16,
    pub(crate) record: Arc<Record>,
}

/// Connections that wait to be accepted; the system may allow fewer. Beyond that, one that is being made stalls for seconds.
const QUEUE: u32 = 16 * 1024;

/// Bytes of a resource's body.
pub(crate) const BODY: usize = 1024;

// === impl Flexslot ===

impl Flexslot {
    pub(crate) fn start(record: Record) -> Result<Self> {
        let what = || "the stand-in of Flexslot".to_owned();
        let runtime = Builder::new_current_thread().enable_all().build().trying(what)?;
        let listener = {
            let _entered = runtime.enter();
            let socket = TcpSocket::new_v4().trying(what)?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).trying(what)?;
            socket.listen(QUEUE).trying(what)?
        };
        let port = listener.local_addr().trying(what)?.port();
        let record = Arc::new(record);
        let shared = Arc::clone(&record);
        let serve = move || {
            load::hurry(Urgency::Neighbour);
            // Nothing that this thread does can fail in a way that the load does not see.
            let _ = runtime.block_on(accept(listener, shared));
        };
        thread::Builder::new().name("flexslot".into()).spawn(serve).trying(what)?;
        Ok(Self { port, record })
    }
}

async fn accept(listener: TcpListener, record: Arc<Record>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(talk(stream, Arc::clone(&record)));
    }
}

/// Answers one request after the other until the other side goes.
async fn talk(mut stream: TcpStream, record: Arc<Record>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let resource = answer(200, &"x".repeat(BODY));
    let (mut came, mut used) = (Vec::with_capacity(4096), 0);
    loop {
        let Some(end) = came[used..].windows(4).position(|window| window == b"\r\n\r\n").map(|at| used + at + 4) else {
            came.drain(..used);
            used = 0;
            if stream.read_buf(&mut came).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&came[used..end]).into_owned();
        let length: usize = field(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while came.len() < end + length {
            if stream.read_buf(&mut came).await? == 0 {
                return Ok(());
            }
        }
        let body = came[end..end + length].to_vec();
        used = end + length;
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path.ends_with("/oauth/token") {
            let said = token(&record, &body);
            // Rotated at once, told later.
            sleep_unless_none(&record).await;
            stream.write_all(&said).await?;
        } else if path.contains("/oauth/") {
            // Whose grants are is asked now and then.
            stream.write_all(&answer(200, r#"{"active":true,"sub":"somebody"}"#)).await?;
        } else {
            let token = field(&head, "authorization").and_then(|value| value.strip_prefix("Bearer "));
            match record.admits(token.unwrap_or_default()) {
                true => stream.write_all(&resource).await?,
                false => stream.write_all(&answer(401, r#"{"code":"invalid_token"}"#)).await?,
            }
        }
    }
}

async fn sleep_unless_none(record: &Record) {
    let hold = record.hold();
    if !hold.is_zero() {
        sleep(hold).await;
    }
}

fn token(record: &Record, form: &[u8]) -> Vec<u8> {
    let token = form_urlencoded::parse(form).find(|(name, _)| name == "refresh_token");
    match record.refresh(&token.map(|(_, token)| token.into_owned()).unwrap_or_default()) {
        Some(pair) => answer(200, &pair),
        None => answer(400, r#"{"error":"invalid_grant"}"#),
    }
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
