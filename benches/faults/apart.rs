//! Namespaces of our own: mounts that nobody else sees, and a network that is loopback alone.

use std::{env, os::unix::process::CommandExt, process::Command};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

use crate::failure::{Failure, Result, Trying};

/// Set for the program that runs there.
const APART: &str = "FLEXSLOT_FAULTS_APART";

/// Goes on in namespaces of our own: the program begins once more in them.
pub(crate) fn enter() -> Result<()> {
    if env::var_os(APART).is_some() {
        return run("ip", &["link", "set", "lo", "up"]);
    }
    let program = env::current_exe().trying(|| "this program".into())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--propagation", "private"]);
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let error = command.arg("--").arg(program).args(env::args_os().skip(1)).env(APART, "1").exec();
    Err(Failure::new(format!("unshare: {error}")).hint("apt-get install util-linux iproute2"))
}

/// Runs a command to its end, which has to be a good one.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().trying(|| format!("starting {program}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Failure::new(format!("{program} {}: {said}", arguments.join(" "))))
        }
    }
}

/// Lets this program, and what it starts, open as many files as the system allows.
pub(crate) fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    raised.trying(|| "the limit of open files".into())
}
