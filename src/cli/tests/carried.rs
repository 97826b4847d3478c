//! `connect --no-browser` with somebody at the terminal, who may be wrong and try again.

use std::{
    io::{BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::runtime::Runtime;
use url::Url;

use super::{Console, Status, Stream, SystemClock, SystemEnvironment, World, run};
use crate::{
    app,
    model::Random,
    sandbox::{Client, Running, Sandbox, Settings},
};

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What somebody types while the command runs.
struct Typed {
    lines: mpsc::Receiver<String>,
    rest: Vec<u8>,
}

/// A command with somebody in front of it.
struct AtTerminal {
    typing: mpsc::Sender<String>,
    out: Stream,
    err: Stream,
    command: thread::JoinHandle<Status>,
}

// === impl Typed ===

impl Read for Typed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.lines.recv().map(String::into_bytes).unwrap_or_default();
        }
        let taken = self.rest.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.rest[..taken]);
        self.rest.drain(..taken);
        Ok(taken)
    }
}

// === impl AtTerminal ===

impl AtTerminal {
    fn run(args: Vec<String>) -> Self {
        let ((typing, lines), (out, err)) = (mpsc::channel(), (Stream::default(), Stream::default()));
        let input = BufReader::new(Typed { lines, rest: Vec::new() });
        let console = Console::new(input, out.clone(), err.clone()).on_terminal();
        let command = thread::spawn(move || {
            let mut world = World {
                console,
                environment: &SystemEnvironment,
                random: Random::system(),
                clock: Arc::new(SystemClock),
            };
            run(args.into_iter().map(Into::into), &mut world)
        });
        Self { typing, out, err, command }
    }

    fn types(&self, line: impl std::fmt::Display) {
        self.typing.send(format!("{line}\n")).unwrap();
    }

    fn ends(self) -> (Status, String) {
        (self.command.join().unwrap(), self.err.text())
    }
}

// === impl Stream ===

impl Stream {
    /// Waits until what is written is as it should be.
    fn until(&self, holds: impl Fn(&str) -> bool) -> String {
        let (text, written) = &*self.0;
        let mut text = text.lock();
        while !holds(std::str::from_utf8(&text).unwrap()) {
            let late = written.wait_for(&mut text, PATIENCE).timed_out();
            assert!(!late, "{}", String::from_utf8_lossy(&text));
        }
        String::from_utf8(text.clone()).unwrap()
    }

    fn line(&self, n: usize) -> String {
        self.until(|text| text.matches('\n').count() >= n).lines().nth(n - 1).unwrap().to_owned()
    }
}

/// A sandbox whose users consent at once, and a file that names it.
fn flexslot(runtime: &Runtime) -> (Running, tempfile::TempDir) {
    let _entered = runtime.enter();
    let sandbox = Sandbox::new(Settings::default(), Arc::new(SystemClock), Random::system());
    sandbox.add_user("george");
    sandbox.add_client(Client::public("flx_client_1").redirect_uri("http://127.0.0.1:3540/oauth/callback"));
    let running = sandbox.spawn(app::bind_tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config =
        format!("[oauth]\nclient_id = \"flx_client_1\"\n[upstream]\nurl = {:?}\nproxy = \"off\"\n", running.origin());
    std::fs::write(dir.path().join("proxy.toml"), config).unwrap();
    (running, dir)
}

/// The address that a browser ends on.
fn walked(from: &str) -> Url {
    let from: Url = from.parse().unwrap();
    let mut stream = TcpStream::connect(from.socket_addrs(|| None).unwrap()[0]).unwrap();
    let target = &from[url::Position::BeforePath..];
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", from.authority()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let field =
        answer.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("location")));
    field.unwrap_or_else(|| panic!("no redirect: {answer}")).1.parse().unwrap()
}

/// The same address with another value of one parameter.
fn with(address: &Url, name: &str, value: &str) -> Url {
    let mut changed = address.clone();
    let others = address.query_pairs().filter(|(found, _)| found != name);
    changed.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    changed
}

#[test]
fn somebody_at_the_terminal_can_try_again() {
    let runtime = Runtime::new().unwrap();
    let (_running, dir) = flexslot(&runtime);
    let config = dir.path().join("proxy.toml").display().to_string();
    let args = ["flexslot-proxy", "connect", "acme", "--no-browser", "--config", &config];
    let terminal = AtTerminal::run(args.map(str::to_owned).into());
    let address = walked(&terminal.out.line(1));

    // Nothing is used up by what is no answer to this flow.
    terminal.types("");
    terminal.err.until(|told| told.contains("error: nothing was pasted"));
    terminal.types(terminal.out.line(1));
    terminal.err.until(|told| told.contains("error: that is the address where it begins"));
    terminal.types(with(&address, "state", "another"));
    terminal.err.until(|told| told.contains("its state= is another, or missing"));

    // This ends the flow, and another one begins.
    terminal.types(with(&address, "iss", "https://flexslot.example"));
    terminal.err.until(|told| told.contains("This answer is not from Flexslot"));
    let again = walked(&terminal.out.line(2));
    terminal.types(&again);
    let (code, next) = (&address, &again);
    let codes = [code, next].map(|url| url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned());
    let (status, told) = terminal.ends();
    assert_eq!(status, Status::Done, "{told}");
    assert!(
        told.ends_with("Connected acme to Flexslot as @george.\nPermissions: Read your decks; Look up cards\n"),
        "{told}"
    );
    assert!(codes.iter().all(|code| !told.contains(code)), "{told}");
}
