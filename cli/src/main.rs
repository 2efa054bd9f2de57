#![doc = include_str!("../README.md")]

mod args;
mod commands;
mod operator;
mod output;
mod period;
mod progress;
mod roles;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command, ConfigCommand};
use output::Output;
use roles::Roles;
use settings::Settings;

/// Artifacts are large and short-lived. The system's allocator would return their pages to the kernel and request them again each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = if arguments.json { Output::Json } else { Output::Text };
    service::install_tls();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(arguments.command, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command, output: Output) -> anyhow::Result<()> {
    if let Command::Config(command) = &command {
        return match command {
            ConfigCommand::Check => commands::config::check(output),
            ConfigCommand::Variables => commands::config::variables(output),
        };
    }
    let settings = Settings::load()?;
    let is_service = matches!(
        command,
        Command::Serve | Command::Ingest | Command::Projector | Command::Api
    );
    // Commands may run slow queries, so they do not warn about them.
    service::start_logs(
        &settings.service,
        if is_service { "info" } else { "warn,sqlx::query=error" },
    );
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    match command {
        Command::Serve => roles::run(settings, Roles::ALL).await,
        Command::Ingest => roles::run(settings, Roles::INGEST).await,
        Command::Projector => roles::run(settings, Roles::PROJECTOR).await,
        Command::Api => roles::run(settings, Roles::API).await,
        Command::Migrate => commands::migrate::run(&settings, output).await,
        Command::Healthcheck => commands::healthcheck::run(&settings, output).await,
        Command::Account(command) => commands::account::run(&settings, command, output).await,
        Command::Project(command) => commands::project::run(&settings, command, output).await,
        Command::Environment(command) => commands::environment::run(&settings, command, output).await,
        Command::Token(command) => commands::token::run(&settings, command, output).await,
        Command::Events(command) => commands::events::run(&settings, command, output).await,
        Command::Replay { selection, again } => commands::replay::run(&settings, &selection, again, output).await,
        Command::Rebuild(arguments) => commands::rebuild::run(&settings, &arguments, output).await,
        Command::Recover => commands::recover::run(&settings, output).await,
        Command::Import(arguments) => commands::import::run(&settings, &arguments, output).await,
        Command::Prune(arguments) => commands::prune::run(&settings, &arguments, output).await,
        Command::DeadLetters(command) => commands::dead_letters::run(&settings, command, output).await,
        Command::Config(_) => Ok(()),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "logging may not be set up yet, and this message is for the user of the command line"
)]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("Error: {error:#}");
    ExitCode::FAILURE
}
