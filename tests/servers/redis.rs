//! `redis-server`.

use std::sync::Mutex;

use redis::{Connection, FromRedisValue};

use super::{free_port, watched::Watched};

/// How often another port is tried when somebody else has taken the one that was free.
const TRIES: usize = 5;

/// A Redis server on a free port of this machine. It keeps nothing on disk unless told to.
pub(crate) struct RedisServer {
    watched: Watched,
    port: u16,
    flags: Vec<String>,
    admin: Mutex<Connection>,
}

// === impl RedisServer ===

impl RedisServer {
    /// Starts a server with `flags` besides the usual ones, such as `["--appendonly", "yes"]`.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut watched = Watched::new();
        let flags: Vec<_> = flags.iter().map(ToString::to_string).collect();
        for _ in 0..TRIES {
            let port = free_port();
            match run(&mut watched, port, &flags) {
                Ok(()) => {
                    let admin = Mutex::new(admin(&watched));
                    return Self { watched, port, flags, admin };
                }
                Err(said) => assert!(said.contains("Address already in use"), "redis-server does not start:\n{said}"),
            }
        }
        panic!("no free port");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where its database `number` is, for the user without a password.
    pub(crate) fn url(&self, number: u32) -> String {
        format!("redis://127.0.0.1:{}/{number}", self.port)
    }

    /// Sends a command, its words separated by single spaces, as somebody who may do everything.
    pub(crate) fn tell<T: FromRedisValue>(&self, command: &str) -> T {
        self.try_tell(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The same for one that may fail.
    pub(crate) fn try_tell<T: FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        self.tell_words(0, &command.split(' ').collect::<Vec<_>>())
    }

    /// Sends a command to the database `number`; its words may be anything.
    pub(crate) fn tell_words<T: FromRedisValue>(&self, number: u32, words: &[&str]) -> redis::RedisResult<T> {
        let mut admin = self.admin.lock().expect("nobody panicked over it");
        redis::cmd("SELECT").arg(number).exec(&mut admin)?;
        redis::cmd(words[0]).arg(&words[1..]).query(&mut admin)
    }

    /// Ends the server in good order; it writes what it keeps on disk.
    pub(crate) fn stop(&mut self) {
        self.watched.stop();
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill(&mut self) {
        self.watched.kill();
    }

    /// Starts a server that has ended again, on the same port and with what it kept on disk.
    pub(crate) fn start_again(&mut self) {
        run(&mut self.watched, self.port, &self.flags).expect("it starts as before");
        *self.admin.lock().expect("nobody panicked over it") = admin(&self.watched);
    }

    /// Halts the server: it keeps its connections and answers nothing.
    pub(crate) fn pause(&self) {
        self.watched.pause();
    }

    /// Lets a halted server go on.
    pub(crate) fn resume(&self) {
        self.watched.resume();
    }
}

fn run(watched: &mut Watched, port: u16, flags: &[String]) -> Result<(), String> {
    let (port, dir) = (port.to_string(), watched.dir().to_owned());
    let (dir, socket) = (dir.to_str().expect("a path in UTF-8"), dir.join("socket"));
    let socket = socket.to_str().expect("a path in UTF-8");
    let mut command = vec!["redis-server", "--port", &port, "--bind", "127.0.0.1", "--unixsocket", socket];
    command.extend(["--dir", dir, "--save", ""]);
    command.extend(flags.iter().map(String::as_str));
    watched.start(&command, "eady to accept connections")
}

/// Over the socket, which nobody else can have taken.
fn admin(watched: &Watched) -> Connection {
    let url = format!("redis+unix://{}", watched.dir().join("socket").display());
    redis::Client::open(url).and_then(|client| client.get_connection()).expect("a server that says it is ready")
}
