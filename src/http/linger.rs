//! Bodies that nobody reads to their end: a request that is refused early would otherwise be answered
//! and its connection closed at once, and a client that is still sending finds a broken pipe where the
//! answer was. So the rest is read for a while, and forgotten.

use crate::clock::SharedClock;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::runtime::Handle;

/// How long the rest of a body is read for nothing.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// A body whose rest is read when it is dropped.
pub(super) struct Lingering {
    body: Option<Incoming>,
    clock: SharedClock,
    /// Whether its client is sending it. One that asked to be told to begin was not told yet.
    is_coming: bool,
}

impl Lingering {
    /// Over the body of a request. `waits` where its client sends none of it before it is asked for.
    pub(super) fn new(body: Incoming, waits: bool, clock: SharedClock) -> Self {
        Self { body: Some(body), clock, is_coming: !waits }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.is_coming = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let is_left = self.is_coming && !self.is_end_stream();
        let Some((mut body, node)) = self.body.take().zip(Handle::try_current().ok()) else {
            return;
        };
        if is_left {
            let clock = SharedClock::clone(&self.clock);
            node.spawn(async move {
                let rest = async {
                    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    }
                };
                tokio::select! {
                    () = rest => {}
                    () = clock.sleep(LINGER_MAX) => {}
                }
            });
        }
    }
}
