//! Downloads of a large manifest, compared with nginx sending the same bytes from disk.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use testkit::Service;

use crate::installation::{Installation, forget_peak, median, peak_mib, resident_mib, until};
use crate::limits;
use crate::project::{Parse, Project};
use crate::report::{Goal, Line};

const ROUNDS: u64 = 5;

/// The number of consecutive downloads in one process, so that its start counts for little.
const IN_A_ROW: usize = 5;

/// The number of parallel downloads for which memory is measured.
const AT_ONCE: usize = 8;

const WHOLE: &str = "/api/internal/manifests?environment_slug=prod&trimmed=false";
const TRIMMED: &str = "/api/internal/manifests?environment_slug=prod";

pub(crate) async fn measure(binary: &str) -> anyhow::Result<Vec<Line>> {
    let installation = Installation::prepare(binary).await;
    let serve = installation.start("serve").await?;
    let project = Project::new(5_000)?;
    let (mut first, mut first_limit, mut manifest) = (Vec::new(), Vec::new(), Bytes::new());
    for number in 0..ROUNDS {
        manifest = project.manifest(Parse { number, changed: 0 })?.into();
        let (_, event) = installation
            .upload(&serve, &number.to_string(), manifest.clone())
            .await?;
        installation.visible(event).await?;
        first.push(seconds_of(&mut command(&installation, &serve, TRIMMED, None, 1), 1)?);
        let frame = zstd::bulk::compress(&manifest, 3)?;
        first_limit.push(limits::decompress_and_scan(&frame)?.as_secs_f64());
    }
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("plain"), &manifest)?;
    std::fs::write(folder.path().join("compressed"), zstd::bulk::compress(&manifest, 3)?)?;
    let nginx = Nginx::start(folder.path()).await?;

    let size = manifest.len() as f64 / 1e6;
    let mut lines = Vec::new();
    let mut rate_of_plain = 0.0;
    for (name, encoding) in [("plain", None), ("compressed", Some("zstd"))] {
        let (mut own, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(size / seconds_of(&mut command(&installation, &serve, WHOLE, encoding, IN_A_ROW), IN_A_ROW)?);
            peer.push(size / seconds_of(&mut client(&nginx.url(name), &[], IN_A_ROW), IN_A_ROW)?);
        }
        if encoding.is_none() {
            rate_of_plain = median(own.clone());
        }
        let what = format!("download of a {size:.0} MB manifest, {name}; nginx from disk");
        lines.push(Line::beside(
            what,
            median(own),
            "MB/s",
            median(peer),
            Goal::AtLeast(0.8),
        ));
    }
    lines.push(Line::beside(
        "trimmed manifest, first download; unzstd + scan",
        median(first),
        "s",
        median(first_limit),
        Goal::AtMost(1.5),
    ));
    let trimmed = installation
        .client
        .get(format!("{}{TRIMMED}", serve.url))
        .bearer_auth(&installation.key);
    let trimmed_size = trimmed.send().await?.bytes().await?.len() as f64 / 1e6;
    let again: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut command = command(&installation, &serve, TRIMMED, None, IN_A_ROW);
            Ok(trimmed_size / seconds_of(&mut command, IN_A_ROW)?)
        })
        .collect::<anyhow::Result<_>>()?;
    let what = "trimmed manifest, later downloads; the plain download";
    lines.push(Line::beside(
        what,
        median(again),
        "MB/s",
        rate_of_plain,
        Goal::AtLeast(0.9),
    ));

    let before = resident_mib(&serve)?;
    forget_peak(&serve)?;
    let mut children = (0..AT_ONCE)
        .map(|_| command(&installation, &serve, WHOLE, None, 1).spawn())
        .collect::<Result<Vec<Child>, _>>()?;
    for child in &mut children {
        ensure!(child.wait()?.success(), "a download failed");
    }
    let what = format!("memory that {AT_ONCE} parallel downloads add to serve");
    lines.push(Line::alone(what, peak_mib(&serve)? - before, "MiB", Goal::AtMost(32.0)));
    Ok(lines)
}

/// Returns a client command that downloads the same URL this many times on one connection.
fn client(url: &str, headers: &[String], times: usize) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sS", "-f"]).stdout(Stdio::null());
    for header in headers {
        command.args(["-H", header]);
    }
    for _ in 0..times {
        command.args(["-o", "/dev/null", url]);
    }
    command
}

fn command(
    installation: &Installation,
    service: &Service,
    path: &str,
    encoding: Option<&str>,
    times: usize,
) -> Command {
    let mut headers = vec![format!("Authorization: Bearer {}", installation.key)];
    headers.extend(encoding.map(|encoding| format!("Accept-Encoding: {encoding}")));
    client(&format!("{}{path}", service.url), &headers, times)
}

/// Runs the command and returns the seconds for each of this many downloads.
fn seconds_of(command: &mut Command, times: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    ensure!(command.status()?.success(), "a download failed");
    Ok(begun.elapsed().as_secs_f64() / times as f64)
}

/// An nginx that serves the files of a folder.
struct Nginx {
    process: Child,
    port: u16,
}

impl Nginx {
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let here = folder.display();
        let text = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/errors; user root;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n\
             fastcgi_temp_path {here}/fastcgi; uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; root {here}; }} }}\n"
        );
        let text = if is_root() {
            text
        } else {
            text.replace("user root;", "")
        };
        std::fs::write(folder.join("nginx.conf"), text)?;
        let process = Command::new("nginx")
            .args(["-c", &format!("{here}/nginx.conf"), "-p", &here.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run nginx: `./dev bench` installs it")?;
        let nginx = Self { process, port };
        until("nginx listens", async || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await?;
        Ok(nginx)
    }

    fn url(&self, file: &str) -> String {
        format!("http://127.0.0.1:{}/{file}", self.port)
    }
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that nginx stops its workers, too.
        let asked = Command::new("kill").arg(self.process.id().to_string()).status();
        if asked.is_ok() {
            let _ = self.process.wait();
        }
    }
}
