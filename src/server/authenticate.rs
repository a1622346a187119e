//! Whether a client is whom it says. Under trust its word is enough; otherwise it proves by
//! SCRAM-SHA-256 that it knows the role's password, over an encrypted channel bound to the server's
//! certificate. Whether the role does not exist, has no password, or the password was wrong, looks the
//! same from outside.

use super::{
    fault::Fault,
    message::{SMALL_MESSAGE_BYTES_MAX, violation},
    shared::Shared,
    wire::Wire,
};
use crate::{
    error::{Error, SqlState},
    scram::{self, Channel, Exchange, Verifier},
};
use bytes::{Buf, Bytes};
use pgwire::messages::startup::{
    Authentication, MESSAGE_TYPE_BYTE_PASSWORD_MESSAGE_FAMILY as PASSWORD,
};
use tracing::info;

/// Returns when the client may act as `role`; AuthenticationOk waits in the output.
pub(super) async fn authenticate(
    wire: &mut Wire,
    shared: &Shared,
    role: &str,
) -> Result<(), Fault> {
    let login = shared.engine.login(role);
    if shared.engine.requires_password() {
        let verifier = login.as_ref().ok().and_then(|login| login.verifier.as_deref());
        let verifier = verifier
            .and_then(Verifier::parse)
            .unwrap_or_else(|| Verifier::mock(&shared.mock_key, role));
        prove(wire, verifier, role).await?;
    }
    if !login.map_err(Fault::Fatal)?.can_login {
        return Err(Fault::Fatal(Error::new(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            format!("role \"{role}\" is not permitted to log in"),
        )));
    }
    wire.send(&Authentication::Ok)?;
    Ok(())
}

async fn prove(wire: &mut Wire, verifier: Verifier, role: &str) -> Result<(), Fault> {
    let end_point = wire.end_point().map(<[u8]>::to_vec);
    let plus = end_point.is_some().then_some(scram::MECHANISM_PLUS);
    let offered = plus.into_iter().chain([scram::MECHANISM]).map(str::to_owned);
    wire.send(&Authentication::SASL(offered.collect()))?;
    let (mechanism, first) = initial_response(response(wire).await?)?;
    let channel = match (&end_point, &mechanism[..]) {
        (None, name) if name == scram::MECHANISM.as_bytes() => Channel::Plain,
        (Some(_), name) if name == scram::MECHANISM.as_bytes() => Channel::Declined,
        (Some(end_point), name) if name == scram::MECHANISM_PLUS.as_bytes() => {
            Channel::Bound(end_point)
        }
        _ => {
            let message = "client selected an invalid SASL authentication mechanism";
            return Err(Fault::Fatal(violation(message)));
        }
    };
    let exchange = Exchange::answer(verifier, channel, &first).map_err(Fault::Fatal)?;
    wire.send(&Authentication::SASLContinue(exchange.challenge().to_owned().into()))?;
    match exchange.finish(&response(wire).await?).map_err(Fault::Fatal)? {
        Some(signature) => {
            wire.send(&Authentication::SASLFinal(signature.into()))?;
            Ok(())
        }
        None => {
            info!(role, "password authentication failed");
            Err(Fault::Fatal(Error::new(
                SqlState::INVALID_PASSWORD,
                format!("password authentication failed for user \"{role}\""),
            )))
        }
    }
}

/// What the client says to what was sent.
async fn response(wire: &mut Wire) -> Result<Bytes, Fault> {
    wire.flush().await?;
    let frame = wire.frame(|kind| (kind == PASSWORD).then_some(SMALL_MESSAGE_BYTES_MAX)).await?;
    // Closed: psql does so to ask its user for the password.
    Ok(frame.ok_or(std::io::ErrorKind::UnexpectedEof).map_err(std::io::Error::from)?.body)
}

/// The mechanism that a SASLInitialResponse names, and the client's first message.
fn initial_response(mut body: Bytes) -> Result<(Bytes, Bytes), Fault> {
    let malformed = || Fault::Fatal(violation("malformed SASL initial response"));
    let end = body.iter().position(|&byte| byte == 0).ok_or_else(malformed)?;
    let mechanism = body.split_to(end);
    body.advance(1);
    match body.try_get_i32().map(usize::try_from) {
        Ok(Ok(length)) if length == body.len() => Ok((mechanism, body)),
        _ => Err(malformed()),
    }
}
