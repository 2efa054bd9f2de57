//! Interprets a result for its node and for the command.

use super::NodeResult;
use super::command::Command;

/// The statuses of failures. For freshness checks, they mean that the data is too old or that the check failed.
const FAILURES: [&str; 4] = ["error", "fail", "runtime error", "partial success"];

/// The message of dbt 2 for nodes that it skips below a failure. The failed node may be missing from the file: dbt 2 omits a microbatch
/// model with a failed batch.
const SKIPPED_BELOW_FAILURE: &str = "skipped due to upstream failure";

/// The thing that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The work on a node.
    Node,
    /// Something other than a node: a hook, an operation, or a command that does no work on nodes, such as `compile`.
    Outside,
    /// The freshness check of a source or a model.
    Freshness,
}

/// The interpretation of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the command was supposed to do work on the node, even if it skipped the node in the end. Commands such as `docs generate`
    /// list nodes that they only compiled.
    pub is_attempt: bool,
    /// Whether the attempt or the freshness check succeeded.
    pub has_passed: bool,
    /// Whether the attempt succeeded and produced what the node is for, which excludes the empty table of `--empty` and a clone that
    /// existed before.
    pub is_success: bool,
    /// What failed, if anything did.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// Interprets a result in run results.
    pub(super) fn of_result(result: &NodeResult, command: &Command) -> Self {
        let is_node = result.is_of_node();
        let counts = command.executes() && !(command.is("run-operation") && is_node);
        // A test that ran has the status `pass` or `fail`; `success` means that it was only compiled.
        let was_compiled_only = result.is_test() && result.status == "success" && result.failures.is_none();
        Self::new(result, counts && !was_compiled_only, command)
    }

    /// Interprets a result in run results from before dbt 0.19, which do not name the command. There, `success` may mean that nothing was
    /// done.
    pub(super) fn of_old_result(result: &NodeResult, has_status: bool) -> Self {
        let was_done = has_status || result.status != "success";
        Self::new(result, was_done, &Command::default())
    }

    /// Interprets a freshness check.
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
                // dbt 2 uses this message only for ephemeral models in builds that pass.
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

/// Marks the nodes that were skipped below a failure that the file may not list, because they still have to be built.
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
