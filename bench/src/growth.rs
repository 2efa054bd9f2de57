//! How cost grows with the amount of data. It may grow with the nodes of a manifest, but not with anything else.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use sqlx::PgPool;
use testkit::Service;

use crate::history;
use crate::installation::{Installation, median};
use crate::project::{Parse, Project};
use crate::report::{Goal, Line};

const MODELS: [usize; 4] = [100, 1_000, 5_000, 20_000];

const MANIFESTS: [i64; 4] = [1, 100, 2_000, 20_000];

const RUNS: [i64; 4] = [1_000, 10_000, 100_000, 1_000_000];

const ACCOUNTS: [i64; 4] = [1, 10, 100, 1_000];

/// The number of runs in each account.
const OF_ACCOUNT: i64 = 100;

/// The number of times that a manifest is repeated.
const REPEATS: u64 = 3;

/// The number of measurements of a read, and of a small upload.
const TIMES: u64 = 40;

/// The cost of something, measured while something else grows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    /// What grows, as a plural, such as `accounts`.
    against: &'static str,
    /// What is measured, such as `upload`.
    what: &'static str,
    /// Pairs of amount and seconds.
    points: Vec<(f64, f64)>,
}

impl Curve {
    fn new(against: &'static str, what: &'static str) -> Self {
        let points = Vec::new();
        Self { against, what, points }
    }

    /// Returns how many times as high the cost is at the end as at the beginning. For linear costs, it is the cost per unit, compared with
    /// the last point but one, because at the beginning the fixed cost dominates.
    fn growth(&self, is_linear: bool) -> f64 {
        let first = match is_linear {
            true => self.points.iter().rev().nth(1),
            false => self.points.first(),
        };
        let (Some(first), Some(last)) = (first, self.points.last()) else {
            return f64::NAN;
        };
        let expected = if is_linear { last.0 / first.0 } else { 1.0 };
        last.1 / first.1 / expected
    }

    fn line(&self, is_linear: bool) -> Line {
        let mut sizes = self.points.iter().rev().map(|(size, _)| *size);
        let (last, before) = (sizes.next().unwrap_or(0.0), sizes.next().unwrap_or(0.0));
        let what = match is_linear {
            true => format!("{}, each of {last:.0} {}; each of {before:.0}", self.what, self.against),
            false => format!("{}, {last:.0} {}; the fewest", self.what, self.against),
        };
        Line::alone(what, self.growth(is_linear), "×", Goal::AtMost(1.5))
    }
}

pub(crate) async fn measure(binary: &str) -> anyhow::Result<(Vec<Line>, Vec<Curve>)> {
    let linear = of_nodes(binary).await?;
    let mut flat = of_manifests(binary).await?;
    flat.extend(of_runs(binary).await?);
    flat.extend(of_accounts(binary).await?);
    let lines = linear.iter().map(|curve| curve.line(true));
    let lines = lines.chain(flat.iter().map(|curve| curve.line(false))).collect();
    Ok((lines, [linear, flat].concat()))
}

/// Measures the cost as the number of nodes in a manifest grows.
async fn of_nodes(binary: &str) -> anyhow::Result<Vec<Curve>> {
    const AGAINST: &str = "models of a manifest";
    let mut curves = ["upload", "first projection", "repeated projection"].map(|what| Curve::new(AGAINST, what));
    for models in MODELS {
        let installation = Installation::prepare(binary).await;
        let serve = installation.start("serve").await?;
        let project = Project::new(models)?;
        let mut add_point = |curve: usize, seconds| curves[curve].points.push((models as f64, seconds));
        let mut repeats = Vec::new();
        for number in 0..=REPEATS {
            let manifest = Bytes::from(project.manifest(Parse { number, changed: 0 })?);
            let (took, event) = installation.upload(&serve, &format!("run-{number}"), manifest).await?;
            let visible = installation.visible(event).await?.as_secs_f64();
            if number == 0 {
                add_point(0, took.as_secs_f64());
                add_point(1, visible);
                history::settle(&installation.pool).await?;
            } else {
                repeats.push(visible);
            }
        }
        add_point(2, median(repeats));
    }
    Ok(curves.to_vec())
}

