//! The error codes, their table and their examples.

use flexslot_proxy::{admin, proxy::error::Code};
use serde_json::Value;

use super::reading::{code_blocks, files_below, read, section};

#[test]
fn every_error_code_stands_in_the_table_with_its_status_and_action() {
    let errors = read("docs/errors.md");
    let table: Vec<&str> = section(&errors, "## The codes").lines().filter(|line| line.starts_with("| [`")).collect();
    let expected: Vec<_> = Code::ALL
        .iter()
        .map(|code| {
            let (name, problem) = (code.as_str(), code.problem(""));
            format!("| [`{name}`](#{name}) | {} | `{}` |", problem.status.as_u16(), problem.action.as_str())
        })
        .collect();
    assert_eq!(table, expected);
}

#[test]
fn every_code_of_the_admin_listener_stands_in_its_table_and_below() {
    let errors = read("docs/errors.md");
    let section = section(&errors, "## The admin listener's codes");
    let table: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let row = |code: &admin::Code| {
        let problem = code.problem("");
        format!("| `{}` | {} | `{}` |", code.as_str(), problem.status.as_u16(), problem.action.as_str())
    };
    assert_eq!(table, admin::Code::ALL.iter().map(row).collect::<Vec<_>>());
    for code in admin::Code::ALL {
        let told = section.contains(&format!("\n- `{}`: ", code.as_str()));
        assert!(told || matches!(code, admin::Code::NotFound | admin::Code::MethodNotAllowed), "{}", code.as_str());
    }
}

#[test]
fn every_error_code_has_an_example_as_the_program_writes_it() {
    let errors = read("docs/errors.md");
    let source: String = files_below("src", ".rs").iter().map(read).collect();
    for code in Code::ALL {
        let (name, problem) = (code.as_str(), code.problem(""));
        let section = section(&errors, &format!("### `{name}`\n"));
        assert!(section.contains("**What to do.**"), "{name}");
        let [example] = &code_blocks(section, "json")[..] else { panic!("{name} has no example, or several") };
        let example: Value = serde_json::from_str(example).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(example["code"], name);
        assert_eq!(example["type"], format!("urn:flexslot-proxy:problem:{name}"));
        assert_eq!(example["title"], problem.title, "{name}");
        assert_eq!(example["status"], problem.status.as_u16(), "{name}");
        assert_eq!(example["action"], problem.action.as_str(), "{name}");
        // The middle may be filled in, and the source breaks its lines there.
        let detail: Vec<char> = example["detail"].as_str().expect("a detail").chars().collect();
        let [begins, ends] = [&detail[..24], &detail[detail.len() - 24..]].map(String::from_iter);
        assert!(
            source.contains(&begins) || source.contains(&ends),
            "{name}: the source says neither {begins} nor {ends}"
        );
    }
}

#[test]
fn the_readme_lists_every_error_code_by_its_status() {
    let readme = read("README.md");
    let list: String =
        section(&readme, "## Errors").lines().filter_map(|line| line.strip_prefix("- ")).collect::<Vec<_>>().join("; ");
    let mut listed: Vec<(u16, &str)> = Vec::new();
    for group in list.split("; ") {
        let (status, codes) = group.split_once(": ").expect("a status and its codes");
        let status = status.parse().unwrap_or_else(|_| panic!("{group}"));
        listed.extend(codes.split(", ").map(|code| (status, code.trim_matches('`'))));
    }
    listed.sort_unstable();
    let mut expected: Vec<_> = Code::ALL.iter().map(|code| (code.problem("").status.as_u16(), code.as_str())).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}
