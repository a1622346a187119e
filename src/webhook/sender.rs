//! One attempt: a signed request, and what its answer means.

use super::{
    address::{Guard, Reach, check_host},
    letter::{Endpoint, Letter},
    secret,
};
use crate::{
    clock::SharedClock,
    error::{Error, Result},
};
use reqwest::{Client, StatusCode, header, redirect};
use std::{error::Error as _, fmt::Write as _, sync::Arc, time::Duration};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// So much of an answer is read; the rest is cut off.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// So many characters of it are kept with an error.
const SHOWN_MAX: usize = 200;

/// What sends requests.
#[derive(Debug, Clone)]
pub struct Sender {
    secure: Client,
    plain: Client,
    reach: Reach,
    clock: SharedClock,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// 2xx.
    Taken(u16),
    /// Anything else.
    Failed {
        status: Option<u16>,
        error: String,
        /// When the endpoint asks to be tried again.
        retry_after: Option<Duration>,
    },
    /// 410: the endpoint wants no more.
    Gone,
}

impl Sender {
    /// To the addresses within reach.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(reach: Reach, clock: SharedClock) -> Result<Self> {
        let client = |is_plain: bool| {
            Client::builder()
                .user_agent(concat!("nearlake/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .https_only(!is_plain)
                .dns_resolver(Arc::new(Guard::new(reach, is_plain)))
                .connect_timeout(CONNECT_MAX)
                .pool_max_idle_per_host(4)
                .build()
                .map_err(|error| Error::internal("no client for webhooks").source(error))
        };
        Ok(Self { secure: client(false)?, plain: client(true)?, reach, clock })
    }

    /// Sends a letter once.
    pub(super) async fn send(&self, letter: &Letter, to: &Endpoint) -> Answer {
        let failed = |error: String| Answer::Failed { status: None, error, retry_after: None };
        if let Err(error) = check_host(&to.url, self.reach) {
            return failed(error.message().to_owned());
        }
        let client = if to.url.scheme() == "http" { &self.plain } else { &self.secure };
        let now = self.clock.now_micros();
        let timestamp = now.div_euclid(1_000_000);
        let live = to.secrets.iter().filter(|(_, until)| until.is_none_or(|until| until > now));
        let live = live.map(|(secret, _)| secret);
        let signature = secret::signatures(live, &letter.id, timestamp, &letter.payload);
        let request = client
            .post(to.url.clone())
            .timeout(to.timeout)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &*letter.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(letter.payload.to_string());
        match request.send().await {
            Err(error) => failed(described(&error)),
            Ok(response) => answer(response).await,
        }
    }
}

async fn answer(mut response: reqwest::Response) -> Answer {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    // Read to its end, the connection serves the next request as well.
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    if status.is_success() {
        return Answer::Taken(status.as_u16());
    }
    if status == StatusCode::GONE {
        return Answer::Gone;
    }
    let mut error = format!("the endpoint answered {status}");
    if status.is_redirection() {
        error.push_str(": redirects are not followed");
    }
    let text = String::from_utf8_lossy(&body);
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
    if !text.is_empty() {
        let _ = write!(error, ": {text}");
    }
    let retry_after = retry_after.map(Duration::from_secs);
    Answer::Failed { status: Some(status.as_u16()), error, retry_after }
}

/// An error with its causes, without the URL, which may have a token in it.
fn described(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the endpoint did not answer in time".to_owned();
    }
    let mut text = "the request failed".to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
