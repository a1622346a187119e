//! Events become an answer: one document when all is done, or a line for each as it comes.

use super::{
    super::{body::LINES, refusal},
    run::{Done, Event, Failed},
};
use crate::{
    clock::SharedClock,
    error::{Error, SqlState},
    namespaces::Fault,
    session::{Notice, OutputColumn},
};
use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::{convert::Infallible, time::Duration};
use tokio::sync::mpsc::Receiver;

/// An answer that is one document.
pub(super) async fn document(
    mut events: Receiver<Event>,
    clock: &SharedClock,
    begun: Duration,
) -> Response {
    let (mut results, mut open) = (Vec::new(), None);
    let took = || clock.elapsed().saturating_sub(begun);
    while let Some(event) = events.recv().await {
        match event {
            Event::Columns(columns) => open = Some((columns, Vec::new())),
            Event::Rows(piece) => {
                if let Some((_, rows)) = &mut open {
                    if !rows.is_empty() {
                        rows.push(b',');
                    }
                    rows.extend_from_slice(&piece);
                }
            }
            Event::Done(done) => {
                if !results.is_empty() {
                    results.push(b',');
                }
                result(&mut results, open.take(), &done);
            }
            Event::Failed(fault) => return failed(&fault, &results, took()),
            Event::End => {
                let mut body = b"{\"status\":\"OK\",\"results\":[".to_vec();
                body.append(&mut results);
                body.extend_from_slice(format!("],\"elapsed_ms\":{}}}", ms(took())).as_bytes());
                return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
            }
        }
    }
    failed(&cut_off(), &results, took())
}

/// One result of a document.
fn result(out: &mut Vec<u8>, rows: Option<(impl AsRef<[OutputColumn]>, Vec<u8>)>, done: &Done) {
    out.push(b'{');
    if let Some((columns, rows)) = rows {
        out.extend_from_slice(
            format!("\"columns\":{},\"rows\":[", shown(columns.as_ref())).as_bytes(),
        );
        out.extend_from_slice(&rows);
        out.extend_from_slice(b"],");
    }
    let end = end(done).to_string();
    // The braces are the result's.
    out.extend_from_slice(&end.as_bytes()[1..]);
}

/// An answer in lines, from its first event on.
pub(super) fn lines(
    first: Event,
    events: Receiver<Event>,
    clock: SharedClock,
    begun: Duration,
) -> Response {
    // What comes next, and whether anything does behind it.
    let stream = futures::stream::unfold(Some((Some(first), events)), move |next| {
        let clock = SharedClock::clone(&clock);
        async move {
            let (first, mut events) = next?;
            let event = match first {
                Some(event) => Some(event),
                None => events.recv().await,
            };
            let mut is_last = false;
            let mut line = match event {
                Some(Event::Rows(piece)) => [b"{\"rows\":[".as_slice(), &piece, b"]}"].concat(),
                Some(Event::Columns(columns)) => {
                    json!({ "columns": shown(&columns) }).to_string().into_bytes()
                }
                Some(Event::Done(done)) => end(&done).to_string().into_bytes(),
                last => {
                    is_last = true;
                    let mut told = match last {
                        Some(Event::Failed(fault)) => fault_of(&fault),
                        Some(Event::End) => json!({ "status": "OK" }),
                        _ => fault_of(&cut_off()),
                    };
                    told["elapsed_ms"] = json!(ms(clock.elapsed().saturating_sub(begun)));
                    told.to_string().into_bytes()
                }
            };
            line.push(b'\n');
            let next = (!is_last).then_some((None, events));
            Some((Ok::<_, Infallible>(Bytes::from(line)), next))
        }
    });
    ([(header::CONTENT_TYPE, LINES)], Body::from_stream(stream)).into_response()
}

/// The request's task ended before its end: the server stops.
fn cut_off() -> Failed {
    let error = Error::new(SqlState::ADMIN_SHUTDOWN, "the request was cut off");
    Failed { error, statement: 0, notices: Vec::new() }
}

/// An answer to what gave nothing: its first event says why, if there is one.
pub(super) fn nothing(event: Option<Event>, took: Duration) -> Response {
    match event {
        Some(Event::Failed(fault)) => failed(&fault, &[], took),
        _ => failed(&cut_off(), &[], took),
    }
}

/// An answer that failed, with what came before.
pub(super) fn failed(fault: &Failed, results: &[u8], took: Duration) -> Response {
    let status = status(&fault.error);
    let mut told = fault_of(fault);
    told["elapsed_ms"] = json!(ms(took));
    let mut body = told.to_string().into_bytes();
    body.pop();
    body.extend_from_slice(b",\"results\":[");
    body.extend_from_slice(results);
    body.extend_from_slice(b"]}");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn status(error: &Error) -> StatusCode {
    match error.state() {
        SqlState::QUERY_CANCELED => StatusCode::REQUEST_TIMEOUT,
        _ => refusal::status(&Fault::about(error)),
    }
}

fn shown(columns: &[OutputColumn]) -> Value {
    let one = |column: &OutputColumn| json!({ "name": column.name, "type": column.kind.to_string(), "oid": column.kind.oid() });
    columns.iter().map(one).collect()
}

fn end(done: &Done) -> Value {
    let mut told = json!({
        "tag": done.tag,
        "row_count": done.rows,
        "truncated": done.is_truncated,
        "elapsed_ms": ms(done.took),
    });
    if !done.notices.is_empty() {
        told["notices"] = notices(&done.notices);
    }
    told
}

fn fault_of(fault: &Failed) -> Value {
    let mut told = Map::new();
    told.insert("status".into(), json!("error"));
    told.insert("error".into(), json!(fault.error.message()));
    fields(&mut told, &fault.error);
    told.insert("statement".into(), json!(fault.statement));
    if !fault.notices.is_empty() {
        told.insert("notices".into(), notices(&fault.notices));
    }
    Value::Object(told)
}

fn notices(notices: &[Notice]) -> Value {
    let one = |notice: &Notice| {
        let mut told = Map::new();
        told.insert("severity".into(), json!(notice.severity));
        told.insert("message".into(), json!(notice.message.message()));
        fields(&mut told, &notice.message);
        Value::Object(told)
    };
    notices.iter().map(one).collect()
}

/// What is known beside the message.
fn fields(told: &mut Map<String, Value>, error: &Error) {
    told.insert("sqlstate".into(), json!(error.state().as_str()));
    let fields = error.fields();
    if let Some(position) = fields.position {
        told.insert("position".into(), json!(position));
    }
    for (name, field) in [
        ("detail", &fields.detail),
        ("hint", &fields.hint),
        ("context", &fields.context),
        ("schema", &fields.schema),
        ("table", &fields.table),
        ("column", &fields.column),
        ("constraint", &fields.constraint),
    ] {
        if let Some(text) = field {
            told.insert(name.into(), json!(text));
        }
    }
}

/// Milliseconds, to the microsecond.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
