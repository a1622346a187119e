//! Numbers that look random and are the same in every run.

/// Where the next number comes from.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    /// A number between 0 and 1.
    pub(crate) fn unit(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(self.0 >> 48).unwrap()) / f32::from(u16::MAX)
    }
}
