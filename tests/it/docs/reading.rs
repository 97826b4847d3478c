//! Documents and sources, and the parts of them that can be compared.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::support::process::{Exit, Launch};

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `dir` whose names end in `ending`, `dir` itself relative to the crate.
pub(super) fn files_below(dir: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(dir)];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => pending.push(path),
                false if path.to_string_lossy().ends_with(ending) => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// The part of a document below the heading that begins with `heading`, up to the next one of the same rank or a higher
/// one.
pub(super) fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("no heading {heading}")) + 1;
    let rank = heading.split(' ').next().expect("a rank");
    let ends = (1..=rank.len()).filter_map(|rank| text[start..].find(&format!("\n{} ", "#".repeat(rank))));
    &text[start..ends.min().map_or(text.len(), |end| start + end)]
}

/// The first cells of a section's tables, which hold one name in code style, with the rest of their rows.
pub(super) fn rows(section: &str) -> impl Iterator<Item = (&str, &str)> {
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
}

/// The code blocks of a document in the given language, without the indentation that a list gives them.
pub(super) fn code_blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() != opening {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
        blocks.push(block.map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n"));
    }
    blocks
}

/// Every document for users, SECURITY.md and CHANGELOG.md among them.
pub(super) fn documents() -> Vec<PathBuf> {
    let mut documents = files_below("docs", ".md");
    documents.extend(["README.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)));
    documents
}

/// Runs a program in the crate's directory, to its end.
pub(super) async fn run(program: impl AsRef<Path>, args: &[&str]) -> Exit {
    Launch::program(root(), program.as_ref(), args).with_path_and_home().spawn_installed().exited().await
}
