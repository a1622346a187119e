//! Waiting for a statement with an eye on its client.

use super::wire::Wire;
use crate::session::Canceller;
use std::pin::pin;
use tracing::debug;

/// Waits for `work`, and cancels it when the client goes away meanwhile. Work that is ready at
/// once costs no look at the socket.
pub(super) async fn watched<T>(
    wire: &mut Wire,
    canceller: &Canceller,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = wire.vanished() => {}
    }
    debug!("the client vanished; its statement is cancelled");
    canceller.cancel();
    work.await
}
