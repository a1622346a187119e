//! Objects that this process uses or is about to name. Whoever deletes objects asks here, and whoever holds
//! one needs not know who deletes.

use super::paths::ObjectPath;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The names of objects that are in use by this process.
#[derive(Debug, Clone, Default)]
pub struct Pins(Arc<Mutex<HashMap<ObjectPath, usize>>>);

/// Keeps objects from being deleted while it lives.
#[derive(Debug)]
pub struct Pin {
    pins: Pins,
    objects: Vec<ObjectPath>,
}

impl Pins {
    /// Pins objects: those that exist and are live, or those that are about to be uploaded.
    #[must_use]
    pub fn pin(&self, objects: impl IntoIterator<Item = ObjectPath>) -> Pin {
        let objects: Vec<ObjectPath> = objects.into_iter().collect();
        let mut counts = self.0.lock();
        for object in &objects {
            *counts.entry(object.clone()).or_default() += 1;
        }
        drop(counts);
        Pin { pins: self.clone(), objects }
    }

    /// Whether anyone has pinned the object.
    #[must_use]
    pub fn contains(&self, object: &ObjectPath) -> bool {
        self.0.lock().contains_key(object)
    }

    /// All of them, as they are now.
    pub(super) fn all(&self) -> HashSet<ObjectPath> {
        self.0.lock().keys().cloned().collect()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut counts = self.pins.0.lock();
        for object in &self.objects {
            let count = counts.get_mut(object).expect("a pinned object is counted");
            *count -= 1;
            if *count == 0 {
                counts.remove(object);
            }
        }
    }
}
