//! Commands as a user runs them, without a process.

mod carried;
mod clients;
mod connections;
mod tenants;

use std::{ffi::OsString, io, os::unix::fs::PermissionsExt, sync::Arc};

use clap::{CommandFactory, Parser};
use parking_lot::{Condvar, Mutex};

use super::{Cli, Console, Status, World, run};
use crate::{
    config::{Overrides, SystemEnvironment},
    model::{Random, SystemClock},
};

/// What a command has written so far.
#[derive(Clone, Default)]
struct Stream(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().extend_from_slice(bytes);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().clone()).unwrap()
    }
}

/// Standard output that nobody reads any more.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn with_streams(
    args: &[&str],
    input: impl io::BufRead + Send + 'static,
    out: impl io::Write + Send + 'static,
) -> (Status, String) {
    let err = Stream::default();
    let console = Console::new(input, out, err.clone());
    let mut world = World {
        console,
        environment: &SystemEnvironment,
        random: Random::from_fn(|bytes| bytes.fill(7)),
        clock: Arc::new(SystemClock),
    };
    let args = std::iter::once("flexslot-proxy").chain(args.iter().copied()).map(OsString::from);
    (run(args, &mut world), err.text())
}

/// Status, standard output, standard error.
fn command(args: &[&str]) -> (Status, String, String) {
    let out = Stream::default();
    let (status, err) = with_streams(args, io::empty(), out.clone());
    (status, out.text(), err)
}

#[test]
fn the_definition_of_the_commands_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_flags_that_override_the_file_reach_the_configuration() {
    let parsed = Cli::try_parse_from([
        "flexslot-proxy",
        "--listen",
        "127.0.0.1:1",
        "--store",
        "memory:",
        "--log-level",
        "debug",
    ])
    .unwrap();
    let overrides = Overrides::from(parsed.serve.overrides);
    assert_eq!(overrides.listen.as_deref(), Some("127.0.0.1:1"));
    assert_eq!((overrides.store.as_deref(), overrides.log_level.as_deref()), (Some("memory:"), Some("debug")));
}

#[test]
fn bad_usage_is_status_2_and_said_on_standard_error() {
    for args in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["key"],
        &["key", "generate", "surplus"],
        &["completions", "cobol"],
    ] {
        let (status, out, err) = command(args);
        assert_eq!((status, out.as_str()), (Status::Misused, ""), "{args:?}");
        assert!(err.contains("Usage") || err.starts_with("error: "), "{args:?}: {err}");
    }
}

#[test]
fn help_and_version_are_data() {
    for args in [&["--help"][..], &["-h"], &["--version"], &["help", "key", "generate"], &["key", "generate", "--help"]]
    {
        let (status, out, err) = command(args);
        assert_eq!((status, err.as_str()), (Status::Done, ""), "{args:?}");
        assert!(out.contains("flexslot-proxy") && !out.contains('\u{1b}'), "{out}");
    }
}

#[test]
fn a_new_key_is_one_line_of_32_bytes() {
    let (status, out, err) = command(&["key", "generate"]);
    assert_eq!((status, err.as_str()), (Status::Done, ""));
    assert_eq!(out, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n");
}

#[test]
fn a_key_file_is_private_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let args = ["key", "generate", "--out", path.to_str().unwrap()];
    let (status, out, err) = command(&args);
    assert_eq!((status, out.as_str()), (Status::Done, ""));
    assert!(err.contains("Back it up") && !err.contains("BwcH"), "{err}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, "mine").unwrap();
    let (status, _, err) = command(&args);
    assert_eq!(status, Status::Failed);
    assert!(err.starts_with("error: ") && err.contains("\nhint: "), "{err}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn a_key_is_not_rotated_where_there_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proxy.toml");
    std::fs::write(&path, "").unwrap();
    let config = ["--config", path.to_str().unwrap()];
    let (status, out, err) = command(&[&["key", "rotate"][..], &config].concat());
    assert_eq!((status, out.as_str()), (Status::Failed, ""));
    assert!(err.starts_with("error: there is no store yet\nhint: "), "{err}");
    let (status, _, err) = command(&[&["key", "rotate", "--store", "memory:"][..], &config].concat());
    assert_eq!(status, Status::Misused, "{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn check_says_where_no_store_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "[store]\nencryption_key = { file = \"key\" }\n").unwrap();
    let at = |place: &str| {
        let store = format!("sqlite:{}", dir.path().join(place).display());
        command(&["check", "--config", file.to_str().unwrap(), "--upstream", "http://127.0.0.1:1", "--store", &store])
    };
    let (status, out, _) = at("new/one.db");
    assert!(status == Status::Done && out.contains("does not exist yet; serve creates it"), "{out}");
    assert!(out.contains("http://127.0.0.1:1 is well-formed") && out.contains("nobody tried to connect"), "{out}");
    let (status, out, _) = at("file/one.db");
    assert_eq!(status, Status::Failed);
    assert!(
        out.contains("FAIL  store")
            && out.contains("file/one.db: cannot create the store: ")
            && out.contains("\nhint: "),
        "{out}"
    );
}

#[test]
fn completions_exist_for_common_shells() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (status, out, _) = command(&["completions", shell]);
        assert_eq!(status, Status::Done);
        assert!(out.contains("flexslot-proxy"), "{shell}");
    }
}

#[test]
fn the_manual_page_covers_every_command() {
    let (status, page, _) = command(&["man"]);
    assert_eq!(status, Status::Done);
    assert!(page.contains(".TH flexslot-proxy 1"), "{page}");
    for section in ["\"FLEXSLOT-PROXY KEY GENERATE\"", "\"FLEXSLOT-PROXY COMPLETIONS\"", "\"FLEXSLOT-PROXY MAN\""] {
        assert!(page.contains(&format!(".SH {section}")), "{section}\n{page}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    assert_eq!(with_streams(&["man"], io::empty(), Closed), (Status::Done, String::new()));
}

#[test]
fn a_credential_among_the_arguments_is_refused_and_not_repeated() {
    for args in [
        &["tenant", "set-pat", "acme", "flx_pat_canary"][..],
        &["tenant", "set-pat", "--pat=FLX_PAT_canary"],
        &["flx_cs_canary"],
    ] {
        let (status, out, err) = command(args);
        assert_eq!((status, out.as_str()), (Status::Misused, ""));
        assert!(err.starts_with("error: a credential does not belong") && !err.contains("canary"), "{err}");
    }
}

#[test]
fn a_faulty_file_is_status_2_with_all_its_faults() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proxy.toml");
    std::fs::write(&path, "[log]\nlevl = 1\n[server]\nlisten = 5\n").unwrap();
    let (status, out, err) = command(&["tenant", "list", "--config", path.to_str().unwrap()]);
    assert_eq!((status, out.as_str()), (Status::Misused, ""));
    let lines: Vec<_> = err.lines().collect();
    assert!(lines[0].contains("proxy.toml:2: log.levl: unknown key"), "{err}");
    assert_eq!(lines.last(), Some(&"2 problems; nothing was started"), "{err}");
}

#[test]
fn flags_of_serve_before_another_command_are_refused_and_not_dropped() {
    for args in [&["--listen", "127.0.0.1:1", "serve"][..], &["--store", "memory:", "check"]] {
        let (status, out, err) = command(args);
        assert_eq!((status, out.as_str()), (Status::Misused, ""), "{args:?}");
        assert!(err.contains("flags of serve stand before another command's name"), "{err}");
    }
}
