//! Keeps what the documentation says true where a program can tell.

mod commands;
mod configuration;
mod errors;
mod kubernetes;
pub(crate) mod logging;
mod observability;
mod openapi;
mod reading;
mod recipes;
mod systemd;
mod troubleshooting;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use flexslot_proxy::{
    admin::{connections::Tally, health::Readiness, metrics::Metrics},
    config::{Config, ConfigSource, Environment, Overrides, environment::FileRead},
    credential::coordinator::Health,
    model::{
        Observer,
        failpoint::Step,
        file_access::FileOwner,
        observe::{FallbackCause, RefreshOutcome, RequestTimes, RetryOutcome, SpansOutcome, StoreOutcome},
    },
};
use http::Method;

use reading::{code_blocks, documents, files_below, read, root, rows, section};

// === metrics, traces and the configuration ===

/// What happens in a process in which everything happens.
fn everything_counted() -> String {
    let metrics = Metrics::new().expect("metrics");
    metrics.refresh(RefreshOutcome::Refreshed);
    metrics.retry(RetryOutcome::Cured);
    metrics.unauthorized_after_refresh();
    metrics.pat_fallback(FallbackCause::Scope);
    metrics.request(&Method::GET, 200, None, RequestTimes::default());
    metrics.in_flight(1);
    metrics.connections(Tally::default());
    metrics.store("get", StoreOutcome::Ok, Duration::ZERO);
    metrics.spans(SpansOutcome::Sent, 1);
    String::from_utf8(metrics.text(Health {
        store_reachable: true,
        waiting: 0,
        at_risk: 0,
        travelled: false,
        forgetful: false,
    }))
    .expect("text")
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

/// A metric that the test above forgets to touch would be missing there, because a metric with labels begins to exist
/// with its first event.
#[test]
fn every_metric_of_the_source_is_documented() {
    let (source, operations) = (read("src/admin/metrics.rs"), read("docs/operations.md"));
    let names: BTreeSet<&str> = ["counter(", "counters(", "gauge(", "gauges(", "histogram(", "histograms(", "opts("]
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
fn every_word_of_a_trace_is_explained() {
    let (operations, mut words) = (read("docs/operations.md"), BTreeSet::new());
    for file in ["finding", "steps", "mod"] {
        let source = read(format!("src/model/trace/{file}.rs"));
        let arms = source
            .lines()
            .filter_map(|line| line.split_once("=> \"")?.1.split_once("\",").map(|(word, _)| word.to_owned()));
        words.extend(arms.filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }
    assert!(words.contains("taken") && words.contains("overflowed"), "{words:?}");
    let section = section(&operations, "## Why a request went as it did");
    let unexplained: Vec<_> = words.iter().filter(|word| !section.contains(&format!("`{word}`"))).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
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
        let is_array = ["tenants", "oauth.clients", "server.callers"].contains(&table.as_str());
        let heading = if is_array { format!("## `[[{table}]]`") } else { format!("## `[{table}]`") };
        documented.extend(rows(section(&described, &heading)).map(|(key, _)| (table.clone(), key.to_owned())));
    }
    assert_eq!(documented, keys);
}

/// A machine on which every variable is set and every file is there.
struct WellEquipped {
    file: String,
    /// The permission bits of the secrets' files, and whose they are.
    mode: u32,
    owner: FileOwner,
}

impl Environment for WellEquipped {
    fn variable(&self, name: &str) -> Option<OsString> {
        (!["FLEXSLOT_PROXY_", "OTEL_"].iter().any(|prefix| name.starts_with(prefix)))
            .then(|| "flx_pat_of_a_test".into())
    }

    fn current_dir(&self) -> io::Result<PathBuf> {
        Ok("/".into())
    }

    fn read(&self, path: &Path) -> io::Result<FileRead> {
        let text = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => self.file.clone(),
            Some("crt") => CERTIFICATE.0.clone(),
            Some("key") => CERTIFICATE.1.clone(),
            _ if path.ends_with("encryption-key") => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned(),
            _ if path.ends_with("store-url") => "redis://sidecar:of-a-test@flexslot-redis:6379/0".to_owned(),
            _ => "flx_pat_of_a_test".to_owned(),
        };
        Ok(FileRead { bytes: text.into_bytes().into(), mode: self.mode, owner: self.owner })
    }

    fn exists(&self, _: &Path) -> bool {
        true
    }
}

/// One that signs itself, and its key, in PEM.
static CERTIFICATE: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["sidecar.internal".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
});

