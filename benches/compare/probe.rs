//! Single requests: does a contender answer, and does it do its work?

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    failure::{Failure, Result, Trying},
    work::{STUDIO, Work},
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Headers of the upstream that stay between it and the proxy.
const TAKEN_OFF: [&str; 2] = ["set-cookie:", "strict-transport-security:"];

/// Headers that the proxy adds.
const ADDED: [&str; 2] = ["flexslot-proxy-request-id:", "flexslot-proxy-credential: pat"];

/// Whether a request is answered 200.
pub(crate) fn answers(port: u16, work: Work, authorized: bool) -> bool {
    ask(port, &work.head(authorized)).is_ok_and(|head| head.starts_with("http/1.1 200"))
}

/// Looks whether the credential is the tenant's, a stranger gets none, and headers are taken off and added.
///
/// That the credential is attached needs no test: the upstream answers 401 without it, and whoever counts answers takes
/// no other than 200.
pub(crate) fn prove(port: u16) -> Result<()> {
    let request = Work::Get.head(false);
    let answer = ask(port, &request).trying(|| "no answer".into())?;
    if let Some(header) = TAKEN_OFF.into_iter().find(|header| answer.contains(header)) {
        return Err(Failure::new(format!("it lets {header} through:\n{answer}")));
    }
    if let Some(header) = ADDED.into_iter().find(|header| !answer.contains(header)) {
        return Err(Failure::new(format!("it does not add {header}:\n{answer}")));
    }
    let stranger = ask(port, &request.replace(STUDIO.name, "stranger")).trying(|| "no answer".into())?;
    match stranger.starts_with("http/1.1 401") {
        true => Ok(()),
        false => Err(Failure::new(format!("an unknown tenant is answered:\n{stranger}"))),
    }
}

/// The head of the answer to a request without a body, in lower case, on a connection of its own.
fn ask(port: u16, request: &str) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    Ok(answer.split("\r\n\r\n").next().unwrap_or_default().to_owned())
}
