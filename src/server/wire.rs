//! The socket of one client, with a buffer in each direction. Memory follows the bytes that came,
//! never the length that a header claims. Written messages collect until there are enough of
//! them to be worth a system call, or until someone says [`Wire::flush`].

use super::{
    fault::Fault,
    message::{Frame, unknown_kind, violation},
    shared::Counters,
};
use crate::{clock::SharedClock, error::Error, tls::Certified};
use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::Message;
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// Anything that carries bytes both ways.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// How much output collects before it is written.
const OUTPUT_BYTES: usize = 32 << 10;
/// An output buffer that had to hold something larger is given back.
const OUTPUT_BYTES_KEPT: usize = 1 << 20;
/// What one read asks for at least.
const READ_BYTES: usize = 8 << 10;
/// How far to read while a statement runs.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;
/// A client that has said its last word may still wait for a quick answer.
const VANISHED_GRACE: Duration = Duration::from_millis(500);
/// How long a client has to take in why it is turned away.
const FAREWELL: Duration = Duration::from_millis(500);

pub(super) struct Wire {
    socket: Box<dyn Socket>,
    input: BytesMut,
    output: Vec<u8>,
    encoded: BytesMut,
    counters: Arc<Counters>,
    clock: SharedClock,
    channel: Channel,
    /// Whether the client said within the handshake which protocol it speaks, and it is ours.
    speaks_postgres: bool,
}

/// Who can listen.
enum Channel {
    /// Whoever sits between.
    Open,
    /// Nobody outside this machine: it is a socket file.
    Local,
    /// Nobody; with what an authentication is bound to.
    Encrypted(Option<Vec<u8>>),
}

impl Wire {
    pub(super) fn new(
        socket: Box<dyn Socket>,
        is_local: bool,
        counters: Arc<Counters>,
        clock: SharedClock,
    ) -> Self {
        let (input, encoded) = (BytesMut::new(), BytesMut::new());
        let channel = if is_local { Channel::Local } else { Channel::Open };
        let (output, speaks_postgres) = (Vec::new(), false);
        Self { socket, input, output, encoded, counters, clock, channel, speaks_postgres }
    }

    /// Whether the handshake named PostgreSQL's protocol (ALPN).
    pub(super) fn speaks_postgres(&self) -> bool {
        self.speaks_postgres
    }

    /// Whether nobody on the way can read what is said.
    pub(super) fn is_private(&self) -> bool {
        !matches!(self.channel, Channel::Open)
    }

    /// What an authentication over an encrypted channel is bound to.
    pub(super) fn end_point(&self) -> Option<&[u8]> {
        match &self.channel {
            Channel::Encrypted(end_point) => end_point.as_deref(),
            Channel::Open | Channel::Local => None,
        }
    }

    /// The next message, of a kind and length for which `bytes_max` has a bound; `None` when the
    /// client closed the connection between two messages.
    pub(super) async fn frame(
        &mut self,
        bytes_max: impl Fn(u8) -> Option<usize>,
    ) -> Result<Option<Frame>, Fault> {
        const HEADER: usize = 5;
        if !self.fill(1).await? {
            return Ok(None);
        }
        let kind = self.input[0];
        let bytes_max = bytes_max(kind).ok_or_else(|| Fault::Fatal(unknown_kind(kind)))?;
        self.filled(HEADER).await?;
        let length = (&self.input[1..HEADER]).get_u32();
        // The length counts itself, not the type.
        let length = usize::try_from(length).ok().filter(|n| (4..=bytes_max).contains(n));
        let length = length.ok_or_else(|| Fault::Fatal(too_long(bytes_max)))?;
        self.filled(1 + length).await?;
        self.counters.messages_total.fetch_add(1, Relaxed);
        let body = self.input.split_to(1 + length).freeze().slice(HEADER..);
        Ok(Some(Frame { kind, body }))
    }

    /// The next packet of a client that is not let in yet: its code and the rest. `None` when the
    /// client closed the connection instead.
    pub(super) async fn packet(&mut self, bytes_max: usize) -> Result<Option<(u32, Bytes)>, Fault> {
        const HEADER: usize = 8;
        if !self.fill(1).await? {
            return Ok(None);
        }
        self.filled(4).await?;
        let length = usize::try_from((&self.input[..4]).get_u32()).ok();
        let length = length.filter(|length| (HEADER..=bytes_max).contains(length));
        let length =
            length.ok_or_else(|| Fault::Fatal(violation("invalid length of startup packet")))?;
        self.filled(length).await?;
        let mut packet = self.input.split_to(length).freeze();
        packet.advance(4);
        let code = packet.get_u32();
        Ok(Some((code, packet)))
    }

