//! `man`: one page for the program and all its commands.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Console, Failure};

pub(super) fn run(console: &mut Console) -> Result<(), Failure> {
    let page = page(Cli::command()).map_err(|error| Failure::new(format!("the page cannot be made: {error}")))?;
    console.data(&page)
}

/// The page in roff: the program as clap_mangen draws it, then a section for each command.
fn page(mut root: Command) -> io::Result<Vec<u8>> {
    root.build();
    let mut page = Vec::new();
    let man = Man::new(root.clone()).manual("Flexslot proxy");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    sections(&root, &mut page)?;
    if root.get_after_long_help().is_some() || root.get_after_help().is_some() {
        man.render_extra_section(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A section for each command that does something, in the order of the help.
fn sections(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        if inner.has_subcommands() {
            sections(inner, page)?;
            continue;
        }
        let name = inner.get_bin_name().unwrap_or_else(|| inner.get_name()).to_owned();
        let man = Man::new(inner.clone().disable_help_flag(true));
        let mut parts = Vec::new();
        man.render_synopsis_section(&mut parts)?;
        man.render_description_section(&mut parts)?;
        if inner.get_arguments().any(|argument| argument.get_id() != "help") {
            man.render_options_section(&mut parts)?;
        }
        page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
        page.extend_from_slice(String::from_utf8_lossy(&parts).replace(".SH ", ".SS ").as_bytes());
    }
    Ok(())
}
