//! docs/troubleshooting.md: that it speaks of every code, and that what it quotes is what the program says.

use flexslot_proxy::proxy::error::Code;

use super::reading::{files_below, read, section};

#[test]
fn there_is_a_way_from_every_code() {
    let page = read("docs/troubleshooting.md");
    let table = section(&page, "## A code");
    for code in Code::ALL {
        let name = code.as_str();
        assert_eq!(table.matches(&format!("[`{name}`](errors.md#{name})")).count(), 1, "{name}");
    }
}

#[test]
fn what_is_quoted_of_the_program_is_what_it_says() {
    let page = read("docs/troubleshooting.md");
    let source: String = files_below("src", ".rs").iter().map(read).collect();
    let mut seen = 0;
    for heading in ["## It does not start", "## A command fails"] {
        for row in section(&page, heading).lines().filter(|line| line.starts_with("| ")) {
            let said = row.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2);
            // Commands and codes have no space in them.
            for words in said.filter(|words| words.contains(' ') && !words.starts_with("tenant ")) {
                assert!(source.contains(words), "nobody says: {words}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}