/// Measures the cost as the number of manifests in an environment grows.
async fn of_manifests(binary: &str) -> anyhow::Result<Vec<Curve>> {
    const AGAINST: &str = "stored manifests";
    let mut curves = ["small upload until visible", "page of nodes"].map(|what| Curve::new(AGAINST, what));
    let installation = Installation::prepare(binary).await;
    let serve = installation.start("serve").await?;
    let project = Project::new(100)?;
    let manifest = project.manifest(Parse { number: 0, changed: 0 })?.into();
    let (_, event) = installation.upload(&serve, "run", manifest).await?;
    installation.visible(event).await?;
    let mut number = 1;
    for manifests in MANIFESTS {
        add_manifests(&installation.pool, manifests).await?;
        curves[0].points.push((
            manifests as f64,
            small_uploads(&installation, &serve, &mut number).await?,
        ));
        let path = "/api/v2/accounts/1/environments/1/nodes/?limit=100";
        curves[1]
            .points
            .push((manifests as f64, reads(&installation, &serve, path).await?));
    }
    Ok(curves.to_vec())
}

/// Adds manifests up to this number, each in its own run. Only rows are written, because so many uploads would take an hour.
async fn add_manifests(pool: &PgPool, manifests: i64) -> anyhow::Result<()> {
    history::add_runs(pool, 1, 100, manifests).await?;
    let statements = [
        "INSERT INTO manifests (account_id, sha256, node_set, dbt_schema_version, dbt_version, project_name, adapter_type, generated_at)
         SELECT m.account_id, sha256(r::text::bytea), m.node_set, m.dbt_schema_version, m.dbt_version, m.project_name, m.adapter_type,
            m.generated_at
         FROM (SELECT * FROM manifests ORDER BY sha256 LIMIT 1) m, generate_series(1, $1) r ON CONFLICT DO NOTHING",
        "INSERT INTO artifacts (event_id, place, account_id, project_id, environment_id, event_time, dag_id, airflow_run_id, invocation_id,
            kind, name, sha256, size, run_id, step_id)
         SELECT md5(r.id::text)::uuid, 0, 1, 1, 1, r.created_at, r.dag_id, r.airflow_run_id, md5(r.id::text), 'manifest', 'manifest.json',
            sha256((r.id - 10000000)::text::bytea), 2800000, r.id, r.id
         FROM runs r WHERE r.account_id = 1 AND r.id BETWEEN 10000001 AND 10000000 + $1 ON CONFLICT DO NOTHING",
    ];
    for statement in statements {
        sqlx::query(statement).bind(manifests).execute(pool).await?;
    }
    history::settle(pool).await
}

/// Measures the cost as the number of runs in an account grows.
async fn of_runs(binary: &str) -> anyhow::Result<Vec<Curve>> {
    const AGAINST: &str = "runs of an account";
    const PATHS: [(&str, &str); 4] = [
        ("newest page of runs", "/api/v2/accounts/1/runs/?limit=100&order_by=-id"),
        (
            "newest failed run of a job",
            "/api/v2/accounts/1/runs/?job_definition_id=10007&status=20&order_by=-finished_at&limit=1",
        ),
        ("one run", "/api/v2/accounts/1/runs/10000500/"),
        ("one job", "/api/v2/accounts/1/jobs/10007/"),
    ];
    let mut curves = PATHS.map(|(what, _)| Curve::new(AGAINST, what));
    let mut upload = Curve::new(AGAINST, "small upload until visible");
    let installation = Installation::prepare(binary).await;
    let serve = installation.start("serve").await?;
    let mut number = 0;
    for runs in RUNS {
        history::add_runs(&installation.pool, 1, 100, runs).await?;
        history::settle(&installation.pool).await?;
        for (curve, (_, path)) in curves.iter_mut().zip(PATHS) {
            curve
                .points
                .push((runs as f64, reads(&installation, &serve, path).await?));
        }
        upload
            .points
            .push((runs as f64, small_uploads(&installation, &serve, &mut number).await?));
    }
    let mut curves = curves.to_vec();
    curves.push(upload);
    Ok(curves)
}

/// Measures the cost as the number of other accounts grows.
async fn of_accounts(binary: &str) -> anyhow::Result<Vec<Curve>> {
    const AGAINST: &str = "accounts";
    let mut curves = ["newest page of runs", "small upload until visible"].map(|what| Curve::new(AGAINST, what));
    let installation = Installation::prepare(binary).await;
    let serve = installation.start("serve").await?;
    let (mut number, mut present) = (0, 0);
    for accounts in ACCOUNTS {
        for account in present + 1..=accounts {
            history::add_runs(&installation.pool, account, 10, OF_ACCOUNT).await?;
        }
        history::settle(&installation.pool).await?;
        present = accounts;
        let path = "/api/v2/accounts/1/runs/?limit=100&order_by=-id";
        curves[0]
            .points
            .push((accounts as f64, reads(&installation, &serve, path).await?));
        curves[1].points.push((
            accounts as f64,
            small_uploads(&installation, &serve, &mut number).await?,
        ));
    }
    Ok(curves.to_vec())
}

