//! Every command that the documents show in a shell block, run. Each page has a script below commands/ that goes through
//! its blocks as a reader would, on a machine that is nobody else's: with network, processes, /etc, /run and more of
//! its own, so that the addresses and paths of the pages are free. What a page takes for granted besides (systemd, a
//! cluster, somebody with a browser) is played by the programs in commands/bin.

use std::{collections::BTreeSet, env, fs, path::Path};

use tempfile::TempDir;

use super::reading::{code_blocks, documents, read, root};
use crate::{
    servers::postgres::{Disk, OWNER, PostgresServer},
    support::{PATIENCE, process::Launch},
};

/// Where a page's script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    /// Namespaces of its own (unshare(1)), as their root; needs no right on most systems.
    Own,
    /// This one, for commands that take no port and no path of the system's.
    This,
}

/// A page, its blocks in files, and a directory for what they leave.
struct Page {
    path: &'static str,
    dir: TempDir,
}

/// Languages of code blocks that scripts may want.
const LANGUAGES: [&str; 5] = ["sh", "text", "toml", "python", "sql"];

/// The flags of unshare for a machine of one's own; it ends with its first process, and that with us.
const NAMESPACES: [&str; 7] = ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];

macro_rules! pages {
    ($($name:ident: $path:literal,)+) => {
        /// The pages with commands.
        const PAGES: &[&str] = &[$($path),+];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                Page::new($path).runs(stringify!($name), Machine::Own, &[]).await;
            }
        )+
    };
}

pages! {
    apps: "docs/apps.md",
    clients: "docs/clients.md",
    connections: "docs/connections.md",
    import: "docs/import.md",
    kubernetes: "docs/kubernetes.md",
    logging: "docs/logging.md",
    operations: "docs/operations.md",
    performance: "docs/performance.md",
    quick_start: "docs/quick-start.md",
    readme: "README.md",
    releasing: "docs/releasing.md",
    sandbox: "docs/sandbox.md",
    security: "docs/security.md",
    troubleshooting: "docs/troubleshooting.md",
}

/// Beside a database of users.
const EMBEDDING: &str = "docs/embedding.md";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedding() {
    let server = PostgresServer::start(Disk::Unsynced, "");
    let (database, (owner, password), port) = (server.database(), OWNER, server.port().to_string());
    let access = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGDATABASE", &database),
        ("PGUSER", owner),
        ("PGPASSWORD", password),
    ];
    Page::new(EMBEDDING).runs("embedding", Machine::This, &access).await;
}

#[test]
fn every_page_with_commands_is_run() {
    let with_commands = documents().into_iter().filter(|page| !code_blocks(&read(page), "sh").is_empty());
    let run: BTreeSet<_> = PAGES.iter().chain([&EMBEDDING]).map(|page| root().join(page)).collect();
    assert_eq!(with_commands.collect::<BTreeSet<_>>(), run);
}

/// What a drawing of a terminal says, a line each, without what is another each time: numbers, ids, dates, links.
fn said(drawing: &str) -> Vec<String> {
    let lines = drawing.lines().filter(|line| line.starts_with("<text "));
    let words = |line: &str| {
        let text: String = line.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text)).collect();
        let is_date = text.starts_with("date: ");
        let words = text.split_whitespace().take(if is_date { 1 } else { usize::MAX }).map(word);
        words.collect::<Vec<_>>().join(" ")
    };
    lines.map(words).collect()
}

fn word(word: &str) -> &str {
    match word.split_once("/connect/") {
        Some((before, _)) => before,
        None if word.contains(|c: char| c.is_ascii_digit()) && !word.starts_with("http") => "0",
        None => word,
    }
}

/// The drawing is made anew with `UPDATE_DOCS=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recorded_session_is_what_a_terminal_shows() {
    let page = Page::new("README.md");
    page.plays("session", Machine::Own, &[]).await;
    let recorded = fs::read_to_string(page.in_dir("work/session.svg")).expect("a drawing");
    assert!(recorded.len() < 60_000, "{} bytes", recorded.len());
    assert!(!recorded.contains("flx_"), "{recorded}");
    let drawing = root().join("docs/images/session.svg");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&drawing, &recorded).expect("written");
    }
    assert_eq!(said(&read(&drawing)), said(&recorded), "UPDATE_DOCS=1 draws it anew");
}

// === impl Page ===

impl Page {
    /// With each of its blocks in a file, such as `blocks/sh-1`.
    fn new(path: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("blocks")).expect("made");
        fs::create_dir(dir.path().join("work")).expect("made");
        let (page, text) = (Self { path, dir }, read(path));
        for language in LANGUAGES {
            for (at, block) in (1..).zip(code_blocks(&text, language)) {
                fs::write(page.in_dir(&format!("blocks/{language}-{at}")), block + "\n").expect("written");
            }
        }
        page
    }

    fn in_dir(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Runs the page's script, to its end, and sees that it has left out no block.
    async fn runs(&self, script: &str, machine: Machine, variables: &[(&str, &str)]) {
        self.plays(script, machine, variables).await;
        assert_eq!(self.accounted_for(), (1..=code_blocks(&read(self.path), "sh").len()).collect(), "{}", self.path);
    }

    async fn plays(&self, script: &str, machine: Machine, variables: &[(&str, &str)]) {
        let of_scripts = |name: &str| root().join("tests/it/docs/commands").join(name).display().to_string();
        let (script, machinery) = (of_scripts(&format!("{script}.sh")), of_scripts("machine.sh"));
        let bash = ["bash", "-eu", &machinery, &script];
        let unshare = [&["unshare"], &NAMESPACES[..], &bash].concat();
        let (own, command) = match machine {
            Machine::Own => ("yes", &unshare[..]),
            Machine::This => ("no", &bash[..]),
        };
        let work = self.in_dir("work");
        let launch = Launch::program(Path::new(&work), command[0], &command[1..])
            .with_path_and_home()
            .env("BLOCKS", &self.in_dir("blocks"))
            .env("CRATE", &root().display().to_string())
            .env("PROGRAM", env!("CARGO_BIN_EXE_flexslot-proxy"))
            .env("OWN", own);
        let launch = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let exit = launch.spawn_installed().exited_within(PATIENCE * 2).await;
        assert!(exit.status.success(), "{}: {}\n{}{}", self.path, exit.status, exit.stdout, exit.stderr);
    }

    /// The blocks that the script has run, or has said why not.
    fn accounted_for(&self) -> BTreeSet<usize> {
        let ledger = fs::read_to_string(self.in_dir("work/ledger")).expect("what was run");
        ledger.lines().map(|line| line.parse().expect("a number")).collect()
    }
}
