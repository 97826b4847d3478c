//! When `scripts/release` refuses, and what a release consists of. That it makes all of it is tried by hand, with
//! `--dry-run`: docs/releasing.md.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{root, run, run_in};
use crate::support::process::Exit;

/// A repository with nothing but what the script looks at.
struct Repository(TempDir);

// === impl Repository ===

impl Repository {
    /// Of version 1.2.3, with everything in order.
    async fn of_a_release() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        fs::create_dir(repository.path().join("scripts")).unwrap();
        fs::copy(root().join("scripts/release"), repository.path().join("scripts/release")).unwrap();
        repository.write("Cargo.toml", "[package]\nname = \"flexslot-proxy\"\nversion = \"1.2.3\"\n");
        repository.write("Cargo.lock", "[[package]]\nname = \"flexslot-proxy\"\nversion = \"1.2.3\"\n");
        repository.write("CHANGELOG.md", "# Changelog\n\n## 1.2.3 (2026-11-20)\n\n- Something.\n");
        repository.git(&["init", "--quiet"]).await;
        repository.commit().await;
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    async fn git(&self, args: &[&str]) -> String {
        let as_somebody = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
        let exit = run_in(self.path(), "git", &[&as_somebody[..], args].concat()).await;
        assert!(exit.status.success(), "git {args:?}: {}", exit.stderr);
        exit.stdout.trim().to_owned()
    }

    async fn commit(&self) {
        self.git(&["add", "--all"]).await;
        self.git(&["commit", "--quiet", "--message", "test"]).await;
    }

    async fn release(&self, args: &[&str]) -> Exit {
        run_in(self.path(), self.path().join("scripts/release"), args).await
    }

    /// What is said where a release is refused; nothing may be made then.
    async fn refusal(&self, args: &[&str]) -> String {
        let exit = self.release(args).await;
        assert_eq!(exit.status.code(), Some(1), "{}{}", exit.stdout, exit.stderr);
        assert!(!self.path().join("target").exists());
        assert!(exit.stderr.contains("\n  hint: "), "{}", exit.stderr);
        exit.stderr
    }
}

#[tokio::test]
async fn a_release_can_be_made_of_what_is_committed_and_described() {
    let repository = Repository::of_a_release().await;
    let exit = repository.release(&["--check"]).await;
    assert!(exit.status.success() && exit.stderr.contains("1.2.3 can be released"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_release_is_refused_where_something_is_not_committed() {
    let repository = Repository::of_a_release().await;
    repository.write("stray", "");
    for mode in [&["--check"][..], &["--dry-run"], &[]] {
        let told = repository.refusal(mode).await;
        assert!(told.contains("not committed:\n?? stray"), "{told}");
    }
}

#[tokio::test]
async fn a_release_is_refused_where_version_lock_file_and_changelog_do_not_agree() {
    for (file, from, to, told) in [
        ("Cargo.toml", "1.2.3", "1.2.3-rc.1", "'1.2.3-rc.1' is no version of a release"),
        ("Cargo.toml", "1.2.3", "1.2.4", "Cargo.toml says 1.2.4, and Cargo.lock 1.2.3"),
        ("CHANGELOG.md", "1.2.3 (2026-11-20)", "1.2.3", "CHANGELOG.md begins with '1.2.3'"),
        ("CHANGELOG.md", "1.2.3 (2026-11-20)", "1.2.2 (2026-11-20)", "CHANGELOG.md begins with '1.2.2 (2026-11-20)'"),
        ("CHANGELOG.md", "1.2.3 (2026-11-20)", "Unreleased", "CHANGELOG.md begins with 'Unreleased'"),
    ] {
        let repository = Repository::of_a_release().await;
        let text = fs::read_to_string(repository.path().join(file)).unwrap();
        repository.write(file, &text.replace(from, to));
        repository.commit().await;
        let refusal = repository.refusal(&["--check"]).await;
        assert!(refusal.contains(told), "{refusal}");
    }
}

#[tokio::test]
async fn a_version_is_released_once() {
    let repository = Repository::of_a_release().await;
    repository.git(&["tag", "v1.2.3"]).await;
    let told = repository.refusal(&["--check"]).await;
    assert!(told.contains("v1.2.3 is there already"), "{told}");
}

#[tokio::test]
async fn ci_has_to_have_passed_for_the_very_commit() {
    let repository = Repository::of_a_release().await;
    let tested = repository.git(&["rev-parse", "HEAD"]).await;
    assert!(repository.release(&["--check", "--ci-passed", &tested]).await.status.success());
    repository.write("README.md", "One word more.\n");
    repository.commit().await;
    let told = repository.refusal(&["--ci-passed", &tested]).await;
    assert!(told.contains("is not what is checked out"), "{told}");
}

#[tokio::test]
async fn a_program_that_has_grown_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    let path = program.display().to_string();
    for (kind, most) in [("dynamic", 15_000_000), ("static", 16_000_000)] {
        let file = fs::File::create(&program).unwrap();
        file.set_len(most).unwrap();
        run("scripts/size", &[kind, &path]).await;
        file.set_len(most + 1).unwrap();
        let exit = run_in(root(), "scripts/size", &[kind, &path]).await;
        assert_eq!(exit.status.code(), Some(1), "{}", exit.stdout);
    }
}

#[tokio::test]
async fn the_files_of_a_release_are_those_of_the_table() {
    let page = fs::read_to_string(root().join("docs/releasing.md")).unwrap();
    let table = page.split("\n## The files").nth(1).expect("a section about the files");
    let described = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let described: Vec<_> = described.map(|name| name.replace("VERSION", env!("CARGO_PKG_VERSION"))).collect();
    let listed = run("scripts/release", &["--list"]).await;
    let as_on_x86 = listed.replace(std::env::consts::ARCH, "x86_64").replace("arm64", "amd64");
    assert_eq!(as_on_x86.lines().collect::<Vec<_>>(), described);
}
