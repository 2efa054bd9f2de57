//! Makes a span of each SQL statement.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use clock::Clock;
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer;

/// Turns the events that sqlx emits after each statement into spans. Statements outside of a trace have none.
pub(crate) struct Statements {
    tracer: SdkTracer,
}

impl Statements {
    /// The target of sqlx's events.
    pub(crate) const TARGET: &str = "sqlx::query";

    pub(crate) fn new(tracer: SdkTracer) -> Self {
        Self { tracer }
    }
}

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _context: layer::Context<'_, S>) {
        let parent = Context::current();
        if !parent.has_active_span() {
            return;
        }
        let mut statement = Statement::default();
        event.record(&mut statement);
        // It contains values.
        if statement.summary.starts_with("BEGIN") {
            return;
        }
        let end = SystemTime::from(Clock::System.now());
        let span = statement.into_span(end);
        self.tracer.build_with_context(span, &parent).end_with_timestamp(end);
    }
}

/// What sqlx reports about a statement. Its values are not part of the text.
#[derive(Default)]
struct Statement {
    /// The first words of the text.
    summary: String,
    /// The whole text; empty if the summary is the whole text.
    text: String,
    rows: u64,
    seconds: f64,
}

impl Statement {
    fn into_span(self, end: SystemTime) -> SpanBuilder {
        let summary = self.summary.trim_end_matches(" …").to_owned();
        let text = if self.text.is_empty() {
            &summary
        } else {
            self.text.trim()
        };
        let attributes = vec![
            KeyValue::new("db.system.name", "postgresql"),
            KeyValue::new("db.query.text", text.to_owned()),
            KeyValue::new(
                "db.response.returned_rows",
                i64::try_from(self.rows).unwrap_or(i64::MAX),
            ),
        ];
        let elapsed = Duration::try_from_secs_f64(self.seconds).unwrap_or_default();
        SpanBuilder::from_name(summary)
            .with_kind(SpanKind::Client)
            .with_start_time(end.checked_sub(elapsed).unwrap_or(end))
            .with_attributes(attributes)
    }
}

impl Visit for Statement {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = value;
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.text),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
