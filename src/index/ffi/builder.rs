//! Bulk builds: centroids are trained on a sample.

use super::{bridge, checked, options::options, version::Version};
use crate::{error::Result, index::options::IndexOptions};
use cxx::UniquePtr;
use std::fmt;

/// A bulk build.
pub(in crate::index) struct Builder(UniquePtr<bridge::Builder>);

impl Builder {
    pub(in crate::index) fn begin(
        wanted: &IndexOptions,
        rows: u64,
        sample_rows: u64,
    ) -> Result<Self> {
        let made = bridge::builder_begin(&options(wanted), rows, sample_rows);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    /// How many vectors make a good sample.
    pub(in crate::index) fn sample_rows(wanted: &IndexOptions, rows: u64, bytes: u64) -> u64 {
        bridge::builder_sample_rows(&options(wanted), rows, bytes)
    }

    pub(in crate::index) fn add_sample(&mut self, vectors: &[f32]) -> Result<()> {
        checked(bridge::builder_add_sample(self.0.pin_mut(), vectors))
    }

    /// The sample is all there.
    pub(in crate::index) fn start(&mut self) -> Result<()> {
        checked(bridge::builder_start(self.0.pin_mut()))
    }

    /// Does a part of the training on so many threads; whether there is more.
    pub(in crate::index) fn train(&mut self, threads: usize) -> Result<bool> {
        let (threads, mut more) = (u32::try_from(threads).unwrap_or(u32::MAX), false);
        checked(bridge::builder_train(self.0.pin_mut(), threads, &mut more))?;
        Ok(more)
    }

    pub(in crate::index) fn trained(&self) -> f32 {
        bridge::builder_trained(&self.0)
    }

    /// The trained centroids, without an entry.
    pub(in crate::index) fn version(&self) -> Result<Version> {
        Version::made(bridge::builder_version(&self.0))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("trained", &self.trained()).finish()
    }
}
