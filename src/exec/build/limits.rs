//! How much a build may take.

/// What a build may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `maintenance_work_mem`: the memory of a build beyond the centroids of its index.
    pub memory_bytes: u64,
    /// How many slices of rows are assigned side by side.
    pub threads: usize,
}

impl Limits {
    /// Where no statement says more: the defaults of the settings.
    #[must_use]
    pub fn default_of(cores: usize) -> Self {
        Self { memory_bytes: 256 << 20, threads: cores.min(3) }
    }

    /// A build takes this much in any case.
    pub const MEMORY_BYTES_MIN: u64 = 32 << 20;

    fn memory(self) -> u64 {
        self.memory_bytes.max(Self::MEMORY_BYTES_MIN)
    }

    /// For the sample; the rest is the centroids' while they are trained.
    pub(super) fn sample_bytes(self) -> u64 {
        self.memory() / 4 * 3
    }

    /// For postings that are not stored.
    pub(super) fn unstored_bytes(self) -> u64 {
        self.memory() / 2
    }

    /// For an object on its way to the store.
    pub(super) fn object_bytes(self) -> usize {
        let bytes = usize::try_from(self.memory() / 4).unwrap_or(usize::MAX);
        bytes.clamp(8 << 20, 64 << 20)
    }

    /// For the vectors that are being assigned.
    pub(super) fn slices_bytes(self) -> usize {
        usize::try_from(self.memory() / 8).unwrap_or(usize::MAX)
    }
}
