//! Traces: a request's or a statement's span, and those of the floors below it, as one trace with what
//! the client did around it.
//!
//! A client says which trace it is in by a `traceparent` (W3C Trace Context): as a header over HTTP, in
//! a comment at the end of a statement over the other wire (sqlcommenter). The trace's id stands in the
//! log either way. Where a collector is named, spans are sent to it by OTLP, in its JSON form, over
//! HTTP: in batches, from a bounded queue, by a task of its own, so that a collector that is away costs
//! spans and nothing else.

use crate::{
    clock::SharedClock,
    config::Otlp,
    error::{Error, Result, SqlState},
};
use serde_json::{Value, json};
use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};
use tracing::{
    Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

/// Spans that wait to be sent; one more is lost.
const QUEUE_MAX: usize = 8192;
/// Spans that are sent together, and how long the first of them waits for others.
const BATCH_MAX: usize = 512;
const GATHER: Duration = Duration::from_millis(500);
/// How long a collector may take over a batch, how often it is asked to, and how long between.
const SEND_MAX: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// How long the last spans have when the process ends.
const LAST_MAX: Duration = Duration::from_secs(5);

/// Spans that collectors took, and those that they did not.
pub(super) static SENT: AtomicU64 = AtomicU64::new(0);
pub(super) static LOST: AtomicU64 = AtomicU64::new(0);

/// The sending of spans.
#[derive(Debug)]
pub struct Tracing {
    stop: tokio_util::sync::CancellationToken,
    task: JoinHandle<()>,
    clock: SharedClock,
}

impl Tracing {
    /// Sends what waits, and no more after that.
    pub async fn finish(self) {
        self.stop.cancel();
        tokio::select! {
            _ = self.task => {}
            () = self.clock.sleep(LAST_MAX) => tracing::warn!("the last spans were not sent"),
        }
    }
}

/// What collects spans, and what sends them.
pub(super) fn export<S>(
    otlp: &Otlp,
    runtime: &Handle,
    clock: SharedClock,
) -> Result<(impl Layer<S> + use<S>, Tracing)>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let client = reqwest::Client::builder().timeout(SEND_MAX).build().map_err(|error| {
        let message = format!("cannot send traces to {}: {error}", otlp.endpoint);
        Error::new(SqlState::CONFIG_FILE_ERROR, message)
    })?;
    let (spans, queue) = mpsc::channel(QUEUE_MAX);
    let stop = tokio_util::sync::CancellationToken::new();
    let url = format!("{}/v1/traces", otlp.endpoint.trim_end_matches('/'));
    let sender = Sender { client, url, clock: SharedClock::clone(&clock) };
    let task = runtime.spawn(sender.run(queue, stop.clone()));
    let collect = Collect { spans, sample: otlp.sample, clock: SharedClock::clone(&clock) };
    // All of our spans, whatever the log shows; events stay in the log.
    let ours = Targets::new().with_target("nearlake", tracing::Level::DEBUG);
    Ok((collect.with_filter(ours), Tracing { stop, task, clock }))
}

/// Turns spans that close into messages to a collector.
struct Collect {
    spans: mpsc::Sender<Value>,
    sample: f64,
    clock: SharedClock,
}

/// A span that is open.
struct Open {
    trace: u128,
    id: u64,
    /// 0 where the trace begins with it.
    parent: u64,
    is_sampled: bool,
    /// Whether it is the outermost of this process.
    is_outermost: bool,
    begun_micros: i64,
    attributes: Vec<Value>,
}

impl<S> Layer<S> for Collect
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut open = self.open(&span);
        attributes.record(&mut open);
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(open);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        if !open.is_sampled {
            return;
        }
        let told = open.tell(span.name(), self.clock.now_micros());
        if self.spans.try_send(told).is_err() {
            LOST.fetch_add(1, Relaxed);
        }
    }
}

impl Collect {
    /// A span as it begins: within the one around it, or as a trace of its own.
    fn open<'s, S: LookupSpan<'s>>(&self, span: &SpanRef<'s, S>) -> Open {
        let begun_micros = self.clock.now_micros();
        let id = self.clock.random().max(1);
        let around = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            let open = extensions.get::<Open>()?;
            Some((open.trace, open.id, open.is_sampled))
        });
        let is_outermost = around.is_none();
        let (trace, parent, is_sampled) = around.unwrap_or_else(|| {
            let [high, low] = [self.clock.random(), self.clock.random().max(1)];
            #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
            let lot = low as f64 / u64::MAX as f64;
            (u128::from(high) << 64 | u128::from(low), 0, lot < self.sample)
        });
        let attributes = Vec::new();
        Open { trace, id, parent, is_sampled, is_outermost, begun_micros, attributes }
    }
}

impl Open {
    /// The span in OTLP's JSON, where ids are hexadecimal and 64 bits are texts.
    fn tell(self, name: &str, ended_micros: i64) -> Value {
        const INTERNAL: u8 = 1;
        const SERVER: u8 = 2;
        let nanos = |micros: i64| format!("{micros}000");
        let mut told = json!({
            "traceId": format!("{:032x}", self.trace),
            "spanId": format!("{:016x}", self.id),
            "name": name,
            "kind": if self.is_outermost { SERVER } else { INTERNAL },
            "startTimeUnixNano": nanos(self.begun_micros),
            "endTimeUnixNano": nanos(ended_micros.max(self.begun_micros)),
            "attributes": self.attributes,
        });
        if self.parent != 0 {
            told["parentSpanId"] = Value::from(format!("{:016x}", self.parent));
        }
        told
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.attributes.push(json!({ "key": field.name(), "value": value }));
    }
}

