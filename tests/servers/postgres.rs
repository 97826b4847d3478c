//! A PostgreSQL server: `initdb`, `pg_ctl` and `psql` of the newest version that the machine has.
//!
//! Roles: `postgres` (through the socket, without a password) and [`OWNER`], who owns the databases that tests get.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::free_port;

/// The role that owns the tests' databases, and its password.
pub(crate) const OWNER: (&str, &str) = ("owner", "owner-password-canary");

/// Whether the server waits for the disk. What a test says of durability, it must say of a server that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Synced,
    /// `fsync = off`: what is written is lost with the machine, and not with the server's process.
    Unsynced,
}

/// A running server; it ends with this value, or with the process however that ends.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    port: u16,
    bin: PathBuf,
    /// Ends the server first, so it is dropped first.
    keeper: Keeper,
    dir: tempfile::TempDir,
}

/// A shell that runs the server's programs for us, and waits for the end of its standard input, which is a pipe of
/// ours: it comes when this value is dropped, and when this process dies of whatever. Then the shell stops the server.
/// That it runs them itself is why none is overlooked that is starting just then.
#[derive(Debug)]
struct Keeper {
    shell: Child,
    /// Where a program and its arguments are written, and the status of its end is read.
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

/// `$1` is the server's directory, `$2` that of its programs, the rest runs a program as the server's user. A server
/// that was paused must be able to hear.
const WATCH: &str = r#"
    dir=$1 bin=$2; shift 2
    trap '' PIPE # nobody may be there to hear the answer
    cd "$dir"
    while read -r program arguments; do
        "$@" "$bin$program" $arguments </dev/null >output 2>&1
        echo $?
    done
    pid=$(head -n 1 data/postmaster.pid 2>/dev/null) && kill -CONT "$pid"
    "$@" "${bin}pg_ctl" --pgdata=data --mode=immediate --silent stop
    cd /
    rm -rf "$dir"
"#;

const INITDB: [&str; 8] = [
    "--no-sync",
    "--pgdata=data",
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    // So that a name without COLLATE "C" is found to sort by another order than that of its bytes.
    "--locale-provider=icu",
    "--icu-locale=en-US",
];

const CONFIGURATION: &str = "
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 16MB
log_line_prefix = '%m %a '
";

const ACCESS: &str = "
local all all trust
host all all 127.0.0.1/32 scram-sha-256
";

// === impl PostgresServer ===

impl PostgresServer {
    /// The one of this process, for whoever does not stop it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Disk::Unsynced, ""))
    }

    /// A server of the caller's own, with `settings` at the end of its `postgresql.conf`; `{dir}` in them is its
    /// directory.
    pub(crate) fn start(disk: Disk, settings: &str) -> Self {
        Self::start_with(disk, settings, &[])
    }

