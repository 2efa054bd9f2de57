//! What a result means for its node and for the command.

use super::NodeResult;
use super::command::Command;

/// The statuses that say that something is wrong: of freshness, that something is too old.
const FAILURES: [&str; 4] = ["error", "fail", "runtime error", "partial success"];

/// The message with which dbt 2 skips what stands below a failure. It leaves a microbatch model with a failed batch out of the file.
const SKIPPED_BELOW_FAILURE: &str = "skipped due to upstream failure";

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The work on a node.
    Node,
    /// Something outside the nodes: a hook, an operation, or a command that does nothing to nodes, such as `compile`.
    Outside,
    /// A check of how fresh a source or model is.
    Freshness,
}

/// What a result means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The command was to do something to the node, even if it then skipped it. Commands such as `docs generate` list nodes that they only
    /// compiled.
    pub is_attempt: bool,
    /// The attempt, or the check of freshness, went well.
    pub has_passed: bool,
    /// It went well, and what it made is what the node is for: not the empty table of `--empty`, nor a clone that was there before.
    pub is_success: bool,
    /// What failed, if anything did.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// Of a result of run results.
    pub(super) fn of_result(result: &NodeResult, command: &Command) -> Self {
        let is_node = result.is_of_node();
        let counts = command.executes() && !(command.is("run-operation") && is_node);
        // A test that ran passes or fails; `success` says that it was compiled.
        let was_compiled_only = result.is_test() && result.status == "success" && result.failures.is_none();
        Self::new(result, counts && !was_compiled_only, command)
    }

    /// Of a result of run results before dbt 0.19, which do not say the command: `success` may mean that nothing was done.
    pub(super) fn of_old_result(result: &NodeResult, has_status: bool) -> Self {
        let was_done = has_status || result.status != "success";
        Self::new(result, was_done, &Command::default())
    }

    /// Of a check of freshness.
    pub(super) fn of_freshness(status: &str) -> Self {
        let has_passed = ["pass", "warn"].contains(&status);
        Self {
            has_passed,
            is_success: has_passed,
            is_attempt: false,
            failure: is_failure(status).then_some(Failure::Freshness),
        }
    }

    fn new(result: &NodeResult, is_attempt: bool, command: &Command) -> Self {
        let message = result.message.as_deref().unwrap_or_default();
        let has_passed = is_attempt
            && match result.status.as_str() {
                "success" | "pass" => true,
                "warn" => result.is_test(),
                // dbt 2 says so of ephemeral models in builds that pass, and of nothing else.
                "skipped" => message.eq_ignore_ascii_case("Skipped"),
                _ => false,
            };
        let was_there = command.is("clone") && message == "No-op";
        let failure = if is_attempt && result.is_of_node() {
            Failure::Node
        } else {
            Failure::Outside
        };
        Self {
            is_attempt,
            has_passed,
            is_success: has_passed && result.status != "skipped" && !command.is_limited && !was_there,
            failure: is_failure(&result.status).then_some(failure),
        }
    }
}

/// Marks what was skipped below a failure that the file need not list: the node is to be built all the same.
pub(super) fn mark_hidden_failures(results: &mut [NodeResult]) {
    for result in results {
        let message = result.message.as_deref().unwrap_or_default();
        if result.status == "skipped" && message.eq_ignore_ascii_case(SKIPPED_BELOW_FAILURE) {
            result.outcome.failure = Some(Failure::Node);
        }
    }
}

fn is_failure(status: &str) -> bool {
    FAILURES.contains(&status)
}
