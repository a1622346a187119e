//! Recall on demand: queries of its own, each answered by the index and by reading every row.
//!
//! Half of the queries at most are the latest that clients asked; the others are rows of the table,
//! each searched for among all rows but itself.

use super::{Answered, Estimate, count};
use crate::{
    catalog::{Index as Entry, IndexKind},
    error::{Error, Result, SqlState},
    exec::{
        nearest::Knobs,
        neighbours::{Effort, Neighbours},
        snapshot::Snapshot,
        table::column_specs,
        topk::{Neighbour, Query, TopK, offer_rows},
    },
    ids::{IndexId, RowId, RowSet},
    index::{Index, indexed_metric},
    sql::functions::points::Points,
    storage::{columns::ColumnSpec, table::TableState},
    vector::{Metric, Space},
};
use std::{collections::HashMap, sync::Arc};

/// An index on the rows of a snapshot.
#[derive(Debug)]
pub struct Subject {
    /// Its entry in the catalog.
    pub entry: Arc<Entry>,
    rows: TableState,
    committed_end: RowId,
    column: ColumnSpec,
    space: Space,
    metric: Metric,
    index: Index,
}

/// What is asked, and how often.
struct Measure<'a> {
    subject: &'a Subject,
    effort: Effort<'a>,
    k: usize,
    queries: usize,
    /// Those that clients asked last.
    recent: Vec<Query>,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// The share found; `None` where there was nothing to ask for.
    pub estimate: Option<Estimate>,
    /// How many of the queries were those of clients.
    pub recent: usize,
}

/// A query that the index has answered.
struct Asked {
    query: Query,
    /// The row that it is, and that is not to be found.
    row: Option<RowId>,
    found: Vec<Neighbour>,
    /// The true answer, the row itself included.
    truth: TopK,
}

