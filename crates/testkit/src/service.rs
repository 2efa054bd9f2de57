//! The real program, run the way its users run it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::{System, wait_until};

/// A running `dbt-api`. Dropping it kills the process.
pub struct Service {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// The base URL, such as `http://127.0.0.1:40123`.
    pub url: String,
}

impl Service {
    /// Starts a role of the program and waits until it listens.
    ///
    /// # Panics
    /// Panics with the log if it does not start.
    pub async fn start(binary: &str, role: &str, system: &System) -> Self {
        Self::start_command(Command::new(binary).arg(role), system).await
    }

    /// Starts a role of the program under a resource limit in the form of `ulimit` arguments, such as `-f 1024` or `-v 500000`. A file that
    /// is too large then causes an error instead of a signal.
    ///
    /// # Panics
    /// Panics in the same case as [`Service::start`].
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

    /// Returns the lines that were logged so far.
    ///
    /// # Panics
    /// Panics only if another thread panicked.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }

    /// Whether the process has ended.
    ///
    /// # Panics
    /// Panics if the system does not report the status.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("reads the status").is_some()
    }

    /// Returns the process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process like `kill -9`.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the process to stop and waits until it ends. Returns its exit code.
    ///
    /// # Panics
    /// Panics if the process does not end.
    pub async fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let signalled = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(signalled.success());
        wait_until("the service ends", async || {
            self.child.try_wait().expect("reads the status")
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

/// Runs a command of the program and returns its JSON output.
///
/// # Panics
/// Panics with the output if the command fails.
pub fn run_command(binary: &str, arguments: &[&str], system: &System) -> Value {
    let (code, output, errors) = try_command(binary, arguments, system);
    assert_eq!(code, Some(0), "{arguments:?}: {errors}{output}");
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output}"))
}

/// Runs a command of the program and returns its exit code, standard output and standard error.
///
/// # Panics
/// Panics if the command cannot be started.
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

/// How long tests wait for an expected result. It is long, because a loaded machine is slow but not wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);
