use super::*;
use crate::clock::SystemClock;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[derive(Default)]
struct Told(Mutex<Vec<Check>>);

#[async_trait]
impl Checks for Told {
    async fn checks(&self) -> Vec<Check> {
        self.0.lock().clone()
    }

    fn known(&self) -> Vec<Check> {
        self.0.lock().clone()
    }
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn sidecar() -> (Sidecar, Arc<Told>, Arc<Metrics>) {
    let (told, metrics) = (Arc::new(Told::default()), Arc::new(Metrics::default()));
    let checks = Arc::clone(&told) as Arc<dyn Checks>;
    let clock = SystemClock::shared();
    let state = State { checks, metrics: Arc::clone(&metrics), api: None, clock };
    let address = "127.0.0.1:0".parse().unwrap();
    let sidecar = Sidecar::start(address, state, &Options::default()).await.unwrap();
    (sidecar, told, metrics)
}

#[tokio::test]
async fn a_node_that_waits_is_healthy_and_not_ready() {
    let (sidecar, told, _) = sidecar().await;

    *told.0.lock() = vec![Check::ok("wal", "at 7"), Check::waiting("store", "no answer for 9 s")];
    let ready = get(sidecar.address(), "/readyz").await;
    let healthy = get(sidecar.address(), "/healthz").await;
    *told.0.lock() = vec![Check::broken("wal", "fenced")];
    let broken = get(sidecar.address(), "/healthz").await;
    *told.0.lock() = vec![Check::ok("wal", "at 7")];
    let ready_again = get(sidecar.address(), "/readyz").await;

    assert_eq!(ready.0, 503);
    let body: serde_json::Value = serde_json::from_str(&ready.1).unwrap();
    assert_eq!(body["status"], "unavailable");
    assert_eq!(body["checks"][1]["name"], "store");
    assert_eq!(body["checks"][1]["ok"], false);
    assert_eq!(body["checks"][1]["state"], "waiting");
    assert_eq!(body["checks"][1]["detail"], "no answer for 9 s");
    assert_eq!((healthy.0, broken.0, ready_again.0), (200, 503, 200));
    sidecar.stop(std::future::pending()).await;
}

#[tokio::test]
async fn metrics_are_text_and_unknown_paths_are_404() {
    let (sidecar, _, metrics) = sidecar().await;

    metrics.connections.set(3);
    let (code, text) = get(sidecar.address(), "/metrics").await;

    assert_eq!(code, 200);
    assert!(text.contains("nearlake_connections 3"), "{text}");
    assert_eq!(get(sidecar.address(), "/livez").await.0, 200);
    assert_eq!(get(sidecar.address(), "/nowhere").await.0, 404);
    sidecar.stop(std::future::pending()).await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let (sidecar, told, metrics) = sidecar().await;

    let state = State { checks: told, metrics, api: None, clock: SystemClock::shared() };
    let error = Sidecar::start(sidecar.address(), state, &Options::default()).await.unwrap_err();

    assert!(error.message().contains(&sidecar.address().to_string()), "{error}");
    sidecar.stop(std::future::pending()).await;
}
