//! The span of an event in its trace.

use schemas::Event;
use tracing::Span;
use tracing::field::Empty;

use crate::{ApplyError, Outcome};

/// Creates the span in which an event is applied.
pub(crate) fn span_of(event: &Event) -> Span {
    tracing::info_span!(
        target: traces::TARGET,
        "event",
        otel.name = format!("apply {}", event.kind),
        otel.kind = "consumer",
        otel.status_code = Empty,
        event_id = %event.id,
        kind = event.kind,
        account_id = event.account().map(|account| account.0),
    )
}

/// Marks the span of an event as failed if the event became a dead letter.
pub(crate) fn mark(span: &Span, result: &Result<Outcome, ApplyError>) {
    if let Ok(Outcome::DeadLetter) = result {
        span.record("otel.status_code", "error");
    }
}
