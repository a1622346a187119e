//! COPY from and to files of the server's machine: for superusers alone, as in PostgreSQL.

use super::{CopyIn, CopyOut, Outcome, OutputColumn, Session};
use crate::{
    error::{Error, Result, SqlState},
    exec::write::Env,
    pgtype::{
        PgType,
        copy::{CopyDecoder, CopyEncoder},
    },
    sql::{Context, Copy},
};
use futures::StreamExt;
use std::{io, path::Path};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
};

/// How much of a file is read at a time.
const BITE_BYTES: usize = 1 << 18;
/// How many rows are handed on at a time.
const BATCH_ROWS: usize = 4096;

impl Session {
    /// Runs a COPY whose other side is a file.
    ///
    /// # Errors
    /// 42501 for whoever is no superuser, 58P01 where there is no such file, and those of COPY.
    pub(super) async fn copy_file(
        &mut self,
        copy: &Copy,
        path: &str,
        env: &Env,
    ) -> Result<Outcome> {
        let direction = if copy.is_in() { "from" } else { "to" };
        let user = self.context.user();
        if !self.context.catalog().role(user).is_some_and(|role| role.superuser) {
            let refused = format!("permission denied to COPY {direction} a file");
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, refused)
                .detail("Only superusers may use files of the server.")
                .hint("Anyone can COPY to stdout or from stdin; psql's \\copy reads and writes files of the client."));
        }
        let tag = match self.run_copy(copy, env).await? {
            Outcome::CopyIn(rows) => self.read_file(*rows, path, env).await?,
            Outcome::CopyOut(rows) => self.write_file(rows, path).await?,
            _ => return Err(Error::internal("COPY has two directions")),
        };
        Ok(Outcome::Done(tag))
    }

    async fn read_file(&mut self, mut copy: CopyIn, path: &str, env: &Env) -> Result<String> {
        match self.take_rows(&mut copy, path, env).await {
            Ok(()) => copy.finish(self).await,
            Err(error) => {
                copy.undo(self);
                Err(error)
            }
        }
    }

    async fn take_rows(&mut self, copy: &mut CopyIn, path: &str, env: &Env) -> Result<()> {
        let (kinds, names) = kinds_and_names(&copy.columns);
        let style = self.style();
        let mut decoder = CopyDecoder::new(&copy.options, &kinds, &names, &copy.table, &style)?;
        let mut file =
            File::open(path).await.map_err(|error| cannot_open(path, "reading", error))?;
        let mut bite = vec![0; BITE_BYTES];
        loop {
            if env.run.cancel().is_cancelled() {
                return Err(crate::exec::run::cancelled());
            }
            let read = file.read(&mut bite).await.map_err(|error| fault("read", path, error))?;
            if read == 0 {
                decoder.finish()?;
            } else {
                decoder.push(&bite[..read])?;
            }
            while let Some(batch) = decoder.take_batch(BATCH_ROWS)? {
                copy.push(self, batch).await?;
            }
            for notice in decoder.take_notices() {
                self.context.notice(Error::new(SqlState::new(b"00000"), notice));
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    async fn write_file(&mut self, copy: CopyOut, path: &str) -> Result<String> {
        if Path::new(path).is_relative() {
            let refused = "relative path not allowed for COPY to file";
            return Err(Error::new(SqlState::INVALID_NAME, refused));
        }
        let CopyOut { columns, options, mut stream } = copy;
        let (kinds, names) = kinds_and_names(&columns);
        let mut encoder = CopyEncoder::new(&options, &kinds, &names, &self.style())?;
        let mut file =
            File::create(path).await.map_err(|error| cannot_open(path, "writing", error))?;
        let mut out = Vec::new();
        encoder.header(&mut out);
        let (mut rows, mut chunks) = (0_u64, Vec::new());
        while let Some(batch) = stream.next().await {
            encoder.batch(&batch?, &mut chunks)?;
            for row in chunks.drain(..) {
                rows += 1;
                out.extend_from_slice(&row);
            }
            file.write_all(&out).await.map_err(|error| fault("write to", path, error))?;
            out.clear();
        }
        encoder.trailer(&mut out);
        file.write_all(&out).await.map_err(|error| fault("write to", path, error))?;
        file.flush().await.map_err(|error| fault("write to", path, error))?;
        Ok(format!("COPY {rows}"))
    }
}

fn kinds_and_names(columns: &[OutputColumn]) -> (Vec<PgType>, Vec<String>) {
    columns.iter().map(|column| (column.kind.clone(), column.name.clone())).unzip()
}

fn cannot_open(path: &str, purpose: &str, error: io::Error) -> Error {
    let state = match error.kind() {
        io::ErrorKind::NotFound => SqlState::UNDEFINED_FILE,
        io::ErrorKind::PermissionDenied => SqlState::INSUFFICIENT_PRIVILEGE,
        _ => SqlState::IO_ERROR,
    };
    let opened = format!("could not open file \"{path}\" for {purpose}: {}", reason(&error));
    Error::new(state, opened)
        .hint(
            "COPY lets the server process read or write the file. You may want a client-side facility such as psql's \\copy.",
        )
}

fn fault(what: &str, path: &str, error: io::Error) -> Error {
    Error::new(SqlState::IO_ERROR, format!("could not {what} file \"{path}\": {}", reason(&error)))
}

/// The system's words, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