/// Returns the seconds of a read, measured one after the other.
async fn reads(installation: &Installation, serve: &Service, path: &str) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let request = installation.client.get(format!("{}{path}", serve.url));
        let begun = Instant::now();
        let answer = request.bearer_auth(&installation.key).send().await?;
        answer.error_for_status()?.bytes().await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(times))
}

/// Returns the seconds from the answer to a small upload until it can be read.
async fn small_uploads(installation: &Installation, serve: &Service, number: &mut u64) -> anyhow::Result<f64> {
    let project = Project::new(10)?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        *number += 1;
        let manifest = project.manifest(Parse {
            number: *number,
            changed: 1,
        })?;
        let (_, event) = installation
            .upload(serve, &format!("small-{number}"), manifest.into())
            .await?;
        times.push(installation.visible(event).await?.as_secs_f64());
    }
    Ok(median(times))
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 260.0;
const COLORS: [&str; 5] = ["#2b6cb0", "#c8553d", "#4c9a52", "#8a5bb5", "#b58a2b"];

/// Writes the curves as JSON and as a plot, with a panel for each growing amount and logarithmic scales.
pub(crate) fn write(curves: &[Curve], folder: &Path) -> anyhow::Result<()> {
    std::fs::write(folder.join("growth.json"), serde_json::to_string_pretty(curves)? + "\n")?;
    let mut panels: Vec<&str> = curves.iter().map(|curve| curve.against).collect();
    panels.dedup();
    let (columns, rows) = (2, panels.len().div_ceil(2));
    let (width, height) = (WIDTH * f64::from(columns), HEIGHT * rows as f64);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, against) in panels.iter().enumerate() {
        let (x, y) = ((index % 2) as f64 * WIDTH, (index / 2) as f64 * HEIGHT);
        let of_panel: Vec<&Curve> = curves.iter().filter(|curve| curve.against == *against).collect();
        let _ = writeln!(
            text,
            "<g transform=\"translate({x} {y})\">{}</g>",
            panel(against, &of_panel)
        );
    }
    std::fs::write(folder.join("growth.svg"), text + "</svg>\n")?;
    Ok(())
}

/// Draws a panel. The vertical axis goes from a tenth of a millisecond to a hundred seconds.
fn panel(against: &str, curves: &[&Curve]) -> String {
    let (left, right, top, bottom) = (50.0, WIDTH - 190.0, 30.0, HEIGHT - 25.0);
    let sizes = curves.iter().flat_map(|curve| &curve.points).map(|(size, _)| *size);
    let (least, most) = sizes.fold((f64::MAX, f64::MIN), |(least, most), size| {
        (least.min(size), most.max(size))
    });
    let across = |size: f64| left + (right - left) * (size / least).log10() / (most / least).log10();
    let up = |seconds: f64| bottom - (bottom - top) * ((seconds.log10() + 4.0) / 6.0).clamp(0.0, 1.0);
    let mut text = format!("<text x=\"{left}\" y=\"18\" font-weight=\"bold\">{against}</text>");
    for (seconds, label) in [(1e-4, "0.1 ms"), (1e-2, "10 ms"), (1.0, "1 s"), (100.0, "100 s")] {
        let y = up(seconds);
        let _ = write!(
            text,
            "<line x1=\"{left}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" stroke=\"#ccc\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
            left - 4.0,
            y + 4.0
        );
    }
    for size in [least, most] {
        let _ = write!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{size}</text>",
            across(size),
            bottom + 15.0
        );
    }
    for (curve, color) in curves.iter().zip(COLORS) {
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(size, seconds)| format!("{:.1},{:.1}", across(*size), up(*seconds)))
            .collect();
        let _ = write!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
    }
    for (row, (curve, color)) in curves.iter().zip(COLORS).enumerate() {
        let y = top + 14.0 * (row as f64 + 1.0);
        let _ = write!(
            text,
            "<text x=\"{}\" y=\"{y}\" fill=\"{color}\">{}</text>",
            right + 6.0,
            curve.what
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_relative_to_the_expected_growth() {
        let curve = Curve {
            points: vec![(10.0, 0.1), (100.0, 0.1), (1_000.0, 1.2)],
            ..Curve::new("models", "upload")
        };
        assert!((curve.growth(true) - 1.2).abs() < 1e-9);
        assert!((curve.growth(false) - 12.0).abs() < 1e-9);
        let plot = panel("models", &[&curve]);
        assert!(plot.contains("<polyline") && plot.contains("upload"), "{plot}");
    }
}
