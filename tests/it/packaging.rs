//! What is shipped: the container image, the Debian package, and how a release is made of them.

mod debian;
mod image;
mod release;

use std::path::Path;

use crate::support::process::{Exit, Launch};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program in a directory, to its end.
async fn run_in(dir: &Path, program: impl AsRef<Path>, args: &[&str]) -> Exit {
    Launch::program(dir, program.as_ref(), args).with_path_and_home().spawn_installed().exited().await
}

/// Runs one that has to succeed.
async fn run(program: impl AsRef<Path>, args: &[&str]) -> String {
    let exit = run_in(root(), program.as_ref(), args).await;
    assert!(exit.status.success(), "{} {args:?}:\n{}{}", program.as_ref().display(), exit.stdout, exit.stderr);
    exit.stdout
}
