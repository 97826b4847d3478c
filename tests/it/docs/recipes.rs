//! What docs/apps.md shows of the programs in examples/apps.

use super::reading::{files_below, read, root};

/// The lines of a section's code blocks, whatever their language.
fn blocks(section: &str) -> impl Iterator<Item = &str> {
    section.split("\n```").skip(1).step_by(2).filter_map(|block| Some(block.split_once('\n')?.1))
}

#[test]
fn the_recipes_of_the_page_are_parts_of_their_programs_and_each_program_has_one() {
    let page = read("docs/apps.md");
    let mut shown = Vec::new();
    for section in page.split("\n## ") {
        // A section about a program begins with a link to it.
        let Some(path) = section.split("\n\n[examples/apps/").nth(1).and_then(|rest| rest.split(']').next()) else {
            continue;
        };
        let path = format!("examples/apps/{path}");
        let program = read(&path);
        for block in blocks(section) {
            assert!(program.contains(block), "not in {path}:\n{block}");
        }
        assert!(blocks(section).next().is_some(), "{path}: nothing is shown");
        shown.push(root().join(path));
    }
    let endings = [".py", ".mjs", ".go", ".java", ".php", ".rb", ".sh"];
    let programs = endings.iter().flat_map(|ending| files_below("examples/apps", ending));
    let mut programs: Vec<_> = programs.filter(|path| !path.to_string_lossy().contains("node_modules")).collect();
    programs.sort();
    shown.sort();
    assert_eq!(shown, programs);
}
