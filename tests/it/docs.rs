//! Keeps what the documentation says true where a program can tell.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use flexslot_proxy::{
    admin::metrics::Metrics,
    credential::coordinator::Health,
    model::{
        Observer,
        observe::{FallbackCause, RefreshOutcome, RequestTimes, RetryOutcome, StoreOutcome},
    },
    proxy::error::Code,
};
use http::Method;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `dir` whose names end in `ending`, `dir` itself relative to the crate.
fn files_below(dir: &str, ending: &str) -> Vec<PathBuf> {
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

/// The part of a document below the heading that begins with `heading`, up to the next one of the same rank.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("no heading {heading}")) + 1;
    let rank = heading.split(' ').next().expect("a rank");
    let end = text[start..].find(&format!("\n{rank} ")).map_or(text.len(), |end| start + end);
    &text[start..end]
}

/// The first cells of a section's tables, which hold one name in code style, with the rest of their rows.
fn rows(section: &str) -> impl Iterator<Item = (&str, &str)> {
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
}

// === the error table ===

#[test]
fn every_error_code_stands_in_the_readme_with_its_status() {
    let readme = read("README.md");
    let table: Vec<_> = rows(section(&readme, "## Errors")).collect();
    for code in Code::ALL {
        let (name, status) = (code.as_str(), code.problem("").status.as_u16());
        let (_, rest) = table.iter().find(|(row, _)| *row == name).unwrap_or_else(|| panic!("{name} has no row"));
        assert!(rest.trim_start_matches([' ', '|']).starts_with(&status.to_string()), "{name} is {status}");
    }
    assert_eq!(table.len(), Code::ALL.len(), "a row for a code that does not exist, or one that stands twice");
}

// === metrics, the access log and the configuration ===

/// What happens in a process in which everything happens.
fn everything_counted() -> String {
    let metrics = Metrics::new().expect("metrics");
    metrics.refresh(RefreshOutcome::Refreshed);
    metrics.retry(RetryOutcome::Cured);
    metrics.unauthorized_after_refresh();
    metrics.pat_fallback(FallbackCause::Scope);
    metrics.request(&Method::GET, 200, None, RequestTimes::default());
    metrics.in_flight(1);
    metrics.store("get", StoreOutcome::Ok, Duration::ZERO);
    String::from_utf8(metrics.text(Health { store_reachable: true, waiting: 0, at_risk: 0 })).expect("text")
}

#[test]
fn every_metric_stands_in_the_operators_table_and_no_other() {
    let operations = read("docs/operations.md");
    let documented: BTreeSet<&str> = rows(section(&operations, "## Metrics"))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("flexslot_proxy_") && !name.contains(' '))
        .collect();
    let text = everything_counted();
    let counted: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(documented, counted);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, kind) in types {
        assert!(operations.contains(&format!("| `{name}` | {kind} |")), "{name} is a {kind}");
    }
}

/// A metric that the test above forgets to touch would be missing there, because a metric with labels begins to exist with its first event.
#[test]
fn every_metric_of_the_source_is_documented() {
    let (source, operations) = (read("src/admin/metrics.rs"), read("docs/operations.md"));
    let names: BTreeSet<&str> = ["counter(", "counters(", "gauge(", "histogram(", "histograms(", "opts("]
        .iter()
        .flat_map(|call| source.split(call).skip(1))
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(operations.contains(&format!("| `flexslot_proxy_{name}` |")), "{name}");
    }
}

#[test]
fn every_field_of_the_access_log_is_specified() {
    let (source, operations) = (read("src/server/access_log.rs"), read("docs/operations.md"));
    let event = source.split("target: \"access\",").nth(1).and_then(|rest| rest.split(");").next()).expect("the event");
    let is_field = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let fields: BTreeSet<&str> = event
        .lines()
        .map(|line| line.trim().split([' ', ',']).next().unwrap_or_default())
        .filter(|name| is_field(name))
        .collect();
    let documented: BTreeSet<&str> = rows(section(&operations, "## The access log")).map(|(name, _)| name).collect();
    let documented: BTreeSet<&str> = documented.into_iter().filter(|name| is_field(name)).collect();
    assert!(fields.contains("request_id") && fields.contains("cause"), "{fields:?}");
    assert_eq!(documented, fields);
}

#[test]
fn every_key_of_the_example_is_described_in_its_table_and_no_other() {
    let (example, described) = (read("proxy.toml.example"), read("docs/configuration.md"));
    let mut keys: BTreeSet<(String, String)> = BTreeSet::new();
    let mut table = String::new();
    for line in example.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').filter(|_| line.ends_with(']')) {
            table = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            keys.insert((table.clone(), key.to_owned()));
        }
    }
    let mut documented = BTreeSet::new();
    for table in keys.iter().map(|(table, _)| table).collect::<BTreeSet<_>>() {
        let heading = if table == "tenants" { "## `[[tenants]]`".to_owned() } else { format!("## `[{table}]`") };
        documented.extend(rows(section(&described, &heading)).map(|(key, _)| (table.clone(), key.to_owned())));
    }
    assert_eq!(documented, keys);
}

// === links ===

/// The anchor that a heading gets: lower case, spaces as dashes, most punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

fn without_code_blocks(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

#[test]
fn relative_links_point_to_what_exists() {
    let mut documents = files_below("docs", ".md");
    documents.extend(["README.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for document in documents.iter().filter(|document| document.exists()) {
        let text = without_code_blocks(&read(document));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let at = format!("{}: {target}", document.display());
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let linked =
                if path.is_empty() { document.clone() } else { document.parent().expect("a directory").join(path) };
            assert!(linked.exists(), "{at}: no such file");
            if !fragment.is_empty() {
                let headings = without_code_blocks(&read(&linked));
                let mut anchors = headings
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| anchor(line.trim_start_matches('#')));
                assert!(anchors.any(|anchor| anchor == fragment), "{at}: no such heading");
            }
        }
    }
}

// === the invariants ===

/// `src/proxy/path/tests.rs` is `proxy::path::tests`.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(root()).expect("below the crate").with_extension("");
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    let parts = match parts.split_first() {
        Some((first, rest)) if first == "src" => rest.to_vec(),
        _ => parts.iter().skip_while(|part| *part != "it").cloned().collect(),
    };
    parts.join("::").trim_end_matches("::mod").trim_end_matches("::tests").to_owned()
}

#[test]
fn every_test_that_guards_an_invariant_exists() {
    let security = read("SECURITY.md");
    let cited: Vec<&str> = security.split('`').skip(1).step_by(2).filter(|text| text.contains("::")).collect();
    assert!(cited.len() > 30, "{cited:?}");
    let mut sources = files_below("src", ".rs");
    sources.extend(files_below("tests", ".rs"));
    let sources: Vec<_> = sources.iter().map(|file| (module_of(file), read(file))).collect();
    for citation in cited {
        let (module, name) = citation.rsplit_once("::").expect("a path");
        let module = module.trim_end_matches("::tests");
        let function = format!("fn {name}(");
        let exists = sources.iter().any(|(path, text)| path == module && text.contains(&function));
        assert!(exists, "{citation} is no test");
    }
}
