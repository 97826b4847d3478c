//! The reference of docs/configuration.md. Which keys there are, in which order, what each takes, its default and whether
//! it waits for the next start are written out of the program:
//!
//! ```text
//! UPDATE_DOCS=1 scripts/test --test it -- docs::configuration
//! ```
//!
//! What the page says in words stays as it is; a new key comes with a gap for them, which no test lets pass.

use std::{collections::BTreeMap, env, fs};

use flexslot_proxy::{
    config::{Config, ConfigSource, Faults, Overrides},
    model::file_access::FileOwner,
};

use super::{
    WellEquipped,
    reading::{read, root},
};

const PAGE: &str = "docs/configuration.md";

/// Where words are wanted.
const GAP: &str = "…";

/// A row of a table: the key with what the program says of it, and the words behind.
struct Row {
    key: String,
    takes: String,
    default: String,
    words: Vec<String>,
}

/// The defaults that proxy.toml.example writes out, by `table.key`. A test beside the program holds them to it.
struct Defaults(BTreeMap<String, String>);

// === impl Row ===

impl Row {
    /// As the page has it: what the program does not say is taken from there.
    fn of(line: &str) -> (String, Vec<String>) {
        let inside = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or_else(|| panic!("{line}"));
        let cells: Vec<String> = inside.split(" |").map(|cell| cell.trim().to_owned()).collect();
        let key = cells[0].split('`').nth(1).unwrap_or_else(|| panic!("{line}")).to_owned();
        (key, cells[2..].to_vec())
    }

    fn line(&self) -> String {
        let Self { key, takes, default, words } = self;
        format!("| {key} | {takes} | {default} | {} |", words.join(" | ")).replace("|  |", "| |")
    }
}

// === impl Defaults ===

impl Defaults {
    fn read() -> Self {
        let (example, mut table, mut found) = (read("proxy.toml.example"), String::new(), BTreeMap::new());
        for line in example.lines() {
            if let Some(name) = line.trim_start_matches("# ").strip_prefix('[').filter(|_| line.ends_with(']')) {
                table = name.trim_matches(['[', ']']).to_owned();
            } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
                found.insert(format!("{table}.{key}"), value.to_owned());
            }
        }
        Self(found)
    }
}

/// What is wrong with a file.
fn faults(file: String) -> Faults {
    let source = ConfigSource::File("/proxy.toml".into());
    let machine = WellEquipped { file, mode: 0o600, owner: FileOwner::ThisProcess };
    Config::load(&source, &Overrides::default(), &machine).expect_err("a fault")
}

/// The keys of a table, as the program tells them to whoever writes another one. `header` is as in a file.
fn known(header: &str) -> Vec<String> {
    let faults = faults(format!("{header}\nzzzzzzzzzzzzzzzz = 1"));
    let hint = faults.iter().filter_map(|fault| fault.hint.as_deref()?.strip_prefix("known here: ")).next();
    hint.unwrap_or_else(|| panic!("{header}: {faults}")).split(", ").map(str::to_owned).collect()
}

/// What a key takes, as the program says it to whoever gives it a number with a fraction, which none takes.
fn takes(header: &str, key: &str) -> String {
    let faults = faults(format!("{header}\n{key} = 1.5"));
    let ending = format!(".{key}");
    let told = faults.iter().filter(|fault| fault.key.ends_with(&ending));
    let expected = told.filter_map(|fault| fault.what.strip_prefix("expected ")?.split(", found ").next()).next();
    let expected = expected.unwrap_or_else(|| panic!("{header} {key}: {faults}"));
    in_code_style(expected.trim_end_matches(" in quotes"))
}

/// Quoted words as code.
fn in_code_style(text: &str) -> String {
    let parts = text.split('"').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("`\"{part}\"`") } else { part.to_owned() }).collect()
}

/// The keys that a reload names in a warning, as `Config::changes_needing_restart` lists them.
fn waits_for_start(key: &str) -> bool {
    let source = read("src/config/reload.rs");
    source.contains(&format!("(\"{key}\", "))
}

/// The rows of a table, by the program's order of its keys.
fn rows(header: &str, written: &[&str], defaults: &Defaults) -> Vec<String> {
    let table = header.trim_matches(['[', ']']);
    let mut words: BTreeMap<String, Vec<String>> = written.iter().map(|line| Row::of(line)).collect();
    let columns = words.values().map(Vec::len).max().expect("a row to begin with");
    let row = |key: String| {
        let takes = takes(header, &key);
        // Those have sections of their own.
        if takes == "a table" || takes == "an array of tables" {
            return None;
        }
        let path = format!("{table}.{key}");
        let mut words = words.remove(&key).unwrap_or_else(|| vec![GAP.to_owned(); columns]);
        let said = words.remove(0);
        let default = defaults.0.get(&path).map_or(said, |value| format!("`{value}`"));
        let mark = if waits_for_start(&path) { " *start*" } else { "" };
        Some(Row { key: format!("`{key}`{mark}"), takes, default, words }.line())
    };
    known(header).into_iter().filter_map(row).collect()
}

/// The page with every table of keys written anew.
fn written_anew(page: &str) -> String {
    let defaults = Defaults::read();
    let (mut anew, mut header, mut lines) = (Vec::new(), String::new(), page.lines().peekable());
    while let Some(line) = lines.next() {
        anew.push(line.to_owned());
        if let Some(name) = line.strip_prefix("## ").map(|rest| rest.split('`').nth(1).unwrap_or_default()) {
            header = name.to_owned();
        }
        if !line.starts_with("| key | takes | default |") {
            continue;
        }
        anew.extend(lines.next().map(str::to_owned));
        let mut written = Vec::new();
        while let Some(row) = lines.next_if(|line| line.starts_with("| ")) {
            written.push(row);
        }
        anew.extend(rows(&header, &written, &defaults));
    }
    anew.join("\n") + "\n"
}

#[test]
fn the_reference_is_what_the_program_says() {
    let page = read(PAGE);
    let anew = written_anew(&page);
    assert_eq!(anew.matches("\n| key | takes | default |").count(), 12, "tables");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join(PAGE), &anew).expect("written");
    } else {
        let differs = page.lines().zip(anew.lines()).find(|(old, new)| old != new);
        assert_eq!(differs, None, "UPDATE_DOCS=1 writes it");
        assert_eq!(page, anew, "UPDATE_DOCS=1 writes it");
    }
    let gaps: Vec<_> = anew.lines().filter(|line| line.starts_with("| `") && line.ends_with("| … |")).collect();
    assert!(gaps.is_empty(), "words are missing: {gaps:?}");
}
