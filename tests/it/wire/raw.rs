//! A client that says exactly what a test wants, byte by byte.

use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(super) const VERSION_3_0: u32 = 3 << 16;
pub(super) const VERSION_3_2: u32 = VERSION_3_0 + 2;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Raw(pub(super) TcpStream);

/// Messages of the server: their types and bodies.
pub(super) struct Said(pub(super) Vec<(u8, Vec<u8>)>);

impl Raw {
    /// Connected, and nothing said yet.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Let in, and what the server said to that.
    pub(super) async fn login(address: SocketAddr, version: u32) -> (Self, Said) {
        let mut raw = Self::connect(address).await;
        raw.bytes(&packet(version, &["user", "postgres", "database", "postgres"])).await;
        let said = raw.until(b'Z').await;
        (raw, said)
    }

    pub(super) async fn ready(address: SocketAddr) -> Self {
        Self::login(address, VERSION_3_0).await.0
    }

    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Several messages in one piece.
    pub(super) async fn say<const N: usize>(&mut self, messages: [Vec<u8>; N]) {
        self.bytes(&messages.concat()).await;
    }

    pub(super) async fn query(&mut self, sql: &str) -> Said {
        self.say([query(sql)]).await;
        self.until(b'Z').await
    }

    /// One byte: the answer to SSLRequest.
    pub(super) async fn byte(&mut self) -> u8 {
        self.0.read_u8().await.unwrap()
    }

    /// `None` when the server closed the connection.
    async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let kind = self.0.read_u8().await.ok()?;
            let length = usize::try_from(self.0.read_u32().await.ok()?).unwrap();
            let mut body = vec![0; length - 4];
            self.0.read_exact(&mut body).await.ok()?;
            Some((kind, body))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer in time")
    }

    /// What the server says up to a message of this type.
    pub(super) async fn until(&mut self, kind: u8) -> Said {
        let mut said = Said(Vec::new());
        loop {
            let message = self.message().await;
            let (found, body) = message.unwrap_or_else(|| panic!("closed after {}", said.kinds()));
            said.0.push((found, body));
            if found == kind {
                return said;
            }
        }
    }

    /// What the server says until it closes the connection.
    pub(super) async fn rest(&mut self) -> Said {
        let mut said = Said(Vec::new());
        while let Some(message) = self.message().await {
            said.0.push(message);
        }
        said
    }
}

impl Said {
    /// The types, in order.
    pub(super) fn kinds(&self) -> String {
        self.0.iter().map(|(kind, _)| char::from(*kind)).collect()
    }

    /// The body of the first message of a type.
    pub(super) fn body(&self, kind: u8) -> &[u8] {
        let found = self.0.iter().find(|(found, _)| *found == kind);
        &found.unwrap_or_else(|| panic!("no {} in {}", char::from(kind), self.kinds())).1
    }

    /// A field of the error; empty where it has none.
    pub(super) fn error(&self, code: u8) -> String {
        let mut fields = self.body(b'E').split(|&byte| byte == 0);
        let field = fields.find(|field| field.first() == Some(&code)).unwrap_or_default();
        String::from_utf8_lossy(field.get(1..).unwrap_or_default()).into_owned()
    }

    /// Severity, SQLSTATE and message of the error.
    pub(super) fn fault(&self) -> [String; 3] {
        [self.error(b'S'), self.error(b'C'), self.error(b'M')]
    }

    /// The command tags.
    pub(super) fn tags(&self) -> Vec<String> {
        let tags = self.0.iter().filter(|(kind, _)| *kind == b'C');
        tags.map(|(_, body)| String::from_utf8_lossy(&body[..body.len() - 1]).into_owned())
            .collect()
    }

    /// The transaction status at the end.
    pub(super) fn status(&self) -> char {
        char::from(self.0.last().unwrap().1[0])
    }
}

/// Texts, each ended by a zero byte.
pub(super) fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect()
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

/// A packet of a client that is not let in: a code or version, and texts.
pub(super) fn packet(code: u32, fields: &[&str]) -> Vec<u8> {
    let mut body = code.to_be_bytes().to_vec();
    if !fields.is_empty() {
        body.extend(texts(fields));
        body.push(0);
    }
    with_length(&body)
}

pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [vec![kind], with_length(body)].concat()
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &texts(&[sql]))
}

/// A Parse that declares no types.
pub(super) fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', &[texts(&[name, sql]), vec![0, 0]].concat())
}

pub(super) fn bind(
    portal: &str,
    statement: &str,
    formats: &[i16],
    values: &[Option<&[u8]>],
    results: &[i16],
) -> Vec<u8> {
    let count = |count: usize| u16::try_from(count).unwrap().to_be_bytes();
    let mut body = texts(&[portal, statement]);
    body.extend(count(formats.len()));
    body.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
    body.extend(count(values.len()));
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend(value.unwrap_or_default());
    }
    body.extend(count(results.len()));
    body.extend(results.iter().flat_map(|format| format.to_be_bytes()));
    frame(b'B', &body)
}

/// `what` is S for a statement, P for a portal.
pub(super) fn describe(what: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[vec![what], texts(&[name])].concat())
}

pub(super) fn close(what: u8, name: &str) -> Vec<u8> {
    frame(b'C', &[vec![what], texts(&[name])].concat())
}

/// `rows_max` 0 is no limit.
pub(super) fn execute(portal: &str, rows_max: i32) -> Vec<u8> {
    frame(b'E', &[texts(&[portal]), rows_max.to_be_bytes().to_vec()].concat())
}

/// Parse, Bind and Execute of a statement without parameters.
pub(super) fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[], &[], &[]), execute("", 0)].concat()
}

pub(super) fn sync() -> Vec<u8> {
    frame(b'S', b"")
}
