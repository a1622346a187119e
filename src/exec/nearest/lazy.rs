//! The lazy way: the index gives more of the nearest rows than are wanted, whether they match or not,
//! and the filter is asked of these alone.
//!
//! To know which rows match costs about as much as there are rows, unless it was asked before; to find
//! out of the nearest costs about as much as one must look at until k match. Both are estimated from
//! one group of rows, of which the filter is asked while the clock runs: how many match, and how long
//! it takes.

use super::{
    answers::Answers,
    filter::{Asked, Bound},
    search::Way,
    work::Work,
};
use crate::exec::topk::Neighbour;
use datafusion::common::Result;
use std::time::Duration;

/// With fewer rows than this to ask about there is nothing to win.
const ROWS_MIN: u64 = 100_000;
/// So many more rows are asked of the index than should be enough.
const SPARE: f64 = 1.5;
const SPARE_ROWS: f64 = 16.0;
/// More than so many are not asked of it.
const ROWS_MAX: f64 = 4_000.0;
/// What it takes about to look at a row that the index gave, with its columns.
const ROW: Duration = Duration::from_nanos(1_000);

impl Work {
    /// The k nearest rows that match, if this way is the cheapest by far, and enough were found.
    pub(super) async fn lazily(&self) -> Result<Option<Vec<Neighbour>>> {
        let (Some(filter), Some(answers), Way::Index { .. }) =
            (&self.filter, self.base.answers.as_deref(), &self.way)
        else {
            return Ok(None);
        };
        let (search, rows) = (&self.base.search, &self.base.rows);
        // What many searches ask of all rows is asked once.
        if search.ties || self.shares_matching() || rows.live_rows() < ROWS_MIN {
            return Ok(None);
        }
        let Some(wanted) = self.worth_asking(filter, answers).await? else { return Ok(None) };
        let Some(near) = self.by_index(wanted, rows.live()).await? else { return Ok(None) };
        let ids: Vec<_> = near.iter().map(|neighbour| neighbour.row).collect();
        let matches = filter.of_rows(rows, &ids).await?;
        let matching = near.into_iter().zip(matches).filter(|(_, matches)| *matches);
        let found: Vec<Neighbour> =
            matching.map(|(neighbour, _)| neighbour).take(search.k).collect();
        Ok((found.len() == search.k).then_some(found))
    }

    /// How many rows to ask of the index; `None` when the filter is better asked of all.
    async fn worth_asking(&self, filter: &Bound, answers: &Answers) -> Result<Option<usize>> {
        let (unanswered, sample) = filter.unanswered(&self.base.rows, answers);
        if unanswered < ROWS_MIN {
            return Ok(None);
        }
        // Where no group is at hand, all that is known is that reading them takes long.
        let Some(sample) = sample else { return Ok(None) };
        let begun = answers.clock().elapsed();
        let matching = filter.mask(&sample, Some(answers), &mut Asked::default()).await?;
        let took = answers.clock().elapsed().saturating_sub(begun);
        let rows = sample.len() as u64;
        let matching = matching.map_or(0, |answer| answer.count(sample.len()));
        if matching == 0 {
            return Ok(None);
        }
        let share = ratio(matching as u64, rows);
        let wanted = (ratio(self.base.search.k as u64, 1) / share).mul_add(SPARE, SPARE_ROWS);
        if wanted > ROWS_MAX {
            return Ok(None);
        }
        let asking_all = took.mul_f64(ratio(unanswered, rows));
        let asking_some = ROW.mul_f64(wanted);
        #[expect(clippy::cast_possible_truncation, reason = "it is at most ROWS_MAX")]
        #[expect(clippy::cast_sign_loss, reason = "nothing in it is below 0")]
        Ok((asking_all > 2 * asking_some).then_some(wanted as usize))
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn ratio(some: u64, all: u64) -> f64 {
    some as f64 / all as f64
}
