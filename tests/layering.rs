//! Keeps the import table true: which room may name which.
//!
//! Every path in `src/` that begins at the root of the crate (`crate::…`, a `super::…` that climbs that far,
//! `flexslot_proxy::…` in the binary) names a room, and the room in which it stands must have an arrow to it. Code that
//! is compiled only for tests may also reach what lies further down its arrows, because a test builds the rooms below
//! its own; never up, and never to a sibling.

#[path = "layering/reading.rs"]
mod reading;
#[path = "layering/self_test.rs"]
mod self_test;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use reading::{Code, Import, Source, read};

/// Every room with what it may name besides itself; `room::part` allows only that part.
///
/// `cli` speaks of tenants and secrets with `app`, so it knows their types; and its commands work on the store
/// directly, as `app` opens it.
const TABLE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["admin::client", "app", "config", "model", "sandbox", "store"]),
    (
        "app",
        &[
            "admin",
            "config",
            "connect_flow",
            "credential",
            "flexslot",
            "model",
            "proxy",
            "sandbox",
            "server",
            "store",
            "telemetry",
            "web",
        ],
    ),
    ("server", &["admin", "connect_flow", "model", "proxy"]),
    ("proxy", &["credential", "model"]),
    ("connect_flow", &["credential", "flexslot", "model", "web"]),
    ("admin", &["credential", "model", "web"]),
    ("credential", &["flexslot", "model", "store"]),
    ("config", &["model"]),
    ("flexslot", &["model"]),
    ("store", &["model"]),
    ("sandbox", &["model"]),
    ("telemetry", &["model"]),
    ("web", &["model"]),
    ("model", &[]),
    ("lib", &[]), // declares the rooms, and imports nothing from them
];

/// Every path that the table does not allow, as `src/file.rs:line: …`.
fn violations(sources: &[Source]) -> Vec<String> {
    let readings: Vec<_> = sources.iter().map(read).collect();
    let test_modules: Vec<_> = readings.iter().flat_map(|reading| &reading.test_modules).collect();
    let mut found = Vec::new();
    for (source, reading) in sources.iter().zip(&readings) {
        let room = source.room();
        if arrows(&room).is_none() {
            found.push(format!("src/{}: room `{room}` has no row in the table", source.path));
            continue;
        }
        let is_test = test_modules.iter().any(|module| source.module().starts_with(module));
        for Import { line, path, code } in &reading.imports {
            let code = if is_test { Code::Test } else { *code };
            if let Some(rule) = broken_rule(&room, path, code) {
                found.push(format!("src/{}:{line}: {rule}", source.path));
            }
        }
    }
    found.dedup(); // a group such as `store::{A, B}` breaks a rule once
    found
}

/// The rule that a path breaks where it stands in `room`.
fn broken_rule(room: &str, path: &[&str], code: Code) -> Option<String> {
    let named = *path.first()?;
    let row = arrows(room)?;
    let is_allowed = |arrow: &&str| match arrow.split_once("::") {
        Some((to, part)) => named == to && path.get(1) == Some(&part),
        None => named == *arrow,
    };
    let below = if code == Code::Test { everything_below(room) } else { BTreeSet::new() };
    if named == room || row.iter().any(is_allowed) || below.contains(named) {
        return None;
    }
    if arrows(named).is_none() {
        return Some(format!("`{named}` at the root of the crate is no room"));
    }
    let allowed = if row.is_empty() { "nothing".to_owned() } else { row.join(", ") };
    Some(format!("`{room}` may not name `{}`; it may name {allowed}", path.join("::")))
}

fn arrows(room: &str) -> Option<&'static [&'static str]> {
    TABLE.iter().find(|(name, _)| *name == room).map(|(_, arrows)| *arrows)
}

/// The rooms that can be reached along whole-room arrows.
fn everything_below(room: &str) -> BTreeSet<&'static str> {
    let mut below = BTreeSet::new();
    let mut next: Vec<_> = arrows(room).unwrap_or_default().to_vec();
    while let Some(room) = next.pop() {
        if !room.contains("::") && below.insert(room) {
            next.extend(arrows(room).unwrap_or_default());
        }
    }
    below
}

/// All of `src/`, in order.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = Vec::new();
    let mut dirs = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let below = |path: &Path| path.strip_prefix(&root).expect("found below src").display().to_string();
    files.iter().map(|path| Source::new(&below(path), &fs::read_to_string(path).expect("sources are text"))).collect()
}

#[test]
fn every_room_names_only_what_the_table_allows() {
    let sources = sources();
    assert!(sources.iter().any(|source| source.path == "lib.rs"), "the sources were found");
    let violations = violations(&sources);
    assert!(violations.is_empty(), "{} broken:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn only_app_and_cli_know_the_configuration() {
    let who: Vec<_> = TABLE.iter().filter(|(_, arrows)| arrows.contains(&"config")).map(|(room, _)| *room).collect();
    assert_eq!(who, ["cli", "app"]);
}

#[test]
fn arrows_of_the_table_point_down_only() {
    let rooms_with_loops = TABLE.iter().map(|(room, _)| *room).filter(|room| everything_below(room).contains(room));
    assert_eq!(rooms_with_loops.collect::<Vec<_>>(), Vec::<&str>::new());
}