#[test]
fn every_configuration_in_the_documents_is_valid() {
    let mut seen = 0;
    for document in documents() {
        for file in code_blocks(&read(&document), "toml") {
            let source = ConfigSource::File("/proxy.toml".into());
            let machine = WellEquipped { file: file.clone(), mode: 0o600, owner: FileOwner::ThisProcess };
            let loaded = Config::load(&source, &Overrides::default(), &machine);
            assert!(loaded.is_ok(), "{}:\n{file}\n{}", document.display(), loaded.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} files found");
}

#[test]
fn every_reason_of_readyz_is_explained_and_no_other() {
    let operations = read("docs/operations.md");
    let documented: Vec<&str> =
        rows(section(&operations, "### Reasons")).map(|(name, _)| name).filter(|name| !name.contains(' ')).collect();
    let readiness = Readiness::default();
    let report =
        readiness.report(Health { store_reachable: false, waiting: 1, at_risk: 1, travelled: true, forgetful: true });
    let report = serde_json::to_value(report).expect("a report");
    assert_eq!(serde_json::to_value(documented).expect("names"), report["reasons"]);
}

#[test]
fn every_step_at_which_a_process_may_die_is_described_in_its_order() {
    let lease = read("docs/lease.md");
    let described: Vec<&str> =
        rows(section(&lease, "## The steps at which a process may die")).map(|(name, _)| name).collect();
    let steps: Vec<&str> = Step::ALL.iter().map(|step| step.as_str()).collect();
    assert_eq!(described, steps);
}

// === the sandbox ===

/// The routes stand in the source as the segments that they match: `["gates", id] =>`.
#[test]
fn every_call_of_the_sandboxs_control_api_is_described() {
    let (source, described) = (read("src/sandbox/control/mod.rs"), read("docs/sandbox.md"));
    let described = section(&described, "## The control API");
    let routes: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('[')?.split_once("] => "))
        .map(|(segments, _)| segments)
        .filter(|segments| segments.starts_with('"'))
        .collect();
    assert!(routes.len() > 12, "{routes:?}");
    for route in routes {
        let literal: Vec<&str> =
            route.split(", ").map_while(|segment| segment.strip_prefix('"')?.strip_suffix('"')).collect();
        assert!(described.contains(&format!("/_sandbox/{}", literal.join("/"))), "{route}");
    }
}

#[test]
fn every_counter_of_the_sandbox_is_described() {
    let described = read("docs/sandbox.md");
    let documented: BTreeSet<&str> = rows(section(&described, "### Counters")).map(|(name, _)| name).collect();
    let counts = serde_json::to_value(flexslot_proxy::sandbox::Counts::default()).expect("counts");
    let counted: BTreeSet<&str> = counts.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(documented, counted);
}

// === the map and the links ===

#[test]
fn the_map_names_every_page() {
    let map = read("docs/README.md");
    for page in files_below("docs", ".md").iter().filter(|page| page.parent() == Some(&root().join("docs"))) {
        let name = page.file_name().expect("a name").to_string_lossy();
        assert!(name == "README.md" || map.contains(&format!("]({name})")), "{name}");
    }
}

/// The anchor that a heading gets: lower case, spaces as dashes, most punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

/// The anchors of a document's headings.
fn anchors(document: &str) -> Vec<String> {
    let text = without_code_blocks(document);
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

fn without_code_blocks(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

#[test]
fn relative_links_point_to_what_exists() {
    for document in documents() {
        let text = without_code_blocks(&read(&document));
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
                assert!(anchors(&read(&linked)).iter().any(|anchor| anchor == fragment), "{at}: no such heading");
            }
        }
    }
}

#[test]
fn every_picture_is_there_and_every_picture_is_shown() {
    let mut shown = BTreeSet::new();
    for document in documents() {
        let text = read(&document);
        for source in ["src=\"", "srcset=\""].iter().flat_map(|name| text.split(name).skip(1)) {
            let path = document.parent().expect("a directory").join(source.split('"').next().expect("an end"));
            assert!(path.exists(), "{}: {}", document.display(), path.display());
            shown.insert(path);
        }
    }
    let there: BTreeSet<PathBuf> = files_below("docs/images", ".png").into_iter().collect();
    assert!(there.len() > 20, "{there:?}");
    assert_eq!(there, shown);
    let texts: String = documents().iter().map(read).collect();
    for drawing in files_below("docs/images", ".svg") {
        let name = drawing.file_name().expect("a name").to_string_lossy();
        assert!(texts.contains(&format!("images/{name})")), "{name}");
    }
}

/// "`name` in [path](…)", as the tables of docs/architecture.md say where to look.
#[test]
fn functions_are_where_the_documents_say() {
    let mut seen = 0;
    for document in documents() {
        let text = read(&document);
        for (before, after) in text.split("` in [").zip(text.split("` in [").skip(1)) {
            let (name, path) = (before.rsplit('`').next().expect("a name"), after.split(']').next().expect("a path"));
            if path.ends_with(".rs") {
                assert!(read(path).contains(&format!("fn {name}(")), "{}: {name} in {path}", document.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 4, "{seen} found");
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
    let pages = [read("SECURITY.md"), read("docs/security.md")];
    let quoted = pages.iter().flat_map(|page| page.split('`').skip(1).step_by(2));
    // A path of a test, not an attribute or an address.
    let cited: Vec<&str> = quoted.filter(|text| text.contains("::") && !text.contains(['[', ' '])).collect();
    assert!(cited.len() > 230, "{}", cited.len());
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