    /// Returns when the client went away. What it says until then waits in the input buffer.
    pub(super) async fn vanished(&mut self) {
        while self.input.len() < READ_AHEAD_BYTES_MAX {
            match self.read().await {
                Ok(true) => {}
                Ok(false) => return self.clock.sleep(VANISHED_GRACE).await,
                Err(_) => return,
            }
        }
        // The buffer is full; the next write will tell.
        std::future::pending().await
    }

    /// The first byte of a client, left where it is; `None` when it closed the connection instead.
    pub(super) async fn first_byte(&mut self) -> Result<Option<u8>, Fault> {
        Ok(self.fill(1).await?.then(|| self.input[0]))
    }

    /// From here on everything is encrypted, by a client that did not ask before: what has come is
    /// the beginning of its handshake.
    pub(super) async fn encrypt_at_once(&mut self, certified: &Certified) -> Result<(), Fault> {
        let begun = io::Cursor::new(self.input.split().freeze());
        let plain = std::mem::replace(&mut self.socket, Box::new(tokio::io::empty()));
        let (read, write) = tokio::io::split(plain);
        self.socket = Box::new(tokio::io::join(AsyncReadExt::chain(begun, read), write));
        self.encrypt(certified).await
    }

    /// From here on everything is encrypted.
    pub(super) async fn encrypt(&mut self, certified: &Certified) -> Result<(), Fault> {
        // What came before the handshake was not encrypted and may be someone else's
        // (CVE-2021-23214).
        if !self.input.is_empty() {
            return Err(Fault::Fatal(violation("received unencrypted data after SSL request")));
        }
        let plain = std::mem::replace(&mut self.socket, Box::new(tokio::io::empty()));
        let acceptor = TlsAcceptor::from(Arc::clone(&certified.postgres));
        let socket = acceptor.accept(plain).await?;
        self.speaks_postgres = socket.get_ref().1.alpn_protocol().is_some();
        self.socket = Box::new(socket);
        self.channel = Channel::Encrypted(certified.end_point.clone());
        Ok(())
    }

    /// Puts one byte, not a message, into the output.
    pub(super) fn answer(&mut self, byte: u8) {
        self.output.push(byte);
    }

    /// Puts a message into the output.
    ///
    /// # Errors
    /// XX000 when it is longer than the protocol allows.
    pub(super) fn send(&mut self, message: &impl Message) -> Result<(), Error> {
        let encoded = message.encode(&mut self.encoded);
        if encoded.is_ok() {
            self.output.extend_from_slice(&self.encoded);
        }
        self.encoded.clear();
        encoded.map_err(|error| Error::internal("could not encode a message").source(error))
    }

    /// The output, for rows, which are written in place.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Writes the output once there is enough of it.
    pub(super) async fn relieve(&mut self) -> io::Result<()> {
        match self.output.len() >= OUTPUT_BYTES {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Writes the output; waits for the client to take it.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.socket.write_all(&self.output).await?;
        self.socket.flush().await?;
        let bytes = u64::try_from(self.output.len()).unwrap_or(u64::MAX);
        self.counters.sent_bytes_total.fetch_add(bytes, Relaxed);
        self.output.clear();
        self.output.shrink_to(OUTPUT_BYTES_KEPT);
        Ok(())
    }

    /// Closes the connection such that the client gets what was written: a socket that is closed
    /// with unread input is reset, and the reset overtakes the message.
    pub(super) async fn close(mut self) {
        let deadline = self.clock.sleep(FAREWELL);
        let farewell = async {
            self.flush().await?;
            self.socket.shutdown().await?;
            loop {
                self.input.clear();
                if !self.read().await? {
                    return io::Result::Ok(());
                }
            }
        };
        tokio::select! {
            biased;
            _ = farewell => {}
            () = deadline => {}
        }
    }

    /// Reads until the input holds `bytes`; false when the client closed instead.
    async fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        while self.input.len() < bytes {
            // As much again as has come: large messages grow in few steps, a lie costs nothing.
            let missing = bytes - self.input.len();
            self.input.reserve(missing.min(self.input.len()).max(READ_BYTES));
            if !self.read().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// [`Wire::fill`] where the end of the input would cut a message in two.
    async fn filled(&mut self, bytes: usize) -> io::Result<()> {
        match self.fill(bytes).await? {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads once; false at the end of the input. Loses nothing when dropped.
    async fn read(&mut self) -> io::Result<bool> {
        self.input.reserve(READ_BYTES);
        let bytes = self.socket.read_buf(&mut self.input).await?;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.counters.received_bytes_total.fetch_add(bytes, Relaxed);
        Ok(bytes > 0)
    }
}

fn too_long(bytes_max: usize) -> Error {
    violation("invalid message length")
        .detail(format!("A message of this type has at most {bytes_max} bytes."))
}
