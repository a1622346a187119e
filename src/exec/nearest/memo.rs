//! What searches of a join found, remembered for outer rows that ask the same.

use crate::exec::topk::Neighbour;
use arrow::{
    array::ArrayRef,
    row::{RowConverter, Rows, SortField},
};
use datafusion::common::Result;
use std::{collections::HashMap, sync::Arc};

/// How many bytes are remembered; then all of it is forgotten.
const BYTES_MAX: usize = 16 << 20;
/// Beside what it holds, what an entry takes.
const ENTRY_BYTES: usize = 96;

/// The rows that a search found, nearest first.
pub(super) type Nearest = Arc<[Neighbour]>;

/// What was found for the latest questions.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Makes one string of bytes of all that a question depends on; `None` until there is one, and
    /// where some type of it cannot be told apart so.
    converter: Option<RowConverter>,
    found: HashMap<Box<[u8]>, Nearest>,
    bytes: usize,
}

impl Memo {
    /// What tells some questions apart, by the columns that they depend on; `None` where nothing
    /// does.
    pub(super) fn keys(&mut self, columns: &[ArrayRef]) -> Result<Option<Rows>> {
        if self.converter.is_none() {
            let field = |column: &ArrayRef| SortField::new(column.data_type().clone());
            let fields: Vec<SortField> = columns.iter().map(field).collect();
            if !RowConverter::supports_fields(&fields) {
                return Ok(None);
            }
            self.converter = Some(RowConverter::new(fields)?);
        }
        let keys = self.converter.as_ref().map(|converter| converter.convert_columns(columns));
        Ok(keys.transpose()?)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Nearest> {
        self.found.get(key)
    }

    pub(super) fn remember(&mut self, key: &[u8], found: &Nearest) {
        let bytes = key.len() + size_of_val(found.as_ref()) + ENTRY_BYTES;
        if self.bytes + bytes > BYTES_MAX {
            self.found.clear();
            self.bytes = 0;
        }
        if bytes <= BYTES_MAX && self.found.insert(key.into(), Arc::clone(found)).is_none() {
            self.bytes += bytes;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RowId;
    use arrow::array::{FixedSizeListArray, Int64Array};
    use arrow::datatypes::Float32Type;

    fn nearest(rows: usize) -> Nearest {
        (0..rows as u64).map(|row| Neighbour { distance: Some(1.0), row: RowId(row) }).collect()
    }

    #[test]
    fn questions_are_told_apart_by_all_that_they_depend_on() {
        let vector = |x: f32| Some(vec![Some(x), Some(1.0)]);
        let vectors = [vector(1.0), vector(2.0), vector(1.0), None, None, vector(1.0)];
        let vectors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(vectors, 2);
        let shops = Int64Array::from(vec![7, 7, 7, 7, 7, 8]);
        let mut memo = Memo::default();
        let keys = memo.keys(&[Arc::new(vectors), Arc::new(shops)]).unwrap().unwrap();
        let same = |a: usize, b: usize| keys.row(a).data() == keys.row(b).data();
        assert!(same(0, 2) && same(3, 4));
        assert!(!same(0, 1) && !same(0, 3) && !same(0, 5));
        memo.remember(keys.row(0).data(), &nearest(3));
        assert_eq!(memo.get(keys.row(2).data()), Some(&nearest(3)));
        assert_eq!(memo.get(keys.row(5).data()), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut memo, found) = (Memo::default(), nearest(1000));
        for key in 0..2000_u32 {
            memo.remember(&key.to_be_bytes(), &found);
            assert!(memo.bytes() <= BYTES_MAX);
            assert!(memo.get(&key.to_be_bytes()).is_some());
        }
        assert!(memo.get(&0_u32.to_be_bytes()).is_none());
        memo.remember(b"more than all", &nearest(BYTES_MAX));
        assert!(memo.get(b"more than all").is_none() && memo.bytes() == 0);
    }
}
