//! LISTEN and NOTIFY: who listens to which channel, and what waits for whom.
//!
//! ```text
//!  NOTIFY, pg_notify, LISTEN ──> Outbox ── commit ──> Channels ──> Ear of each listener ──> its client,
//!                                  └── rollback: forgotten                                 between transactions
//! ```
//!
//! All of it is in memory: who connects anew listens anew, as with PostgreSQL.

use crate::{
    error::{Error, Result, SqlState},
    ids::Oid,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::Notify;

/// The bytes of a channel's name, at most.
const CHANNEL_MAX: usize = 63;
/// The bytes of a payload, below.
const PAYLOAD_MAX: usize = 8000;
/// What may wait for all clients together, and what one transaction may say; in bytes.
const WAITING_MAX: usize = 64 << 20;
/// What a notification takes beside its texts.
const EACH: usize = 64;

/// Something that a session was told by another, or by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The backend that said it.
    pub process_id: i32,
    /// Where.
    pub channel: Arc<str>,
    /// What.
    pub payload: Arc<str>,
}

impl Notification {
    fn bytes(&self) -> usize {
        EACH + self.channel.len() + self.payload.len()
    }
}

/// By database and channel; a channel without listeners is none.
type Listeners = BTreeMap<(Oid, Arc<str>), Vec<Arc<Ear>>>;

/// The channels of a node.
#[derive(Debug, Default)]
pub(super) struct Channels {
    listeners: Mutex<Listeners>,
    /// The bytes that wait.
    waiting: AtomicUsize,
}

/// The part of a session that listens.
#[derive(Debug)]
pub(super) struct Ear {
    database: Oid,
    channels: Mutex<BTreeSet<Arc<str>>>,
    waiting: Mutex<VecDeque<Notification>>,
    came: Notify,
}

impl Ear {
    pub(super) fn of(database: Oid) -> Arc<Self> {
        Arc::new(Self {
            database,
            channels: Mutex::default(),
            waiting: Mutex::default(),
            came: Notify::new(),
        })
    }

    /// The channels that it listens to.
    pub(super) fn channels(&self) -> Vec<String> {
        self.channels.lock().iter().map(|channel| channel.to_string()).collect()
    }

    /// Until something may have come.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }
}

impl Channels {
    /// How full the room for what waits is, from 0 to 1.
    pub(super) fn usage(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = self.waiting.load(Relaxed) as f64 / WAITING_MAX as f64;
        share.min(1.0)
    }

    /// Whether what a transaction said can be told when it commits.
    ///
    /// # Errors
    /// 54000 when listeners do not take what waits for them.
    pub(super) fn admit(&self, outbox: &Outbox) -> Result<()> {
        if !outbox.told.is_empty() && self.waiting.load(Relaxed) >= WAITING_MAX {
            return Err(too_many());
        }
        Ok(())
    }

    /// Does what a transaction said that has committed: first it listens, then it tells.
    pub(super) fn carry_out(&self, ear: &Arc<Ear>, process_id: i32, said: Vec<Said>) {
        let mut listeners = self.listeners.lock();
        let mut told = Vec::new();
        for said in said {
            match said {
                Said::Listen(channel) => {
                    if ear.channels.lock().insert(Arc::clone(&channel)) {
                        let key = (ear.database, channel);
                        listeners.entry(key).or_default().push(Arc::clone(ear));
                    }
                }
                Said::Unlisten(channel) => self.stop(&mut listeners, ear, channel.as_deref()),
                Said::Notify(channel, payload) => {
                    told.push(Notification { process_id, channel, payload });
                }
            }
        }
        for notification in told {
            let key = (ear.database, Arc::clone(&notification.channel));
            for listener in listeners.get(&key).into_iter().flatten() {
                self.waiting.fetch_add(notification.bytes(), Relaxed);
                listener.waiting.lock().push_back(notification.clone());
                listener.came.notify_one();
            }
        }
    }

    /// What came for a listener.
    pub(super) fn take(&self, ear: &Ear) -> VecDeque<Notification> {
        let taken = std::mem::take(&mut *ear.waiting.lock());
        self.waiting.fetch_sub(taken.iter().map(Notification::bytes).sum(), Relaxed);
        taken
    }

    /// Stops listening, to all.
    pub(super) fn leave(&self, ear: &Arc<Ear>) {
        self.stop(&mut self.listeners.lock(), ear, None);
    }

    /// Stops listening to a channel, or to all. What came there and was not taken is forgotten.
    fn stop(&self, listeners: &mut Listeners, ear: &Arc<Ear>, channel: Option<&str>) {
        let mut channels = ear.channels.lock();
        let gone: Vec<Arc<str>> = match channel {
            Some(channel) => channels.get(channel).cloned().into_iter().collect(),
            None => channels.iter().cloned().collect(),
        };
        for channel in gone {
            channels.remove(&channel);
            let key = (ear.database, channel);
            if let Some(ears) = listeners.get_mut(&key) {
                ears.retain(|other| !Arc::ptr_eq(other, ear));
                if ears.is_empty() {
                    listeners.remove(&key);
                }
            }
        }
        ear.waiting.lock().retain(|waits| {
            let stays = channels.contains(&waits.channel);
            if !stays {
                self.waiting.fetch_sub(waits.bytes(), Relaxed);
            }
            stays
        });
    }
}

/// What a transaction says that counts when it commits.
#[derive(Debug)]
pub(super) enum Said {
    Listen(Arc<str>),
    /// `None`: all.
    Unlisten(Option<Arc<str>>),
    /// Channel and payload.
    Notify(Arc<str>, Arc<str>),
}

