//! Uploads: how fast they are accepted, and with how much memory.

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::installation::{Installation, forget_peak, median, peak_mib};
use crate::limits;
use crate::project::{Parse, Project};
use crate::report::{Goal, Line};

/// The models of a manifest of about 20 MB, and of one of 106 MB.
const MODELS: [usize; 2] = [930, 5_000];

const ROUNDS: u64 = 5;

/// The number of parallel uploads.
const AT_ONCE: u64 = 8;

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    let ingest = installation.start("ingest").await?;
    let mut lines = Vec::new();
    let mut size = 0;
    for models in MODELS {
        let project = Project::new(models)?;
        let (mut figures, mut limits) = (Vec::new(), Vec::new());
        for number in 0..ROUNDS {
            let manifest = Bytes::from(project.manifest(Parse { number, changed: 0 })?);
            size = manifest.len() / 1_000_000;
            let (took, _) = installation
                .upload(&ingest, &format!("{models}-{number}"), manifest.clone())
                .await?;
            figures.push(took.as_secs_f64());
            limits.push(limits::store(&manifest, installation.storage())?.as_secs_f64());
        }
        let what = format!("upload of {size} MB; SHA-256 + zstd + scan + fsync on one core");
        lines.push(Line::beside(
            what,
            median(figures),
            "s",
            median(limits),
            Goal::AtMost(1.3),
        ));
    }

    let project = Project::new(MODELS[1])?;
    let manifests = (ROUNDS..ROUNDS + AT_ONCE).map(|number| project.manifest(Parse { number, changed: 0 }));
    let manifests: Vec<Bytes> = manifests
        .map(|manifest| manifest.map(Bytes::from))
        .collect::<Result<_, _>>()?;
    forget_peak(&ingest)?;
    let mut uploads = JoinSet::new();
    for (number, manifest) in manifests.into_iter().enumerate() {
        let part = reqwest::multipart::Part::stream(manifest).file_name("file");
        let form = reqwest::multipart::Form::new()
            .text("environment_slug", crate::installation::SLUG)
            .text("run_id", format!("at-once-{number}"))
            .part("file", part);
        let request = installation
            .client
            .post(format!("{}/api/internal/manifests", ingest.url));
        uploads.spawn(request.bearer_auth(&installation.key).multipart(form).send());
    }
    while let Some(answer) = uploads.join_next().await {
        answer??.error_for_status()?;
    }
    let what = format!("peak memory of ingest while {AT_ONCE} × {size} MB are uploaded");
    lines.push(Line::alone(what, peak_mib(&ingest)?, "MiB", Goal::AtMost(192.0)));
    Ok(lines)
}