impl Subject {
    /// An index that searches go by.
    ///
    /// # Errors
    /// 42809 for what is no vector index, 0A000 for one that is not searched, 55000 for one that is
    /// being built.
    pub fn of(snapshot: &Snapshot, index: IndexId) -> Result<Self> {
        let found = snapshot.catalog().index(index).cloned();
        let vector = found.and_then(|entry| match entry.kind {
            IndexKind::Vector { column, metric, .. } => Some((entry, column, metric)),
            IndexKind::Recorded { .. } => None,
        });
        let Some((entry, column, metric)) = vector else {
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, "this is not a vector index"));
        };
        let missing = || Error::internal("an index of a column that is gone");
        let table = snapshot.catalog().table(entry.table).ok_or_else(missing)?;
        let place = table.position(column).ok_or_else(missing)?;
        let space = table.columns[place].kind.space().ok_or_else(missing)?;
        let name = &entry.name;
        if indexed_metric(space, metric).is_none() {
            let message = format!("index \"{name}\" is not searched: its searches are exact");
            return Err(Error::unsupported(message).hint("Their recall is 1."));
        }
        let Some(index) = snapshot.index(entry.id).cloned() else {
            return Err(Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("index \"{name}\" is being built"),
            )
            .hint("Until it is, searches are exact."));
        };
        Ok(Self {
            rows: snapshot.table(table.id),
            committed_end: snapshot.first_own_row(table.id),
            column: column_specs(table)?.swap_remove(place),
            space,
            metric,
            index,
            entry,
        })
    }

    /// The rows that the snapshot sees.
    #[must_use]
    pub fn rows(&self) -> &TableState {
        &self.rows
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Vectors of some live rows, evenly spread over the table.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn sample(&self, wanted: u64, pick: u64) -> Result<HashMap<RowId, Vec<f32>>> {
        let live = self.rows.live();
        let step = (live.len() / wanted.max(1)).max(1);
        let skip = usize::try_from(pick % step).unwrap_or(0);
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let rows: Vec<RowId> = live.iter().skip(skip).step_by(step).take(wanted).collect();
        let taken = self.rows.take(&rows, std::slice::from_ref(&self.column)).await?;
        let points = Points::new(self.space, taken.column(0))?;
        let mut sample = HashMap::new();
        for (place, row) in rows.into_iter().enumerate() {
            let mut vector = Vec::new();
            if points.append_dense(place, &mut vector) {
                sample.insert(row, vector);
            }
        }
        Ok(sample)
    }

    /// Names every live row with a vector that the index is to have: those below its watermark.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn each_indexed(&self, mut found: impl FnMut(RowId) + Send) -> Result<()> {
        let end = self.index.watermark().min(self.committed_end);
        for group in self.rows.groups().filter(|group| group.first_row() < end) {
            let columns = group.columns(std::slice::from_ref(&self.column)).await?;
            let points = Points::new(self.space, &columns[0])?;
            let (ids, mask) = (group.row_ids(), group.live_mask());
            for place in 0..group.len() {
                let is_live = mask.as_ref().is_none_or(|mask| mask.value(place));
                if is_live && ids.row(place) < end && points.point(place).is_some() {
                    found(ids.row(place));
                }
            }
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Asks the index for the k nearest of some queries (`(k, queries)`), reads every row once, and
    /// compares. Which rows are asked for follows from `pick`.
    ///
    /// # Errors
    /// Those of reading and of the index.
    pub async fn measure(
        &self,
        knobs: Knobs,
        (k, queries): (usize, usize),
        recent: Vec<Query>,
        pick: u64,
    ) -> Result<Measured> {
        let effort = Effort {
            recall_target: knobs.target(&self.entry),
            probes_min: knobs.probes_min,
            committed_end: self.committed_end,
            entries_worth: u64::MAX,
            may_hold: None,
        };
        Measure { subject: self, effort, k, queries, recent }.run(pick).await
    }
}

impl Measure<'_> {
    async fn run(&self, pick: u64) -> Result<Measured> {
        let mut live = RowSet::clone(self.subject.rows.live());
        let recent = self.recent.iter().take(self.queries / 2);
        let recent: Vec<_> = recent.map(|query| (None, query.clone())).collect();
        let own = self.own_queries(&live, self.queries - recent.len(), pick).await?;
        let mut asked = Vec::new();
        let (mut recent_asked, mut k) = (0, self.k);
        k = k.min(usize::try_from(live.len().saturating_sub(1)).unwrap_or(usize::MAX));
        for (row, query) in recent.into_iter().chain(own) {
            if k == 0 || !query.dense().is_some_and(|query| self.subject.index.has_place(query)) {
                continue;
            }
            recent_asked += usize::from(row.is_none());
            asked.push(self.ask(row, query, k, &mut live).await?);
        }
        self.read(&mut asked, &live).await?;
        let answered: Vec<Answered> = asked.into_iter().map(|asked| asked.compared(k)).collect();
        let estimate = Estimate::of(answered.iter().copied());
        Ok(Measured { estimate, recent: recent_asked })
    }

    /// Rows evenly spread over the table, as queries.
    async fn own_queries(
        &self,
        live: &RowSet,
        wanted: usize,
        pick: u64,
    ) -> Result<Vec<(Option<RowId>, Query)>> {
        let step = (live.len() / (wanted.max(1) as u64)).max(1);
        let skip = usize::try_from(pick % step).unwrap_or(0);
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let rows: Vec<RowId> = live.iter().skip(skip).step_by(step).take(wanted).collect();
        let subject = self.subject;
        let taken = subject.rows.take(&rows, std::slice::from_ref(&subject.column)).await?;
        let points = Points::new(subject.space, taken.column(0))?;
        let query = |(place, row): (usize, RowId)| {
            let point = Some(points.point(place)?.into_owned());
            Some((Some(row), Query { space: subject.space, metric: subject.metric, point }))
        };
        Ok(rows.into_iter().enumerate().filter_map(query).collect())
    }

    async fn ask(
        &self,
        row: Option<RowId>,
        query: Query,
        k: usize,
        live: &mut RowSet,
    ) -> Result<Asked> {
        if let Some(row) = row {
            live.remove(row);
        }
        let allowed = &*live;
        let Subject { rows, column, index, .. } = self.subject;
        let others = &[];
        let search = Neighbours { rows, column, others, query: &query, k, ties: false, allowed };
        let found = match search.by_index(index, self.effort).await? {
            Some(found) => found,
            None => search.by_reading().await?,
        };
        if let Some(row) = row {
            live.insert(row);
        }
        tokio::task::consume_budget().await;
        Ok(Asked { query, row, found: found.rows, truth: TopK::new(k + 1) })
    }

    /// Offers every row to every query.
    async fn read(&self, asked: &mut [Asked], live: &RowSet) -> Result<()> {
        let Subject { rows, column, space, .. } = self.subject;
        for group in rows.groups() {
            let columns = group.columns(std::slice::from_ref(column)).await?;
            let points = Points::new(*space, &columns[0])?;
            let ids = group.row_ids();
            let rows = live.iter_within(group.first_row(), group.end_row());
            let rows: Vec<_> = rows.filter_map(|row| Some((ids.position(row)?, row))).collect();
            for Asked { query, truth, .. } in &mut *asked {
                offer_rows(&points, rows.iter().copied(), query, truth)?;
                tokio::task::consume_budget().await;
            }
        }
        Ok(())
    }
}

impl Asked {
    /// How many of the found are as near as the k-th of the true answer.
    fn compared(self, k: usize) -> Answered {
        let truth = self.truth.into_sorted();
        let mut others = truth.iter().filter(|neighbour| Some(neighbour.row) != self.row);
        let Some(kth) = others.nth(k - 1) else { return Answered { share: 1.0, wanted: count(k) } };
        let right = self.found.iter().filter(|found| found.nearness(kth).is_le()).count();
        Answered { share: count(right) / count(k), wanted: count(k) }
    }
}