/// What the open transaction said so far.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    said: Vec<Said>,
    /// The same is told once.
    told: HashSet<(Arc<str>, Arc<str>)>,
    bytes: usize,
    /// Savepoints, and how much had been said at each.
    savepoints: Vec<(String, usize)>,
}

impl Outbox {
    pub(super) fn listen(&mut self, channel: &str) {
        self.said.push(Said::Listen(cut(channel).into()));
    }

    pub(super) fn unlisten(&mut self, channel: Option<&str>) {
        self.said.push(Said::Unlisten(channel.map(|channel| cut(channel).into())));
    }

    /// # Errors
    /// 22023 for a channel or payload that is none, 54000 where a transaction says too much.
    pub(super) fn notify(&mut self, channel: &str, payload: &str) -> Result<()> {
        let invalid = |message| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        if channel.is_empty() {
            return invalid("channel name cannot be empty");
        }
        if channel.len() > CHANNEL_MAX {
            return invalid("channel name too long");
        }
        if payload.len() >= PAYLOAD_MAX {
            return invalid("payload string too long");
        }
        let told: (Arc<str>, Arc<str>) = (channel.into(), payload.into());
        if self.told.contains(&told) {
            return Ok(());
        }
        let bytes = self.bytes + EACH + channel.len() + payload.len();
        if bytes > WAITING_MAX {
            return Err(too_many());
        }
        self.bytes = bytes;
        self.said.push(Said::Notify(Arc::clone(&told.0), Arc::clone(&told.1)));
        self.told.insert(told);
        Ok(())
    }

    pub(super) fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.to_owned(), self.said.len()));
    }

    pub(super) fn release(&mut self, name: &str) {
        if let Some(place) = self.savepoints.iter().rposition(|(other, _)| other == name) {
            self.savepoints.truncate(place);
        }
    }

    /// Takes back what was said since.
    pub(super) fn rollback_to(&mut self, name: &str) {
        let Some(place) = self.savepoints.iter().rposition(|(other, _)| other == name) else {
            return;
        };
        self.savepoints.truncate(place + 1);
        for said in self.said.drain(self.savepoints[place].1..) {
            if let Said::Notify(channel, payload) = said {
                self.bytes -= EACH + channel.len() + payload.len();
                self.told.remove(&(channel, payload));
            }
        }
    }

    /// All that was said; nothing is left.
    pub(super) fn take(&mut self) -> Vec<Said> {
        std::mem::take(self).said
    }
}

/// Names that are written as such are cut where PostgreSQL cuts them.
pub(super) fn cut(channel: &str) -> &str {
    &channel[..channel.floor_char_boundary(CHANNEL_MAX)]
}

fn too_many() -> Error {
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many notifications in the NOTIFY queue")
        .hint("A client listens and does not take what it is told, or stays in a transaction.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(channels: &Channels, ear: &Ear) -> Vec<String> {
        channels.take(ear).into_iter().map(|told| told.payload.to_string()).collect()
    }

    fn say(channels: &Channels, ear: &Arc<Ear>, say: impl Fn(&mut Outbox)) {
        let mut outbox = Outbox::default();
        say(&mut outbox);
        channels.carry_out(ear, 1, outbox.take());
    }

    #[test]
    fn listeners_are_told_in_order_and_what_is_the_same_once() {
        let channels = Channels::default();
        let (one, other, foreign) = (Ear::of(Oid(1)), Ear::of(Oid(1)), Ear::of(Oid(2)));
        for ear in [&one, &other, &foreign] {
            say(&channels, ear, |outbox| outbox.listen("a"));
        }
        say(&channels, &one, |outbox| {
            for payload in ["x", "y", "x", "z"] {
                outbox.notify("a", payload).unwrap();
            }
            outbox.notify("b", "w").unwrap();
        });
        for ear in [&one, &other] {
            assert_eq!(payloads(&channels, ear), ["x", "y", "z"]);
        }
        assert!(payloads(&channels, &foreign).is_empty());
        say(&channels, &one, |outbox| outbox.notify("a", "for one").unwrap());
        say(&channels, &other, |outbox| outbox.unlisten(None));
        assert_eq!(payloads(&channels, &one), ["for one"]);
        channels.leave(&one);
        say(&channels, &one, |outbox| outbox.notify("a", "late").unwrap());
        assert!(payloads(&channels, &one).is_empty() && payloads(&channels, &other).is_empty());
        channels.leave(&foreign);
        assert!(channels.listeners.lock().is_empty());
        assert_eq!(channels.usage(), 0.0);
    }

    #[test]
    fn what_a_savepoint_takes_back_was_never_said() {
        let mut outbox = Outbox::default();
        outbox.notify("a", "1").unwrap();
        outbox.savepoint("s");
        outbox.notify("a", "2").unwrap();
        outbox.listen("b");
        outbox.rollback_to("s");
        outbox.notify("a", "2").unwrap();
        outbox.notify("a", "1").unwrap();
        outbox.release("s");
        assert_eq!(outbox.take().len(), 2);
        assert!(outbox.take().is_empty());
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut outbox = Outbox::default();
        let payload = |n: usize| format!("{n:07999}");
        let most = (0..).find(|&n| outbox.notify("a", &payload(n)).is_err()).unwrap();
        assert!(most <= WAITING_MAX / 7999);
        let (channels, ear) = (Channels::default(), Ear::of(Oid(1)));
        say(&channels, &ear, |outbox| outbox.listen("a"));
        assert!(channels.admit(&outbox).is_ok());
        channels.carry_out(&ear, 1, outbox.take());
        outbox.notify("a", &payload(most)).unwrap();
        outbox.notify("a", "more").unwrap();
        channels.carry_out(&ear, 1, outbox.take());
        outbox.notify("a", "too much").unwrap();
        let refused = channels.admit(&outbox).unwrap_err();
        assert_eq!(refused.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
    }
}