impl Visit for Open {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        match field.name() {
            TRACEPARENT => {
                if let Some(parent) = Traceparent::parse(&text) {
                    (self.trace, self.parent) = (parent.trace, parent.span);
                    self.is_sampled = parent.is_sampled;
                }
            }
            "trace" => {}
            _ => self.put(field, json!({ "stringValue": text })),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!({ "stringValue": value }));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!({ "intValue": value.to_string() }));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!({ "intValue": value.to_string() }));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!({ "doubleValue": value }));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!({ "boolValue": value }));
    }
}

/// Sends spans to a collector.
struct Sender {
    client: reqwest::Client,
    url: String,
    clock: SharedClock,
}

impl Sender {
    /// Sends until it is stopped, and then what waits.
    async fn run(
        self,
        mut queue: mpsc::Receiver<Value>,
        stop: tokio_util::sync::CancellationToken,
    ) {
        let mut batch = Vec::new();
        while !stop.is_cancelled() {
            tokio::select! {
                taken = queue.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { return },
                () = stop.cancelled() => break,
            }
            tokio::select! {
                () = self.clock.sleep(GATHER) => {}
                () = stop.cancelled() => {}
            }
            while batch.len() < BATCH_MAX
                && let Ok(span) = queue.try_recv()
            {
                batch.push(span);
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        while let Ok(span) = queue.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
    }

    async fn send(&self, spans: Vec<Value>) {
        let count = spans.len() as u64;
        let text = |key: &str, text: &str| json!({ "key": key, "value": { "stringValue": text } });
        let version = env!("CARGO_PKG_VERSION");
        let service = [text("service.name", "nearlake"), text("service.version", version)];
        let scope = json!({ "name": "nearlake", "version": version });
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": service },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }] });
        let body = bytes::Bytes::from(body.to_string());
        for attempt in 1..=ATTEMPTS {
            let request = self.client.post(&self.url).header("content-type", "application/json");
            match request.body(body.clone()).send().await {
                Ok(answer) if answer.status().is_success() => {
                    SENT.fetch_add(count, Relaxed);
                    return;
                }
                // What it does not understand now it will not understand later.
                Ok(answer) if answer.status().is_client_error() && answer.status() != 429 => {
                    tracing::warn!(status = %answer.status(), "the collector refuses spans");
                    break;
                }
                Ok(_) | Err(_) if attempt < ATTEMPTS => self.clock.sleep(PAUSE * attempt).await,
                Ok(answer) => tracing::warn!(status = %answer.status(), "spans are lost"),
                Err(error) => tracing::warn!(%error, "spans are lost"),
            }
        }
        LOST.fetch_add(count, Relaxed);
    }
}

/// The field of a span that says which trace it belongs to.
const TRACEPARENT: &str = "traceparent";

/// Which trace a client is in, and where: `00-<trace>-<span>-<flags>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace: u128,
    span: u64,
    is_sampled: bool,
}

impl Traceparent {
    /// Reads a header, or what stands in a comment; `None` where it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut part = |digits: usize| {
            let part = parts.next()?;
            let is_hex = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (part.len() == digits && is_hex).then_some(part)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let rest = parts.next();
        // Later versions may say more behind this; ff is none.
        if version == "ff" || (version == "00" && rest.is_some()) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|&id| id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|&id| id != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self { trace, span, is_sampled: flags & 1 == 1 })
    }

    /// What the comment at the end of a statement says:
    /// `/*application='shop',traceparent='00-…-01'*/`.
    #[must_use]
    pub fn of_comment(statement: &str) -> Option<Self> {
        let text = statement.trim_end().trim_end_matches(';').trim_end();
        let text = text.strip_suffix("*/")?;
        let comment = &text[text.rfind("/*")? + 2..];
        if comment.contains("*/") {
            return None;
        }
        let value = comment.split(',').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name.trim() == "traceparent").then_some(value.trim())
        })?;
        Self::parse(value.strip_prefix('\'')?.strip_suffix('\'')?)
    }

    /// Makes a span, which has none within it yet, part of the trace. It has the fields `trace` and
    /// `traceparent`, both empty.
    pub fn adopt(self, span: &Span) {
        span.record("trace", tracing::field::display(format_args!("{:032x}", self.trace)));
        span.record(TRACEPARENT, tracing::field::display(self));
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_as_the_standard_says() {
        let parent = Traceparent::parse(PARENT).unwrap();
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(parent.span, 0xb7ad_6b71_6920_3331);
        assert!(parent.is_sampled);
        assert_eq!(parent.to_string(), PARENT);
        assert!(!Traceparent::parse(&PARENT.replace("-01", "-00")).unwrap().is_sampled);
        assert!(Traceparent::parse(&format!("{}-more", PARENT.replacen("00", "01", 1))).is_some());
        for wrong in [
            "",
            "00-1-2-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(Traceparent::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_comment_at_the_end_of_a_statement_names_its_trace() {
        let parent = Traceparent::parse(PARENT);
        let of = |statement: &str| Traceparent::of_comment(statement);
        assert_eq!(of(&format!("SELECT 1 /*traceparent='{PARENT}'*/")), parent);
        assert_eq!(of(&format!("SELECT 1 /* app='x', traceparent='{PARENT}' */;\n")), parent);
        assert_eq!(of(&format!("SELECT '/*traceparent=''{PARENT}''*/'")), None);
        assert_eq!(of(&format!("/*traceparent='{PARENT}'*/ SELECT 1")), None);
        assert_eq!(of(&format!("SELECT 1 /* /* traceparent='{PARENT}' */ */")), None);
        assert_eq!(of("SELECT 1 /*traceparent='nonsense'*/"), None);
        assert_eq!(of("SELECT 1"), None);
    }
}
