//! An endpoint that fails when told to: it reads HTTP by itself, so that it can also hang, and cut
//! connections before and after it has taken a request.

use nearlake::clock::{SharedClock, SystemClock};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use serde_json::Value;
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A test that waits longer for events than this has failed.
const WAIT_LIMIT: Duration = Duration::from_secs(120);

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// It is taken, and answered 204.
    Take,
    /// It is answered with this.
    Refuse(u16),
    /// The connection is cut off without an answer.
    Cut,
    /// It is taken, and the connection cut off: the sender cannot know.
    TakeAndCut,
    /// No answer ever.
    Hang,
    /// It is taken after a while.
    Slow,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Debug)]
struct State {
    /// What was taken, the same events again among it.
    taken: Vec<Request>,
    /// How many requests came.
    requests: usize,
    /// Requests under way at a time, at most.
    busy: usize,
    busiest: usize,
    always: Option<Deed>,
    rng: SmallRng,
}

/// An endpoint.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    clock: SharedClock,
}

impl Receiver {
    /// One that takes everything.
    pub(super) async fn start() -> Self {
        Self::start_with(Some(Deed::Take), 0).await
    }

    /// One that does now this and now that.
    pub(super) async fn unreliable(seed: u64) -> Self {
        Self::start_with(None, seed).await
    }

    async fn start_with(always: Option<Deed>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            taken: Vec::new(),
            requests: 0,
            busy: 0,
            busiest: 0,
            always,
            rng: SmallRng::seed_from_u64(seed),
        };
        let (state, clock) = (Arc::new(Mutex::new(state)), SystemClock::shared());
        let receiver = Self { address, state, clock };
        let accepting = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        receiver
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on it does this.
    pub(super) fn always(&self, deed: Deed) {
        self.state.lock().always = Some(deed);
    }

    /// What was taken so far, the same events again among it.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.state.lock().taken.clone()
    }

    /// How many requests came, and how many of them at a time.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.requests, state.busiest)
    }

    /// The events that were taken, each once, in the order in which they first came.
    pub(super) fn events(&self) -> Vec<Value> {
        let mut seen = HashMap::new();
        let mut events = Vec::new();
        for request in self.requests() {
            let id = request.headers["webhook-id"].clone();
            let event = request.event();
            assert_eq!(event["id"], id, "the header and the body name one event");
            match seen.get(&id) {
                Some(body) => assert_eq!(*body, request.body, "the same id is the same event"),
                None => events.push(event),
            }
            seen.insert(id, request.body);
        }
        events
    }

    /// Waits until so many events came.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Value> {
        self.wait_until(&format!("{count} events"), |events| events.len() >= count).await
    }

    /// Waits until the events are enough.
    pub(super) async fn wait_until(
        &self,
        what: &str,
        is_enough: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let limit = self.clock.elapsed() + WAIT_LIMIT;
        let mut known = usize::MAX;
        loop {
            let count = self.state.lock().taken.len();
            if count != known {
                known = count;
                let events = self.events();
                if is_enough(&events) {
                    return events;
                }
            }
            assert!(self.clock.elapsed() < limit, "{what} did not come: {:?}", self.events());
            self.clock.sleep(Duration::from_millis(20)).await;
        }
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some(request) = read(&mut stream).await {
            let deed = self.begin();
            let go_on = self.answer(deed, request, &mut stream).await;
            self.state.lock().busy -= 1;
            if !go_on {
                return;
            }
        }
    }

    fn begin(&self) -> Deed {
        let mut state = self.state.lock();
        state.requests += 1;
        state.busy += 1;
        state.busiest = state.busiest.max(state.busy);
        if let Some(deed) = state.always {
            return deed;
        }
        match state.rng.random_range(0..1000) {
            0..30 => Deed::Refuse(500),
            30..50 => Deed::Refuse(503),
            50..80 => Deed::Cut,
            80..110 => Deed::TakeAndCut,
            110..115 => Deed::Hang,
            115..135 => Deed::Slow,
            _ => Deed::Take,
        }
    }

    /// Whether the connection goes on.
    async fn answer(&self, deed: Deed, request: Request, stream: &mut TcpStream) -> bool {
        let status = match deed {
            Deed::Take => 204,
            Deed::Refuse(status) => status,
            Deed::Cut | Deed::TakeAndCut => {
                if deed == Deed::TakeAndCut {
                    self.state.lock().taken.push(request);
                }
                // A reset rather than an orderly end.
                let _ = stream.set_zero_linger();
                return false;
            }
            Deed::Hang => {
                // Until the sender gives up.
                let _ = stream.read(&mut [0]).await;
                return false;
            }
            Deed::Slow => {
                self.clock.sleep(Duration::from_millis(50)).await;
                200
            }
        };
        if matches!(deed, Deed::Take | Deed::Slow) {
            self.state.lock().taken.push(request);
        }
        let body = if status == 204 { "" } else { "so be it" };
        let extra =
            if (300..400).contains(&status) { "location: http://127.0.0.1:1/\r\n" } else { "" };
        let length = match status {
            204 => String::new(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        let answer = format!("HTTP/1.1 {status} X\r\n{extra}{length}\r\n{body}");
        stream.write_all(answer.as_bytes()).await.is_ok()
    }
}

/// The next request of a connection.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("POST /hook"), "{text}");
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[head + 4..head + 4 + length].to_vec()).unwrap();
    Some(Request { headers, body })
}