    /// The same, with these files in its directory, readable for the server alone.
    pub(crate) fn start_with(disk: Disk, settings: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("postgres-").tempdir().expect("a directory");
        let bin = programs();
        give_away(dir.path());
        let keeper = Keeper::start(dir.path(), &bin);
        keeper.run(dir.path(), "initdb", &INITDB);
        for (name, text) in files {
            write_private(&dir.path().join(name), text);
        }
        let port = free_port();
        let data = dir.path().join("data");
        let mut file = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).expect("made by initdb");
        let fsync = if disk == Disk::Synced { "on" } else { "off" };
        let place = dir.path().display().to_string();
        let settings = settings.replace("{dir}", &place);
        write!(
            file,
            "{CONFIGURATION}port = {port}\nunix_socket_directories = '{place}'\nfsync = {fsync}\n{settings}\n"
        )
        .expect("written");
        fs::write(data.join("pg_hba.conf"), ACCESS).expect("written");
        let server = Self { port, keeper, bin, dir };
        server.start_again();
        let (owner, password) = OWNER;
        server.sql("postgres", &format!("CREATE ROLE {owner} LOGIN PASSWORD '{password}'"));
        server
    }

    /// A new database that belongs to [`OWNER`].
    pub(crate) fn database(&self) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", MADE.fetch_add(1, Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {}", OWNER.0));
        name
    }

    /// `postgres://…`, by TCP, for [`OWNER`].
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_for(OWNER, database)
    }

    pub(crate) fn url_for(&self, (role, password): (&str, &str), database: &str) -> String {
        format!("postgres://{role}:{password}@localhost:{}/{database}", self.port)
    }

    /// The directory of its socket.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL as superuser, and answers what it prints: values only, a line for each row.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let user = as_server_user();
        let mut psql = Command::new(user[0]);
        psql.args(&user[1..]).arg(self.bin.join("psql")).current_dir(self.dir.path());
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.arg("--host").arg(self.dir.path()).arg(format!("--port={}", self.port));
        psql.args(["--username=postgres", "--dbname", database, "--command", sql]);
        clean(&mut psql);
        let output = psql.output().expect("psql is there");
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Stops it in good order, with its connections cut; it may be started again.
    pub(crate) fn stop(&self) {
        self.pg_ctl(&["--mode=fast", "stop"]);
    }

    /// Kills it as a power cut of its own would.
    pub(crate) fn crash(&self) {
        self.pg_ctl(&["--mode=immediate", "stop"]);
    }

    /// Starts it where it was.
    pub(crate) fn start_again(&self) {
        self.pg_ctl(&["--log=log", "--timeout=60", "start"]);
    }

    /// Stops every process of it where it is. [`PostgresServer::resume`] lets them go on.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// To the one that starts the others, and then to the others.
    fn signal(&self, signal: Signal) {
        let file = fs::read_to_string(self.dir.path().join("data/postmaster.pid")).expect("it runs");
        let pid = file.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
        for child in children_of(pid) {
            // One may have ended meanwhile.
            let _ = kill_process(child, signal);
        }
    }

    fn pg_ctl(&self, args: &[&str]) {
        let args: Vec<_> = ["--pgdata=data", "--silent"].iter().chain(args).copied().collect();
        self.keeper.run(self.dir.path(), "pg_ctl", &args);
    }
}

// === impl Keeper ===

impl Keeper {
    fn start(dir: &Path, bin: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCH, "sh"]).arg(dir).arg(bin.join("")).args(as_server_user());
        // A group of its own: Ctrl-C at the terminal is for us, and our end is what it waits for.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        clean(&mut shell);
        let mut shell = shell.spawn().expect("sh is there");
        let pipes = shell.stdin.take().zip(shell.stdout.take().map(BufReader::new));
        Self { shell, pipes: Mutex::new(pipes) }
    }

    /// Runs a program to its end; no argument may have a space in it.
    fn run(&self, dir: &Path, program: &str, args: &[&str]) {
        let mut pipes = self.pipes.lock();
        let (commands, answers) = pipes.as_mut().expect("there until it is dropped");
        let mut status = String::new();
        writeln!(commands, "{program} {}", args.join(" ")).expect("the shell runs");
        answers.read_line(&mut status).expect("the shell runs");
        if status.trim() != "0" {
            let said = fs::read_to_string(dir.join("output")).unwrap_or_default();
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            panic!("{program} {args:?}: {}; scripts/test installs PostgreSQL\n{said}\n{log}", status.trim());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.pipes.get_mut().take());
        let _ = self.shell.wait();
    }
}

// === the machine ===

/// Debian keeps the programs of each version in a directory of its own, and others in the path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.max_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
    newest.map(|entry| entry.path().join("bin")).unwrap_or_default()
}

/// The server refuses to run as root. Then it runs as the user that Debian's package makes.
fn as_server_user() -> &'static [&'static str] {
    match rustix::process::geteuid().is_root() {
        true => &["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"],
        false => &["env"],
    }
}

/// Nothing of the caller's `PG…` variables, and messages in English.
fn clean(command: &mut Command) {
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/opt/homebrew/bin");
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    give_away(path);
}

/// To the user that the server runs as.
fn give_away(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let owner = fs::read_to_string("/etc/passwd").expect("read");
        let line = owner.lines().find(|line| line.starts_with("postgres:")).expect("the package makes the user");
        let uid = line.split(':').nth(2).and_then(|id| id.parse().ok());
        chown(path, uid, None).expect("given away");
    }
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |id: &i32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name in parentheses: the state, the parent.
        let after = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        after.and_then(|ppid| ppid.parse().ok()) == Some(parent.as_raw_nonzero().get())
    };
    ids.filter(is_child).filter_map(Pid::from_raw).collect()
}
