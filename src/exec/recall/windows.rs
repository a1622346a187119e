//! The latest answers by index, filter and target, and what they tell: to the view, to the metrics,
//! and to the log when recall is below its target for certain.

use super::{Answered, Band, Estimate, aim::Aim};
use crate::{catalog::pg::RecallRow, ids::IndexId, telemetry::Metrics};
use std::collections::{BTreeMap, VecDeque};

/// So many of the latest answers count.
const WINDOW: usize = 1000;
/// With fewer, recall is unknown.
const QUERIES_MIN: usize = 30;

/// What recall is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    index: IndexId,
    band: Band,
    /// In thousandths.
    target: u16,
}

impl Key {
    pub(super) fn new(index: IndexId, band: Band, target: f32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a target is at most 1")]
        #[expect(clippy::cast_sign_loss, reason = "a target is above 0")]
        let target = (target * 1000.0).round() as u16;
        Self { index, band, target }
    }

    fn target(self) -> f64 {
        f64::from(self.target) / 1000.0
    }
}

/// The latest answers of every key.
#[derive(Debug, Default)]
pub(super) struct Windows(BTreeMap<Key, Window>);

/// The latest answers of a key.
#[derive(Debug, Default)]
struct Window {
    /// The index's.
    name: String,
    answered: VecDeque<Answered>,
    aim: Aim,
    /// Whether it is below its target, and was told.
    is_told: bool,
}

impl Windows {
    /// Another answer counts; what is known when it shows, for the first time, that recall has
    /// fallen below its target.
    pub(super) fn record(
        &mut self,
        key: Key,
        name: &str,
        answered: Answered,
        metrics: &Metrics,
    ) -> Option<Estimate> {
        let window = self.0.entry(key).or_default();
        name.clone_into(&mut window.name);
        if window.answered.len() == WINDOW {
            window.answered.pop_front();
        }
        window.answered.push_back(answered);
        window.aim.learn(answered, key.target());
        let known = window.estimate()?;
        window.tell(key, known, metrics).then_some(known)
    }

    /// What a search is to aim at so that it finds what it shall.
    pub(super) fn aim(&self, key: Key) -> f64 {
        self.0.get(&key).map_or(key.target(), |window| window.aim.at(key.target()))
    }

    /// What is known, by index, band and target.
    pub(super) fn rows(&self) -> Vec<RecallRow> {
        let row = |(key, window): (&Key, &Window)| {
            let known = window.estimate();
            RecallRow {
                index: key.index,
                band: key.band.name(),
                target: key.target(),
                measured: known.map(|known| known.recall),
                low: known.map(|known| known.low),
                high: known.map(|known| known.high),
                samples: i64::try_from(window.answered.len()).unwrap_or(i64::MAX),
            }
        };
        self.0.iter().map(row).collect()
    }

    /// Lets go of indexes that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(IndexId) -> bool, metrics: &Metrics) {
        self.0.retain(|key, window| {
            let stays = is_there(key.index);
            if !stays {
                let labels = [window.name.as_str(), key.band.name()];
                // One that was never set is not there to be removed.
                let _ = metrics.recall.remove_label_values(&labels);
                let _ = metrics.recall_target.remove_label_values(&labels);
                let _ = metrics.recall_below_target.remove_label_values(&labels);
            }
            stays
        });
    }
}

impl Window {
    /// `None` while there are too few answers.
    fn estimate(&self) -> Option<Estimate> {
        let is_enough = self.answered.len() >= QUERIES_MIN;
        is_enough.then(|| Estimate::of(self.answered.iter().copied())).flatten()
    }

    /// The metrics learn of what is known, and the log of recall that has fallen below its target:
    /// once, until it has been as high as it shall be. Whether the log was told.
    fn tell(&mut self, key: Key, known: Estimate, metrics: &Metrics) -> bool {
        let target = key.target();
        let is_below = known.high < target;
        let labels = [self.name.as_str(), key.band.name()];
        metrics.recall.with_label_values(&labels).set(known.recall);
        metrics.recall_target.with_label_values(&labels).set(target);
        metrics.recall_below_target.with_label_values(&labels).set(i64::from(is_below));
        let is_news = is_below && !self.is_told;
        if is_news {
            tracing::warn!(
                index = %self.name,
                filter = key.band.name(),
                target,
                measured = known.recall,
                low = known.low,
                high = known.high,
                samples = known.queries,
                "measured recall is below its target"
            );
        }
        self.is_told = is_below || (self.is_told && known.recall < target);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Oid;
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    /// The log of a test.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        /// What `work` logs.
        fn of(work: impl FnOnce()) -> String {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::with_default(subscriber, work);
            String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
        }
    }

    const INDEX: IndexId = Oid(20_000);

    /// `count` answers of this share.
    fn record(windows: &mut Windows, metrics: &Metrics, share: f64, count: usize) {
        let key = Key::new(INDEX, Band::Selective, 0.95);
        for _ in 0..count {
            windows.record(key, "item_idx", Answered { share, wanted: 10.0 }, metrics);
        }
    }

    #[test]
    fn recall_below_its_target_is_told_once_until_it_has_recovered() {
        let (mut windows, metrics) = (Windows::default(), Metrics::default());
        let log = Log::of(|| record(&mut windows, &metrics, 0.8, QUERIES_MIN - 1));
        assert_eq!(log, "", "too few answers tell nothing");
        assert_eq!(windows.rows()[0].measured, None);

        let log = Log::of(|| record(&mut windows, &metrics, 0.8, 300));
        assert_eq!(log.matches("measured recall is below its target").count(), 1, "{log}");
        for part in ["WARN", "index=item_idx", "filter=\"1-30 %\"", "target=0.95", "measured=0.8"] {
            assert!(log.contains(part), "{part}: {log}");
        }

        let log = Log::of(|| record(&mut windows, &metrics, 1.0, WINDOW));
        assert_eq!(log, "", "that it is well again is no event");
        let log = Log::of(|| record(&mut windows, &metrics, 0.5, WINDOW));
        assert_eq!(log.matches("below its target").count(), 1, "{log}");
    }

    #[test]
    fn recall_that_may_be_as_it_should_is_not_told() {
        let (mut windows, metrics) = (Windows::default(), Metrics::default());
        // A little below; with so few answers the interval reaches above.
        let log = Log::of(|| record(&mut windows, &metrics, 0.94, 40));
        assert_eq!(log, "");
        let row = &windows.rows()[0];
        assert!(row.high.unwrap() >= 0.95 && row.low.unwrap() < 0.94, "{row:?}");
        assert_eq!(row.samples, 40);
    }

    #[test]
    fn gauges_follow_and_go_with_their_index() {
        let (mut windows, metrics) = (Windows::default(), Metrics::default());
        record(&mut windows, &metrics, 0.5, 100);
        let labels = "{filter=\"1-30 %\",index=\"item_idx\"}";
        let text = metrics.render().unwrap();
        assert!(text.contains(&format!("nearlake_recall_target{labels} 0.95")), "{text}");
        assert!(text.contains(&format!("nearlake_recall_below_target{labels} 1")), "{text}");
        assert!(text.contains(&format!("nearlake_recall{labels} 0.5")), "{text}");

        record(&mut windows, &metrics, 1.0, WINDOW);
        let text = metrics.render().unwrap();
        assert!(text.contains(&format!("nearlake_recall_below_target{labels} 0")), "{text}");

        windows.retain(|index| index != INDEX, &metrics);
        assert!(windows.rows().is_empty());
        let text = metrics.render().unwrap();
        assert!(!text.contains("item_idx"), "{text}");
    }
}
