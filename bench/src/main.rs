#![doc = include_str!("../README.md")]

mod batches;
mod console;
mod counts;
mod discovery;
mod downloads;
mod files;
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
mod segments;
mod start;
mod statements;
mod states;
mod sustained;
mod uploads;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::{Args, Parser, ValueEnum};

use report::Line;

/// Measures dbt-api with the PostgreSQL at DATABASE_URL.
#[derive(Debug, Parser)]
enum Command {
    /// Measures times, and compares them with the limits of the machine and with the peers.
    Measure(Measure),
    /// Counts work in ways that are the same on any machine; fails if a count is too high.
    Count {
        /// The program whose work is counted.
        #[arg(long)]
        binary: String,
    },
    /// Only reads a manifest, so that the work can be counted from outside.
    Read {
        /// The path of a `manifest.json`.
        manifest: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Measure {
    /// The program to measure.
    #[arg(long)]
    binary: String,
    /// The folder for the results.
    #[arg(long)]
    out: PathBuf,
    /// A Python that has the libraries of the peers.
    #[arg(long)]
    python: String,
    /// An earlier build of the program, with which `states` and `batches` compare.
    #[arg(long)]
    before: Option<String>,
    /// A Python that has DataHub, which `datahub` runs as a client.
    #[arg(long)]
    datahub: Option<String>,
    /// A folder with playwright-core, which `console` drives Chromium with.
    #[arg(long, requires = "site")]
    browser: Option<String>,
    /// The `index.html` of dbt's documentation site, with which `console` compares.
    #[arg(long)]
    site: Option<String>,
    /// What to measure; by default, everything.
    what: Vec<What>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Uploads,
    Projections,
    Latency,
    Sustained,
    Rebuilds,
    Segments,
    Reads,
    Downloads,
    Start,
    Discovery,
    /// With the Python named by `--datahub`; skipped without it.
    Datahub,
    Growth,
    /// In the browser named by `--browser`; skipped without it.
    Console,
    /// Compared with the build named by `--before`; skipped without it.
    States,
    /// Compared with the build named by `--before`; skipped without it.
    Batches,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Measure(arguments) => measure(arguments).await,
        Command::Count { binary } => {
            let lines = counts::count(&binary).await?;
            print(&report::table(&lines));
            ensure!(lines.iter().all(|line| line.met), "a count exceeds its limit");
            Ok(())
        }
        Command::Read { manifest } => counts::read(&manifest),
    }
}

impl Measure {
    fn browser(&self) -> anyhow::Result<console::Browser<'_>> {
        let given = self.browser.as_deref().zip(self.site.as_deref());
        let (modules, site) = given.context("`console` needs --browser and --site")?;
        Ok(console::Browser { modules, site })
    }
}

async fn measure(arguments: Measure) -> anyhow::Result<()> {
    let mut all = What::value_variants().to_vec();
    all.retain(|what| match what {
        What::States | What::Batches => arguments.before.is_some(),
        What::Datahub => arguments.datahub.is_some(),
        What::Console => arguments.browser.is_some(),
        _ => true,
    });
    let chosen = if arguments.what.is_empty() {
        all
    } else {
        arguments.what.clone()
    };
    let (mut lines, mut curves) = (Vec::<Line>::new(), Vec::new());
    let mut failed = Vec::new();
    for what in chosen {
        let begun = Instant::now();
        let mut measured = Vec::new();
        if let Err(error) = measure_one(what, &arguments, &mut curves, &mut measured).await {
            print(&format!("{what:?} failed: {error:#}\n"));
            failed.push(what);
        }
        print(&format!(
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
    report::write(&lines, &machine::describe(), &arguments.out)?;
    ensure!(failed.is_empty(), "could not be measured: {failed:?}");
    Ok(())
}

async fn measure_one(
    what: What,
    arguments: &Measure,
    curves: &mut Vec<growth::Curve>,
    lines: &mut Vec<Line>,
) -> anyhow::Result<()> {
    let binary = &arguments.binary;
    let before = arguments.before.as_deref();
    let measured = match what {
        What::Uploads => uploads::measure(binary).await?,
        What::Projections => projections::measure(binary).await?,
        What::Latency => projections::measure_latency(binary).await?,
        What::Sustained => sustained::measure(binary, &arguments.python).await?,
        What::Rebuilds => rebuilds::measure(binary).await?,
        What::Reads => reads::measure(binary).await?,
        What::Downloads => downloads::measure(binary).await?,
        What::Start => start::measure(binary).await?,
        What::Segments => segments::measure().await?,
        What::Batches => return batches::measure(binary, before, lines).await,
        What::Discovery => discovery::measure(binary).await?,
        What::Datahub => discovery::measure_datahub(binary, arguments.datahub.as_deref()).await?,
        What::Console => console::measure(binary, &arguments.browser()?).await?,
        What::States => states::measure(binary, before).await?,
        What::Growth => {
            let (measured, of_growth) = growth::measure(binary).await?;
            *curves = of_growth;
            measured
        }
    };
    lines.extend(measured);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "output for the user of the command line")]
fn print(text: &str) {
    println!("{text}");
}
