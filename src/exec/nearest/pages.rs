//! Lists by their distance that are read page by page: LIMIT with OFFSET.
//!
//! A search by an index may miss a row that a search for more finds. So that pages fit together, the
//! rows of a list that came are remembered, and the page behind them goes on with the search among
//! those that did not come, as a cursor does: no row comes twice, and none is left out. The first
//! page begins the list anew. As soon as the table's rows are others, what was remembered counts no
//! more: then a page is a search of its own for all rows up to its end.

use super::{answers::Condition, pieces, search::Way, work::Work};
use crate::{
    exec::topk::Neighbour,
    ids::{IndexId, RowSet},
};
use datafusion::{common::Result, execution::memory_pool::MemoryPool};
use foyer::{Cache, CacheBuilder};
use std::{
    fmt,
    sync::{Arc, Weak},
};

/// How many bytes of lists are remembered, of all tables together.
const BYTES_MAX: usize = 8 << 20;
/// A longer list is not.
const ROWS_MAX: usize = 1 << 14;
/// Nor is one whose conditions take more than this.
const CONDITIONS_MAX: usize = 4 << 10;
/// Beside its rows, the query and the conditions, what a list takes.
const LIST_BYTES: usize = 256;

/// What a list is of.
#[derive(Debug, PartialEq, Eq, Hash)]
struct List {
    index: IndexId,
    recall_target: u32,
    probes_min: usize,
    query: Box<[u32]>,
    conditions: Vec<Arc<Condition>>,
    bounds: [Option<(Option<u64>, bool)>; 2],
}

/// The rows of a list that came, in this order.
#[derive(Debug, Clone)]
struct Came {
    /// The rows of the table then: kept as a name, which no other can have while it is.
    live: Weak<RowSet>,
    rows: Arc<[Neighbour]>,
}

/// The lists that were read lately.
pub struct Pages {
    lists: Cache<List, Came>,
}

impl List {
    /// That of a search by an index; others find every row.
    fn of(work: &Work) -> Option<Self> {
        let Way::Index { entry, target, .. } = &work.way else { return None };
        let query = work.query().dense()?.iter().map(|x| x.to_bits()).collect();
        let conditions = match &work.filter {
            None => Vec::new(),
            Some(filter) => filter.all_conditions()?,
        };
        if conditions.iter().map(|condition| condition.bytes()).sum::<usize>() > CONDITIONS_MAX {
            return None;
        }
        Some(Self {
            index: entry.id,
            recall_target: target.to_bits(),
            probes_min: work.base.knobs().probes_min,
            query,
            conditions,
            bounds: work.edges().map(|edge| edge.map(|edge| edge.bits())),
        })
    }

    fn bytes(&self, came: &Came) -> usize {
        let conditions: usize = self.conditions.iter().map(|condition| condition.bytes()).sum();
        let (query, rows) = (self.query.as_ref(), came.rows.as_ref());
        LIST_BYTES + conditions + size_of_val(query) + size_of_val(rows)
    }
}

impl Pages {
    /// The rows of the list that came, if they are of these rows of the table.
    fn came(&self, list: &List, live: &Arc<RowSet>) -> Option<Arc<[Neighbour]>> {
        let came = self.lists.get(list)?;
        let came = came.value();
        std::ptr::eq(came.live.as_ptr(), Arc::as_ptr(live)).then(|| Arc::clone(&came.rows))
    }

    /// A list that others read further stays as long as it is, unless it began otherwise.
    fn remember(&self, list: List, live: &Arc<RowSet>, rows: &[Neighbour]) {
        if rows.len() > ROWS_MAX {
            self.lists.remove(&list);
        } else if !self.came(&list, live).is_some_and(|came| came.starts_with(rows)) {
            self.lists.insert(list, Came { live: Arc::downgrade(live), rows: rows.into() });
        }
    }
}

impl Default for Pages {
    fn default() -> Self {
        let lists = CacheBuilder::new(BYTES_MAX)
            .with_name("pages")
            .with_shards(4)
            .with_weighter(List::bytes)
            .build();
        Self { lists }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("bytes", &self.lists.usage()).finish_non_exhaustive()
    }
}

/// The rows of the page that a search is for, nearest first.
pub(super) async fn find(
    work: &Arc<Work>,
    pool: &Arc<dyn MemoryPool>,
    pages: Option<&Pages>,
) -> Result<Vec<Neighbour>> {
    let search = work.base.search.as_ref();
    let (k, skip) = (search.k, search.skip);
    let list = pages.filter(|_| !search.ties).and_then(|pages| Some((pages, List::of(work)?)));
    let Some((pages, list)) = list else {
        let mut found = pieces::find(work, pool).await?;
        return Ok(found.split_off(skip.min(found.len())));
    };
    let live = work.base.rows.live();
    let came = pages.came(&list, live).filter(|_| skip > 0);
    let page = |rows: &[Neighbour]| {
        let mut page = rows[skip.min(rows.len())..k.min(rows.len())].to_vec();
        page.sort_unstable();
        page
    };
    Ok(match came {
        Some(came) if came.len() >= k => page(&came),
        came => {
            let found = match came {
                Some(came) => pieces::go_on(work, pool, &came).await?,
                None => pieces::find(work, pool).await?,
            };
            pages.remember(list, live, &found);
            page(&found)
        }
    })
}
