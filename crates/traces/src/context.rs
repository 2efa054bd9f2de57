//! Passes traces on: from a client's request to its handler, to other tasks, and over NATS to the projector.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{FutureExt, TraceContextExt, WithContext};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a span that was not entered yet continue the trace that the W3C headers `traceparent` and `tracestate` name. `header` returns the
/// value of a header. Without a valid `traceparent`, the span keeps its parent.
pub fn continue_from<'a>(span: &Span, header: impl Fn(&str) -> Option<&'a str>) {
    if span.is_disabled() {
        return;
    }
    let propagator = TraceContextPropagator::new();
    let headers: HashMap<String, String> = propagator
        .fields()
        .filter_map(|name| Some((name.to_owned(), header(name)?.to_owned())))
        .collect();
    let parent = propagator.extract_with_context(&Context::new(), &headers);
    if parent.has_active_span() {
        // It fails only if the span was entered.
        let _ = span.set_parent(parent);
    }
}

/// Returns the headers by which another process continues the current trace; none if there is no trace.
#[must_use]
pub fn headers() -> HashMap<String, String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Context::current(), &mut headers);
    headers.retain(|_, value| !value.is_empty());
    headers
}

/// Lets a task continue the current trace. The span of the trace ends after the task.
pub fn in_current_trace<F: Future>(task: F) -> WithContext<F> {
    task.with_current_context()
}

/// Adds the number of the account to the current span. Call it at most once for each span.
pub fn set_account(id: i64) {
    Context::current().span().set_attribute(KeyValue::new("account_id", id));
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn trace_of(parent: Option<&'static str>) -> (TraceId, HashMap<String, String>) {
        let provider = SdkTracerProvider::builder().build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans), || {
            let span = tracing::info_span!("test");
            continue_from(&span, |name| parent.filter(|_| name == "traceparent"));
            let _entered = span.enter();
            (Context::current().span().span_context().trace_id(), headers())
        })
    }

    #[test]
    fn a_valid_header_is_continued_and_passed_on() {
        let (trace, headers) = trace_of(Some(PARENT));
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(headers["traceparent"].starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert_ne!(headers["traceparent"], PARENT);
        assert!(!headers.contains_key("tracestate"));
    }

    #[test]
    fn other_traces_are_new() {
        for parent in [None, Some("00-0af7651916cd43dd8448eb211c80319c"), Some("abc")] {
            let (trace, headers) = trace_of(parent);
            assert_ne!(trace, TraceId::INVALID, "{parent:?}");
            assert!(headers["traceparent"].contains(&trace.to_string()), "{parent:?}");
        }
    }

    #[test]
    fn without_a_trace_there_are_no_headers() {
        assert_eq!(Context::current().span().span_context().span_id(), SpanId::INVALID);
        assert!(headers().is_empty());
    }
}
