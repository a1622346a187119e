//! Bodies: JSON in, gzip or not, and bounded; JSON out, gzip where the client takes it. Lines are sent as
//! they come, and never by gzip.

use super::{Api, refusal::Refusal};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::StreamExt;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, Unexpected};
use std::{
    io::{Read as _, Write as _},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All bodies that are being read or worked on may take as much as so many of the longest.
const LONGEST_MAX: usize = 2;
/// However short bodies may be, so many bytes may be read at a time.
const ROOM_BYTES_MIN: usize = 64 << 20;
/// What bodies are counted in.
const UNIT_BYTES: usize = 4096;
/// How long a client may be silent within a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longer bodies are inflated and read away from the threads that answer.
const QUICK_BYTES_MAX: usize = 64 << 10;
/// Shorter answers are not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 1024;
/// The type of a body in lines, each of them JSON.
pub(super) const LINES: &str = "application/x-ndjson";

/// The memory that bodies take together.
#[derive(Debug, Clone)]
pub(super) struct Room {
    units: Arc<Semaphore>,
    body_bytes_max: usize,
}

impl Room {
    /// For bodies of at most so many bytes.
    pub(super) fn new(body_bytes_max: usize) -> Self {
        let bytes = body_bytes_max.saturating_mul(LONGEST_MAX).max(ROOM_BYTES_MIN);
        let units = (bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), body_bytes_max }
    }

    fn too_long(&self) -> Refusal {
        let message = format!("the body is longer than {} bytes", self.body_bytes_max);
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// Takes some of it until the permit is dropped.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| {
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many large requests at a time; try again",
            )
        })
    }
}

/// The body of a request as JSON of a shape.
pub(super) struct Sent<T> {
    pub(super) value: T,
    /// The room that it takes.
    _room: Vec<OwnedSemaphorePermit>,
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<Arc<Api>> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let is_gzip = is_gzip(&parts.headers)?;
        let mut room = Vec::new();
        let bytes = read(body, api, &mut room).await?;
        let (budget, is_long) = (api.room.clone(), bytes.len() > QUICK_BYTES_MAX);
        let work = move || {
            let bytes = if is_gzip { inflate(&bytes, &budget, &mut room)? } else { bytes };
            room.push(budget.take(tree_bytes(&bytes))?);
            Ok(Self { value: parse(&bytes)?, _room: room })
        };
        if !is_gzip && !is_long {
            return work();
        }
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the body failed"))
        })
    }
}

/// No page of another site can send this type without asking first.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "expected a request with `Content-Type: application/json`",
    ))
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    match encoding.unwrap_or(b"identity").to_ascii_lowercase().as_slice() {
        b"identity" | b"" => Ok(false),
        b"gzip" | b"x-gzip" => Ok(true),
        _ => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected a Content-Encoding of gzip or identity",
        )),
    }
}

