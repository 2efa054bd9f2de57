#![doc = include_str!("../README.md")]

mod args;
mod attempts;
mod commands;
mod health;
mod missing;
mod output;
mod period;
mod pools;
mod progress;
mod roles;
mod selection;
mod settings;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use traces::Traces;

use args::{Arguments, Command, ConfigCommand, TokenCommand, UploadsCommand};
use output::{Closed, Output};
use roles::Role;
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
        Err(error) if error.is::<Closed>() => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command, output: Output) -> anyhow::Result<()> {
    match &command {
        Command::Config(ConfigCommand::Check { connect }) => return commands::config::check(*connect, output).await,
        Command::Config(ConfigCommand::Variables) => return commands::config::variables(output),
        Command::Completions { shell } => return commands::manual::completions(*shell),
        Command::Man { folder } => return commands::manual::man(folder.as_deref()),
        _ => {}
    }
    let settings = Settings::load()?;
    let roles: &[Role] = match command {
        Command::Serve => &Role::ALL,
        Command::Ingest => &[Role::Ingest],
        Command::Projector => &[Role::Projector],
        Command::Api => &[Role::Api],
        command => return run_command(&settings, command, output).await,
    };
    let traces = settings.traces.as_ref().map(Traces::start).transpose();
    let traces = traces.context("cannot send traces to OTEL_EXPORTER_OTLP_ENDPOINT")?;
    start_logs(&settings, "info", traces.as_ref());
    let result = roles::run(settings, roles).await;
    if let Some(traces) = traces {
        traces.stop().await;
    }
    result
}

fn start_logs(settings: &Settings, default_level: &str, traces: Option<&Traces>) {
    service::start_logs(&settings.service, default_level, traces);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
}

/// Runs a command that ends by itself. It has no traces.
async fn run_command(settings: &Settings, command: Command, output: Output) -> anyhow::Result<()> {
    // Commands may run slow queries, so they do not warn about them.
    start_logs(settings, "warn,sqlx::query=error", None);
    settings.database.choose_server().await;
    if needs_tables(&command) {
        settings.ensure_usable().await?;
    }
    match command {
        Command::Migrate { print_roles: true } => commands::migrate::print_roles(settings, output),
        Command::Migrate { print_roles: false } => commands::migrate::run(settings, output).await,
        Command::Healthcheck => commands::healthcheck::run(settings, output).await,
        Command::Status => commands::status::run(settings, output).await,
        Command::Account(command) => commands::account::run(settings, command, output).await,
        Command::Project(command) => commands::project::run(settings, command, output).await,
        Command::Environment(command) => commands::environment::run(settings, command, output).await,
        Command::Token(command) => commands::token::run(settings, command, output).await,
        Command::Events(command) => commands::events::run(settings, command, output).await,
        Command::Journal(command) => commands::journal::run(settings, command, output).await,
        Command::Uploads(UploadsCommand::List(arguments)) => commands::uploads::list(settings, arguments, output).await,
        Command::Replay { selection, again } => commands::replay::run(settings, &selection, again, output).await,
        Command::Rebuild(arguments) => commands::rebuild::run(settings, &arguments, output).await,
        Command::Recover => commands::recover::run(settings, output).await,
        Command::Import(arguments) => commands::import::run(settings, &arguments, output).await,
        Command::Prune(arguments) => commands::prune::run(settings, &arguments, output).await,
        Command::DeadLetters(command) => commands::dead_letters::run(settings, command, output).await,
        // `run` handles these.
        Command::Serve
        | Command::Ingest
        | Command::Projector
        | Command::Api
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

/// Whether a command reads or writes tables that it does not create itself.
fn needs_tables(command: &Command) -> bool {
    match command {
        Command::Account(_)
        | Command::Project(_)
        | Command::Environment(_)
        | Command::Token(
            TokenCommand::Create { .. } | TokenCommand::List { .. } | TokenCommand::Rotate { .. },
        )
        | Command::Replay { .. }
        | Command::Rebuild(_)
        | Command::Import(_)
        | Command::Prune(_)
        | Command::DeadLetters(_) => true,
        Command::Serve
        | Command::Ingest
        | Command::Projector
        | Command::Api
        | Command::Migrate { .. }
        | Command::Healthcheck
        // It also works with the bucket alone.
        | Command::Token(TokenCommand::Delete { .. })
        | Command::Status
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Events(_)
        | Command::Journal(_)
        | Command::Uploads(_)
        | Command::Recover => false,
    }
}

/// Prints the error for the user of the command line. Logging may not be set up yet.
fn fail(error: &anyhow::Error) -> ExitCode {
    // Nobody may be reading standard error any more.
    let _ = writeln!(std::io::stderr(), "Error: {}", output::reason(error));
    ExitCode::FAILURE
}
