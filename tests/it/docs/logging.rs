//! The log, as docs/logging.md specifies it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::reading::{files_below, read, rows, section};

/// A line that is not of the access log: its level, and the fields that it may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) level: String,
    pub(crate) fields: BTreeSet<String>,
}

/// What docs/logging.md says.
#[derive(Debug)]
pub(crate) struct Specified {
    /// The fields of the access log, with their types.
    access: BTreeMap<String, String>,
    /// The other lines, by how their messages begin.
    pub(crate) others: BTreeMap<String, Event>,
}

/// Messages that stand in a variable: `tracing::warn!(client_id, "{what}")`.
const FROM_VARIABLES: usize = 1;

/// Fields of every line.
const COMMON: [&str; 4] = ["timestamp", "level", "message", "target"];

// === impl Specified ===

impl Specified {
    pub(crate) fn read() -> Self {
        let document = read("docs/logging.md");
        let access = rows(section(&document, "## The access log"))
            .filter_map(|(name, rest)| Some((name.to_owned(), rest.split(" | ").nth(1)?.to_owned())))
            .collect();
        let others = rows(section(&document, "## Other lines")).filter_map(|(message, rest)| {
            let mut cells = rest.split(" | ").skip(1);
            let (level, fields) = (cells.next()?, cells.next()?);
            let fields = quoted(fields).map(str::to_owned).collect();
            ["INFO", "WARN", "ERROR"]
                .contains(&level)
                .then(|| (message.to_owned(), Event { level: level.to_owned(), fields }))
        });
        Self { access, others: others.collect() }
    }

    /// Holds a line that a process has written to the specification, and says of which kind it is.
    pub(crate) fn check(&self, line: &Value) -> Kind {
        let object = line.as_object().unwrap_or_else(|| panic!("no object: {line}"));
        let own = object.iter().filter(|(name, _)| !COMMON.contains(&name.as_str()));
        if line["target"] == "access" {
            for (name, value) in own {
                let kind = match value {
                    Value::String(_) => "string",
                    Value::Number(_) => "number",
                    Value::Bool(_) => "boolean",
                    _ => "neither",
                };
                assert_eq!(self.access.get(name).map(String::as_str), Some(kind), "{name} in {line}");
            }
            return Kind::Access;
        }
        if ["DEBUG", "TRACE"].iter().any(|level| line["level"] == *level) {
            return Kind::Unspecified;
        }
        let message = line["message"].as_str().unwrap_or_else(|| panic!("no message: {line}"));
        let event = self.others.iter().find(|(begins, _)| message.starts_with(begins.as_str()));
        let (_, event) = event.unwrap_or_else(|| panic!("not specified: {line}"));
        assert_eq!(line["level"], event.level, "{line}");
        for (name, _) in own {
            assert!(event.fields.contains(name), "{name} in {line}");
        }
        Kind::Other
    }
}

/// What kind of line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Other,
    /// Of a level that is for whoever looks for a fault of the program.
    Unspecified,
}

/// The words in code style.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What a macro is called with, parted at its commas. `text` begins behind the opening parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut is_text, mut is_escaped) = (0_u32, false, false);
    let mut parts = vec![String::new()];
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            _ if is_text => {}
            ')' if depth == 0 => break,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// The events of the levels INFO and up that a source emits, by their messages up to the first line end. Those with a
/// target of their own are left out.
fn events_of(source: &str) -> Vec<(String, Event)> {
    let calls = source.match_indices("tracing::").filter_map(|(at, path)| {
        let call = &source[at + path.len()..];
        ["info", "warn", "error"]
            .into_iter()
            .find_map(|level| Some((level, call.strip_prefix(level)?.strip_prefix("!(")?)))
    });
    calls
        .filter_map(|(level, call)| {
            let mut parts = arguments(call);
            let message = parts.pop()?;
            if parts.iter().any(|part| part.starts_with("target:")) {
                return None;
            }
            let message = message.trim_matches('"').split("\\n").next()?.to_owned();
            let name =
                |part: &String| part.split('=').next().unwrap_or_default().trim_matches(['%', '?', ' ']).to_owned();
            Some((message, Event { level: level.to_uppercase(), fields: parts.iter().map(name).collect() }))
        })
        .collect()
}

/// All sources without their tests.
fn sources() -> Vec<String> {
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    let files = files_below("src", ".rs").into_iter().filter(|path| !is_test(&path.to_string_lossy()));
    files.map(|path| read(path).split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_field_of_the_access_log_is_specified() {
    let source = read("src/server/access_log.rs");
    let event = source.split("target: \"access\",").nth(1).and_then(|rest| rest.split(");").next()).expect("the event");
    let is_field = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let fields: BTreeSet<&str> = event
        .lines()
        .map(|line| line.trim().split([' ', ',']).next().unwrap_or_default())
        .filter(|name| is_field(name))
        .collect();
    let specified = Specified::read();
    let documented: BTreeSet<&str> = specified.access.keys().map(String::as_str).collect();
    assert!(fields.contains("request_id") && fields.contains("cause"), "{fields:?}");
    assert_eq!(documented, fields);
}

#[test]
fn every_other_line_is_specified_with_its_level_and_its_fields_and_no_other() {
    let mut emitted: BTreeMap<String, Event> = BTreeMap::new();
    let sources = sources();
    for (message, event) in sources.iter().flat_map(|source| events_of(source)) {
        let known = emitted.entry(message).or_default();
        known.level.clone_from(&event.level);
        known.fields.extend(event.fields);
    }
    let from_variables = emitted.keys().filter(|message| message.starts_with('{')).count();
    assert_eq!(from_variables, FROM_VARIABLES, "{emitted:?}");
    emitted.retain(|message, _| !message.starts_with('{'));
    assert!(emitted.len() > 60, "{emitted:?}");
    let mut documented = Specified::read().others;
    // Those of a variable stand somewhere in the source, and nobody can tell where they go.
    documented.retain(|message, _| {
        emitted.contains_key(message) || !sources.iter().any(|source| source.contains(&format!("\"{message}\"")))
    });
    // Only what differs, of many.
    let differ = |these: &BTreeMap<String, Event>, those: &BTreeMap<String, Event>| -> BTreeMap<String, Event> {
        these.clone().into_iter().filter(|(message, event)| those.get(message) != Some(event)).collect()
    };
    assert_eq!(differ(&documented, &emitted), differ(&emitted, &documented));
}

#[test]
fn every_field_of_the_other_lines_is_explained_and_no_other() {
    let document = read("docs/logging.md");
    let explained: BTreeSet<String> = section(&document, "### Fields of other lines")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| quoted(line.split(" | ").next().unwrap_or_default()))
        .map(str::to_owned)
        .collect();
    let emitted: BTreeSet<String> = Specified::read().others.into_values().flat_map(|event| event.fields).collect();
    assert_eq!(explained, emitted);
}

#[test]
fn what_a_macro_is_called_with_is_parted_at_its_commas() {
    let call = "target: \"x\", a = f(1, [2, 3]), %b, ?c, \"said \\\"so\\\", (twice\") and more";
    assert_eq!(arguments(call), ["target: \"x\"", "a = f(1, [2, 3])", "%b", "?c", "\"said \\\"so\\\", (twice\""]);
}