/// Reads a body as it comes, as long as there is room.
async fn read(
    body: Body,
    api: &Api,
    room: &mut Vec<OwnedSemaphorePermit>,
) -> Result<Vec<u8>, Refusal> {
    // Said beforehand, it is refused beforehand.
    let said = usize::try_from(axum::body::HttpBody::size_hint(&body).lower());
    let Some(said) = said.ok().filter(|&bytes| bytes <= api.room.body_bytes_max) else {
        return Err(api.room.too_long());
    };
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    // What was taken room for, and is not there yet.
    let mut spare = 0;
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            () = api.clock.sleep(SILENCE_MAX) => {
                let message = "the body did not come to its end in time";
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message));
            }
        };
        let Some(chunk) = chunk else { return Ok(bytes) };
        let chunk: Bytes = chunk.map_err(|error| {
            let message = format!("the body could not be read: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, message)
        })?;
        if bytes.len() + chunk.len() > api.room.body_bytes_max {
            return Err(api.room.too_long());
        }
        grow(chunk.len(), &mut spare, &api.room, room)?;
        if bytes.len() <= QUICK_BYTES_MAX && bytes.len() + chunk.len() > QUICK_BYTES_MAX {
            // It is in earnest: what is to come has its place, which is no memory before it comes.
            bytes.reserve_exact(said.saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(&chunk);
    }
}

/// Takes room for more bytes, a good piece at a time.
fn grow(
    bytes: usize,
    spare: &mut usize,
    all: &Room,
    room: &mut Vec<OwnedSemaphorePermit>,
) -> Result<(), Refusal> {
    if bytes > *spare {
        let piece = (bytes - *spare).max(QUICK_BYTES_MAX);
        room.push(all.take(piece)?);
        *spare += piece;
    }
    *spare -= bytes;
    Ok(())
}

fn inflate(
    bytes: &[u8],
    all: &Room,
    room: &mut Vec<OwnedSemaphorePermit>,
) -> Result<Vec<u8>, Refusal> {
    let (mut inflated, mut piece, mut spare) = (Vec::new(), vec![0; QUICK_BYTES_MAX], 0);
    let mut decoder = GzDecoder::new(bytes);
    loop {
        let count = decoder.read(&mut piece).map_err(|error| {
            let message = format!("the body is not what gzip writes: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, message)
        })?;
        if count == 0 {
            return Ok(inflated);
        }
        if inflated.len() + count > all.body_bytes_max {
            return Err(all.too_long());
        }
        grow(count, &mut spare, all, room)?;
        inflated.extend_from_slice(&piece[..count]);
    }
}

/// About how much memory the values of a JSON text take beside its own length: a comma or a bracket
/// is one value more, and a value is larger than the shortest text of one.
fn tree_bytes(text: &[u8]) -> usize {
    // Counts of one byte, so that many bytes are looked at in one instruction.
    let of_some = |some: &[u8]| -> u8 {
        some.iter().map(|byte| u8::from(matches!(byte, b',' | b'[' | b'{'))).sum()
    };
    let values: usize = text.chunks(255).map(|some| usize::from(of_some(some))).sum();
    values.saturating_mul(size_of::<serde_json::Value>()).saturating_sub(text.len())
}

/// Text that is no JSON is 400, JSON of another shape 422.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // Serde would also take a list of what an object holds, by its place.
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') && serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return Err(shape(&serde_json::Error::invalid_type(Unexpected::Seq, &"an object")));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            shape(&error)
        } else {
            let message = format!("Failed to parse the request body as JSON: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, message)
        }
    })
}

/// JSON of another shape than is expected.
pub(super) fn shape(error: &serde_json::Error) -> Refusal {
    let message = format!("Failed to deserialize the JSON body into the target type: {error}");
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}

/// Compresses the answer for a client that takes gzip.
pub(super) async fn compressed(request: Request, next: Next) -> Response {
    let accepts = accepts_gzip(request.headers());
    let response = next.run(request).await;
    let is_stream = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == LINES);
    if !accepts || is_stream || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Others are made whole before they are sent.
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        let message = "the answer could not be made";
        return axum::response::IntoResponse::into_response(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            message,
        ));
    };
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if bytes.len() < COMPRESSED_BYTES_MIN {
        return Response::from_parts(parts, Body::from(bytes));
    }
    let Some(compressed) = deflated(bytes.clone()).await else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(compressed))
}

/// The same by gzip; what is long is made away from the threads that answer.
async fn deflated(bytes: Bytes) -> Option<Vec<u8>> {
    let is_quick = bytes.len() <= QUICK_BYTES_MAX;
    let work = move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).and_then(|()| encoder.finish()).ok()
    };
    if is_quick { work() } else { tokio::task::spawn_blocking(work).await.ok().flatten() }
}

/// Whether gzip is among what a client takes, and not at a weight of zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    codings.map(str::trim).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.unwrap_or(1.0_f32) > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_what_a_client_asks_for() {
        let accepts = |value: &'static str| {
            let headers = [(header::ACCEPT_ENCODING, HeaderValue::from_static(value))];
            accepts_gzip(&headers.into_iter().collect())
        };
        for yes in ["gzip", "deflate, gzip;q=0.5", "GZIP", "br,gzip"] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["identity", "", "gzip;q=0", "br"] {
            assert!(!accepts(no), "{no}");
        }
    }

    #[test]
    fn a_body_is_an_object() {
        #[derive(Debug, serde::Deserialize)]
        struct Two {
            a: u8,
            b: u8,
        }
        let told = |text: &str| format!("{:?}", parse::<Two>(text.as_bytes()).unwrap_err());
        let two = parse::<Two>(b" {\"a\": 1, \"b\": 2}").unwrap();
        assert_eq!((two.a, two.b), (1, 2));
        assert!(told(" [1, 2]").contains("422"), "{}", told(" [1, 2]"));
        assert!(told("[1, 2").contains("400"), "{}", told("[1, 2"));
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..65 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 1 << 20);
        let fault = inflate(&bomb, &Room::new(64 << 20), &mut Vec::new()).unwrap_err();
        assert!(format!("{fault:?}").contains("413"), "{fault:?}");
    }
}
