//! A namespace that is brought near before it is asked: its columns, and the postings of its indexes.

use super::{
    Caller, Namespaces,
    background::Beginning,
    fault::{Answer, Fault, FaultKind},
    names::quoted,
    shape::Shape,
    work::Pool,
};
use crate::{exec::state::DbState, index::Index, storage::columns::ColumnSpec};
use serde::Serialize;
use std::sync::Arc;

/// What the answer to the hint says: it was taken, and what that means.
#[derive(Debug, Serialize)]
pub struct Warming {
    status: &'static str,
    message: String,
}

/// How much of a namespace there is to bring near, and how much of that is far.
#[derive(Debug, Default)]
struct Distance {
    /// Columns of groups of rows.
    columns: usize,
    far_columns: usize,
    /// Chunks of postings.
    chunks: usize,
    far_chunks: usize,
}

impl Namespaces {
    /// Starts to bring a namespace near, where it is not, and does not wait for it.
    ///
    /// # Errors
    /// When there is no such namespace, the caller has no right to it, or too much goes on.
    pub fn warm(&self, caller: &Caller, name: &str) -> Answer<Warming> {
        let state = self.engine.states().snapshot();
        let shape = caller.existing(&state.catalog, name)?;
        let distance = Distance::of(&shape, &state);
        let accepted = |message| Ok(Warming { status: "ACCEPTED", message });
        if distance.is_none() {
            return accepted("the namespace is near already".to_owned());
        }
        let (pool, role) = (Arc::clone(&self.pool), Arc::clone(&caller.role));
        let work = async move { bring_near(&pool, &role, &shape, state).await };
        match self.tasks.start(format!("warm {name}"), work) {
            Beginning::Begun => {
                let Distance { columns, far_columns, chunks, far_chunks } = distance;
                accepted(format!(
                    "the namespace is being read: of {columns} parts of columns {far_columns} are \
                     far, of {chunks} of postings {far_chunks}"
                ))
            }
            Beginning::Runs => accepted("the namespace is being read already".to_owned()),
            Beginning::TooMany => {
                Err(Fault::new(FaultKind::Busy, "too many namespaces are being read; try again"))
            }
        }
    }
}

/// The indexes of a namespace that are built.
fn indexes<'s>(shape: &'s Shape, state: &'s DbState) -> impl Iterator<Item = &'s Index> {
    let ids = shape.attributes.iter().filter_map(|attribute| attribute.index.as_ref()?.id);
    ids.filter_map(|id| state.indexes.get(&id))
}

impl Distance {
    fn of(shape: &Shape, state: &DbState) -> Self {
        let mut distance = Self::default();
        for index in indexes(shape, state) {
            let (chunks, far) = index.chunks();
            distance.chunks += chunks;
            distance.far_chunks += far;
        }
        let Some(table) = &shape.table else { return distance };
        let specs = table.columns.iter().map(|c| ColumnSpec::new(c.id, c.kind.clone()));
        let specs: Vec<ColumnSpec> = specs.collect();
        for group in state.table(table.id).groups() {
            distance.columns += specs.len();
            distance.far_columns += specs.iter().filter(|spec| !group.is_at_hand(spec)).count();
        }
        distance
    }

    fn is_none(&self) -> bool {
        self.far_columns + self.far_chunks == 0
    }
}

/// The postings first: they are what a search waits for longest.
async fn bring_near(
    pool: &Arc<Pool>,
    role: &Arc<str>,
    shape: &Shape,
    state: Arc<DbState>,
) -> Answer<()> {
    // While the picture is held, none of its objects is collected.
    let built: Vec<Index> = indexes(shape, &state).cloned().collect();
    for index in &built {
        index.bring_near().await?;
    }
    drop(state);
    // Counting reads a column from end to end.
    for attribute in &shape.attributes {
        let text = format!("SELECT count(t.{}) FROM {} AS t", quoted(&attribute.name), shape.sql());
        let mut work = pool.work(role).await?;
        work.rows(text.into()).await?;
        work.commit().await?;
    }
    Ok(())
}
