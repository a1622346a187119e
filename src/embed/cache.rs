//! Vectors of texts that were asked for lately: a query that comes again does not run again.
//!
//! Two generations, each with half of the bytes: what is asked for moves to the young one, and
//! when that is full, the old one is forgotten and the young one grows old.

use super::Embedding;
use crate::ids::Oid;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// A text to a model, which has a fingerprint.
type Key = (Oid, u64, Arc<str>);

/// The cache.
#[derive(Debug)]
pub(super) struct Recent {
    bytes_max: usize,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Embedding>,
    young_bytes: usize,
    old: HashMap<Key, Embedding>,
}

impl Recent {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, generations: Mutex::default() }
    }

    /// The vector of a text, if it is known.
    pub(super) fn vector(
        &self,
        model: Oid,
        fingerprint: u64,
        text: &Arc<str>,
    ) -> Option<Embedding> {
        let key = (model, fingerprint, Arc::clone(text));
        let mut generations = self.generations.lock();
        if let Some(vector) = generations.young.get(&key) {
            return Some(Arc::clone(vector));
        }
        let vector = generations.old.remove(&key)?;
        generations.put(key, Arc::clone(&vector), self.bytes_max / 2);
        Some(vector)
    }

    /// Keeps a vector.
    pub(super) fn keep(&self, model: Oid, fingerprint: u64, text: &Arc<str>, vector: &Embedding) {
        let key = (model, fingerprint, Arc::clone(text));
        self.generations.lock().put(key, Arc::clone(vector), self.bytes_max / 2);
    }
}

impl Generations {
    fn put(&mut self, key: Key, vector: Embedding, bytes_max: usize) {
        // The map's own room for an entry, too.
        let bytes = key.2.len() + vector.len() * size_of::<f32>() + 128;
        if bytes > bytes_max {
            return;
        }
        if self.young_bytes + bytes > bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(key, vector).is_none() {
            self.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_bound_holds() {
        let recent = Recent::new(64 << 10);
        let text = |n: usize| -> Arc<str> { format!("text {n}").into() };
        let vector: Embedding = vec![0.5; 100].into();

        for n in 0..1000 {
            recent.keep(Oid(1), 1, &text(n), &vector);
            assert!(recent.vector(Oid(1), 1, &text(0)).is_some(), "asked for at {n}");
        }

        let kept = (0..1000).filter(|&n| recent.vector(Oid(1), 1, &text(n)).is_some()).count();
        assert!(kept < 130, "{kept}");
        assert!(recent.vector(Oid(1), 2, &text(0)).is_none());
        assert!(recent.vector(Oid(2), 1, &text(0)).is_none());
    }
}
