//! The real program, run as its users run it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::{System, wait_until};

/// A running `dbt-api`; killed when this is dropped.
pub struct Service {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Such as `http://127.0.0.1:40123`.
    pub url: String,
}

impl Service {
    /// Starts a role of the program and waits until it listens.
    ///
    /// # Panics
    /// When it does not start; with its log.
    pub async fn start(binary: &str, role: &str, system: &System) -> Self {
        Self::start_command(Command::new(binary).arg(role), system).await
    }

    /// Starts a role of the program under a limit of the system, as `ulimit` takes it: `-f 1024`, `-v 500000`. A file that is too large is an
    /// error then, not a signal.
    ///
    /// # Panics
    /// As [`Service::start`].
    pub async fn start_limited(binary: &str, role: &str, limit: &str, system: &System) -> Self {
        let script = format!("trap '' XFSZ; ulimit {limit}; exec \"$0\" \"$1\"");
        Self::start_command(Command::new("bash").args(["-c", &script, binary, role]), system).await
    }

    async fn start_command(command: &mut Command, system: &System) -> Self {
        let mut child = command
            .env("PORT", "0")
            .envs(system.environment())
            .env("HOST", "127.0.0.1")
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("no panic").push(line);
            }
        });
        let mut service = Self {
            child,
            log,
            url: String::new(),
        };
        let address = wait_until("the service listens", async || {
            if let Ok(Some(status)) = service.child.try_wait() {
                panic!("it ended with {status}: {}", service.log().join("\n"));
            }
            service.log().iter().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == "listening").then(|| line["address"].as_str().map(str::to_owned))?
            })
        })
        .await;
        service.url = format!("http://{address}");
        service
    }

    /// All that it has logged so far.
    ///
    /// # Panics
    /// Never, unless another thread did.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }

    /// Whether it ended by itself.
    ///
    /// # Panics
    /// When the system does not tell.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("can be asked").is_some()
    }

    /// Its process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and waits for its end; tells its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(told.success());
        wait_until("the service ends", async || {
            self.child.try_wait().expect("can be asked")
        })
        .await
        .code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of the program to its end and gives what it printed as JSON.
///
/// # Panics
/// When it fails; with what it said.
pub fn run_command(binary: &str, arguments: &[&str], system: &System) -> Value {
    let (code, output, errors) = try_command(binary, arguments, system);
    assert_eq!(code, Some(0), "{arguments:?}: {errors}{output}");
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output}"))
}

/// Runs a command of the program to its end: its exit code and what it printed to both places.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn try_command(binary: &str, arguments: &[&str], system: &System) -> (Option<i32>, String, String) {
    let output = Command::new(binary)
        .arg("--json")
        .args(arguments)
        .envs(system.environment())
        .env("LOG_LEVEL", "error")
        .output()
        .expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// How long tests wait for what must come; long, since a loaded machine is slow and not wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);
