//! Calibrations: the stop rule learns how many postings searches need.

use super::{bridge, checked, chunk::Chunk, version::Version};
use crate::error::Result;
use cxx::UniquePtr;

/// A calibration of the stop rule.
pub(in crate::index) struct Calibrator(UniquePtr<bridge::Calibrator>);

impl Calibrator {
    pub(in crate::index) fn begin(version: &Version) -> Result<Self> {
        let made = bridge::calibrator_begin(&version.0);
        checked(made.status)?;
        Ok(Self(made.value))
    }

    pub(in crate::index) fn sample_postings(&self) -> Result<Vec<u32>> {
        let mut postings = Vec::new();
        checked(bridge::calibrator_sample_postings(&self.0, &mut postings))?;
        Ok(postings)
    }

    pub(in crate::index) fn wanted(&self) -> usize {
        bridge::calibrator_wanted(&self.0)
    }

    pub(in crate::index) fn add_sample(&mut self, chunk: &Chunk) -> Result<()> {
        checked(bridge::calibrator_add_sample(self.0.pin_mut(), &chunk.0))
    }

    pub(in crate::index) fn add_posting(
        &mut self,
        posting: u32,
        chunk: &Chunk,
        live: &[u8],
    ) -> Result<()> {
        checked(bridge::calibrator_add_posting(self.0.pin_mut(), posting, &chunk.0, live))
    }

    pub(in crate::index) fn finish(mut self) -> Result<Version> {
        Version::made(bridge::calibrator_finish(self.0.pin_mut()))
    }
}
