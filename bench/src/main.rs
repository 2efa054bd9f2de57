//! dbt-api measured against the limits of the machine and against its peers, side by side in one run: `./dev bench`.

mod counts;
mod downloads;
mod growth;
mod history;
mod installation;
mod limits;
mod machine;
mod project;
mod projections;
mod reads;
mod rebuilds;
mod report;
mod start;
mod statements;
mod states;
mod sustained;
mod uploads;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use clap::{Args, Parser, ValueEnum};

use report::Line;

/// Measures dbt-api. PostgreSQL is the one that DATABASE_URL names.
#[derive(Debug, Parser)]
enum Command {
    /// Times, beside the limits of the machine and the peers.
    Measure(Measure),
    /// Counts that are the same on any machine; fails when one is too high.
    Count {
        /// The program whose work is counted.
        #[arg(long)]
        binary: String,
    },
    /// Reads a manifest, and nothing else: what it costs is counted from outside.
    Read {
        /// The file.
        manifest: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Measure {
    /// The program to be measured.
    #[arg(long)]
    binary: String,
    /// Where the results are written.
    #[arg(long)]
    out: PathBuf,
    /// A Python that has the peers' libraries.
    #[arg(long)]
    python: String,
    /// An earlier build of the program, which `states` is measured beside.
    #[arg(long)]
    before: Option<String>,
    /// What is measured; left out: all of it.
    what: Vec<What>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Uploads,
    Projections,
    Latency,
    Sustained,
    Rebuilds,
    Reads,
    Downloads,
    Start,
    Growth,
    /// Beside the build that `--before` names; left out where none is named.
    States,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Measure(arguments) => measure(arguments).await,
        Command::Count { binary } => {
            let lines = counts::count(&binary).await?;
            tell(&report::table(&lines));
            ensure!(lines.iter().all(|line| line.met), "a count is higher than it may be");
            Ok(())
        }
        Command::Read { manifest } => counts::read(&manifest),
    }
}

async fn measure(arguments: Measure) -> anyhow::Result<()> {
    let mut all = What::value_variants().to_vec();
    all.retain(|what| *what != What::States || arguments.before.is_some());
    let chosen = if arguments.what.is_empty() { all } else { arguments.what };
    let (mut lines, mut curves) = (Vec::<Line>::new(), Vec::new());
    for what in chosen {
        let begun = Instant::now();
        let binary = &arguments.binary;
        let measured = match what {
            What::Uploads => uploads::measure(binary).await?,
            What::Projections => projections::measure(binary).await?,
            What::Latency => projections::measure_latency(binary).await?,
            What::Sustained => sustained::measure(binary, &arguments.python).await?,
            What::Rebuilds => rebuilds::measure(binary).await?,
            What::Reads => reads::measure(binary).await?,
            What::Downloads => downloads::measure(binary).await?,
            What::Start => start::measure(binary).await?,
            What::States => states::measure(binary, arguments.before.as_deref()).await?,
            What::Growth => {
                let (lines, measured) = growth::measure(binary).await?;
                curves = measured;
                lines
            }
        };
        tell(&format!(
            "{what:?} ({:.0} s)\n{}",
            begun.elapsed().as_secs_f64(),
            report::table(&measured)
        ));
        lines.extend(measured);
    }
    std::fs::create_dir_all(&arguments.out)?;
    if !curves.is_empty() {
        growth::write(&curves, &arguments.out)?;
    }
    report::write(&lines, &machine::describe(), &arguments.out)
}

#[expect(clippy::print_stdout, reason = "it is for the one who typed the command")]
fn tell(text: &str) {
    println!("{text}");
}
