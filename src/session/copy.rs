//! COPY: rows that the client sends, and rows that it gets in COPY's form.

use super::{Outcome, OutputColumn, RowStream, Session, running::Running};
use crate::{
    error::Result,
    exec::{insert::Inserter, transaction::Mark, write::Env},
    pgtype::copy::CopyOptions,
    sql::{Copy, CopyDirection, Plan, Slot},
};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// A COPY FROM STDIN under way. Nothing of it stays unless it is finished.
#[derive(Debug)]
pub struct CopyIn {
    /// The table's name, for faults: `COPY items, line 3`.
    pub table: String,
    /// The columns that the client sends.
    pub columns: Vec<OutputColumn>,
    /// Their form.
    pub options: CopyOptions,
    inserter: Inserter,
    input: Slot,
    rows: Arc<Plan>,
    env: Env,
    mark: Option<Mark>,
    /// What lasts as long as the statement does.
    pub(super) running: Option<Running>,
}

/// A COPY TO STDOUT.
#[expect(missing_debug_implementations, reason = "streams have none")]
pub struct CopyOut {
    /// Its columns.
    pub columns: Arc<[OutputColumn]>,
    /// Their form.
    pub options: CopyOptions,
    /// Its rows.
    pub stream: RowStream,
}

impl CopyIn {
    /// Takes rows of the columns that the client sends.
    ///
    /// # Errors
    /// Those of INSERT.
    pub async fn push(&mut self, session: &mut Session, rows: RecordBatch) -> Result<()> {
        let transaction = session.open_transaction();
        let columns = rows.columns().to_vec();
        let sent = crate::exec::write::to_storage(self.input.schema(), &columns, rows.num_rows())?;
        self.input.fill([sent]);
        let (_, batches) = self.env.run.collect(&self.rows, &[]).await?;
        for batch in batches {
            self.inserter.push(&batch, &self.env, transaction).await?;
        }
        Ok(())
    }

    /// The client has sent everything: the command tag.
    ///
    /// # Errors
    /// None at present.
    pub async fn finish(mut self, session: &mut Session) -> Result<String> {
        self.mark = None;
        session.open_transaction();
        let rows = self.inserter.rows;
        session.engine.metrics.rows_written.with_label_values(&["copy"]).inc_by(rows);
        if let Some(running) = &mut self.running {
            running.gave(rows);
        }
        Ok(format!("COPY {}", self.inserter.rows))
    }

    /// The client gave up, or a row was refused: the transaction is as it was before.
    pub fn undo(mut self, session: &mut Session) {
        if let Some(mark) = self.mark.take() {
            session.open_transaction().undo_to(mark);
        }
    }
}

impl Session {
    pub(super) async fn run_copy(&mut self, copy: &Copy, env: &Env) -> Result<Outcome> {
        match &copy.direction {
            CopyDirection::Out { query } => {
                let rows = self.run_query(query, env).await?;
                let options = copy.options.clone();
                let (columns, stream) = (rows.columns, rows.stream);
                Ok(Outcome::CopyOut(CopyOut { columns, options, stream }))
            }
            CopyDirection::In { table, columns, input, rows } => {
                let transaction = self.open_transaction();
                transaction.check_writable("COPY FROM")?;
                let mark = Some(transaction.mark());
                let inserter = Inserter::new(table, None, env, transaction).await?;
                let column = |id: &crate::ids::ColumnId| {
                    let column = table.column_by_id(*id).expect("a bound column is in its table");
                    OutputColumn {
                        name: column.name.clone(),
                        kind: column.kind.clone(),
                        table: table.id.0,
                        column: column.attnum(),
                    }
                };
                Ok(Outcome::CopyIn(Box::new(CopyIn {
                    table: table.name.clone(),
                    columns: columns.iter().map(column).collect(),
                    options: copy.options.clone(),
                    inserter,
                    input: input.clone(),
                    rows: Arc::clone(rows),
                    env: env.clone(),
                    mark,
                    running: None,
                })))
            }
        }
    }
}
