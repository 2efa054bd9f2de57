//! Implements `dbt-api completions` and `dbt-api man`.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Arguments;
use crate::output::text;

pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    if shell == Shell::Bash {
        script = with_same_names(&String::from_utf8(script)?).into_bytes();
    }
    text(&script)
}

/// Mends the script for bash, which calls a command with a hyphen by two names, and so completes only the first word (clap_complete 4.6,
/// clap-rs/clap#6421).
fn with_same_names(script: &str) -> String {
    let hyphenated = |command: &clap::Command| command.get_name().contains('-').then(|| command.get_name().to_owned());
    let command = Arguments::command();
    let mut names: Vec<String> = hyphenated(&command).into_iter().collect();
    for command in command.get_subcommands() {
        names.extend(hyphenated(command));
        names.extend(command.get_subcommands().filter_map(hyphenated));
    }
    names.iter().fold(script.to_owned(), |script, name| {
        script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
    })
}

/// Prints the page of the program, or writes the pages of all commands into a folder.
pub(crate) fn man(folder: Option<&Path>) -> anyhow::Result<()> {
    let command = Arguments::command();
    let Some(folder) = folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return text(&page);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("cannot write man pages into `{}`", folder.display()))
}
