//! The protocol, byte by byte: what a client may say, what it may not, and what it is told.

mod raw;

use crate::support;
use raw::{
    Raw, VERSION_3_0, VERSION_3_2, bind, close, describe, execute, frame, packet, parse, query,
    run, sync, texts,
};
use std::{net::SocketAddr, time::Duration};
use tokio::io::AsyncWriteExt;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_greeted_in_the_version_that_both_speak() {
    let node = support::start().await;

    let mut raw = Raw::connect(node.pg_addr()).await;
    for request in [SSL_REQUEST, GSS_REQUEST] {
        raw.bytes(&packet(request, &[])).await;
        assert_eq!(raw.byte().await, b'N');
    }
    let options = "-c jit=off --extra-float-digits=0";
    raw.bytes(&packet(VERSION_3_0, &["user", "postgres", "options", options])).await;
    let said = raw.until(b'Z').await;
    assert_eq!(said.kinds().replace('S', ""), "RKZ");
    assert_eq!(said.body(b'K').len(), 8);
    assert_eq!(raw.query("SHOW extra_float_digits").await.body(b'D'), b"\0\x01\0\0\0\x010");

    let (_, said) = Raw::login(node.pg_addr(), VERSION_3_2).await;
    assert_eq!((said.0[0].0, said.body(b'K').len()), (b'R', 36));

    let mut raw = Raw::connect(node.pg_addr()).await;
    raw.bytes(&packet(VERSION_3_0 + 9999, &["user", "postgres", "_pq_.wish", "1"])).await;
    let said = raw.until(b'Z').await;
    let newest = [&VERSION_3_2.to_be_bytes()[..], b"\0\0\0\x01_pq_.wish\0"].concat();
    assert_eq!(said.body(b'v'), newest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_be_let_in_is_told_why() {
    let node = support::start().await;
    let huge = 0x4000_0000_u32.to_be_bytes();

    for (bytes, state, message) in [
        (huge.to_vec(), "08P01", "invalid length of startup packet"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "08P01", "invalid length of startup packet"),
        (vec![0xff; 100], "08P01", "invalid length of startup packet"),
        (vec![0; 8], "08P01", "invalid length of startup packet"),
        (
            packet(2 << 16, &["user", "postgres"]),
            "0A000",
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2",
        ),
        (
            packet(VERSION_3_0, &["database", "postgres"]),
            "28000",
            "no PostgreSQL user name specified in startup packet",
        ),
        (packet(VERSION_3_0, &["user", "nobody"]), "28000", "role \"nobody\" does not exist"),
        (
            packet(VERSION_3_0, &["user", "postgres", "database", "none"]),
            "3D000",
            "database \"none\" does not exist",
        ),
    ] {
        let mut raw = Raw::connect(node.pg_addr()).await;
        raw.bytes(&bytes).await;
        assert_eq!(raw.rest().await.fault(), ["FATAL", state, message]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_message_end_the_connection_with_a_reason() {
    let node = support::start().await;

    for (bytes, message) in [
        (&b"\x01\0\0\0\x04"[..], "invalid frontend message type 1"),
        (b"p\0\0\0\x04", "invalid frontend message type 112"),
        (b"Q\x40\0\0\0", "invalid message length"),
        (b"Q\xff\xff\xff\xff", "invalid message length"),
        (b"Q\0\0\0\x03", "invalid message length"),
        (b"S\0\x01\0\0", "invalid message length"),
    ] {
        let mut raw = Raw::ready(node.pg_addr()).await;
        raw.bytes(bytes).await;
        assert_eq!(raw.rest().await.fault(), ["FATAL", "08P01", message]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_message_is_an_error_of_that_message() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;

    for (message, state) in [
        (frame(b'Q', b"SELECT 1"), "08P01"),
        (frame(b'Q', b"SELECT '\xff'\0"), "22021"),
        (frame(b'F', b""), "0A000"),
    ] {
        raw.bytes(&message).await;
        let said = raw.until(b'Z').await;
        assert_eq!((said.kinds().as_str(), said.error(b'C').as_str()), ("EZ", state));
    }
    for message in [frame(b'B', b""), frame(b'P', b"x"), frame(b'D', b"X\0")] {
        raw.say([message, run("SELECT 1"), sync()]).await;
        let said = raw.until(b'Z').await;
        assert_eq!((said.kinds().as_str(), said.error(b'C').as_str()), ("EZ", "08P01"));
    }
    assert_eq!(raw.query("SELECT 1").await.tags(), ["SELECT 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statements_of_a_query_are_one_transaction() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;

    assert_eq!(raw.query(" ; ").await.kinds(), "IZ");
    let said = raw.query("CREATE TABLE t (v int); INSERT INTO t VALUES (1), (2); TABLE t").await;
    assert_eq!(said.kinds(), "CCTDDCZ");
    assert_eq!(said.tags(), ["CREATE TABLE", "INSERT 0 2", "SELECT 2"]);

    let said = raw.query("INSERT INTO t VALUES (3); SELECT 1/0; INSERT INTO t VALUES (4)").await;
    assert_eq!((said.error(b'S'), said.error(b'C')), ("ERROR".into(), "22012".into()));
    assert_eq!(raw.query("TABLE t").await.tags(), ["SELECT 2"]);

    let mut statuses = String::new();
    for sql in ["BEGIN", "SELECT 1/0", "SELECT 1", "ROLLBACK", "SELECT 1"] {
        statuses.push(raw.query(sql).await.status());
    }
    assert_eq!(statuses, "TEEII");
    assert_eq!(raw.query("SELECT $1").await.error(b'C'), "42P02");

    raw.say([query("SELECT 1"), query("SELECT 2 WHERE false"), frame(b'X', b"")]).await;
    assert_eq!(raw.until(b'Z').await.tags(), ["SELECT 1"]);
    assert_eq!(raw.until(b'Z').await.tags(), ["SELECT 0"]);
    assert!(raw.rest().await.0.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_go_in_and_out_in_text_and_in_binary() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;

    raw.say([parse("s", "SELECT $1::int4, $2::text"), describe(b'S', "s"), frame(b'H', b"")]).await;
    let said = raw.until(b'T').await;
    assert_eq!(said.kinds(), "1tT");
    assert_eq!(said.body(b't'), b"\0\x02\0\0\0\x17\0\0\0\x19");

    let seven = 7_i32.to_be_bytes();
    let mixed = bind("", "s", &[1, 0], &[Some(&seven[..]), Some(b"x")], &[0, 1]);
    raw.say([mixed, describe(b'P', ""), execute("", 0), sync()]).await;
    let said = raw.until(b'Z').await;
    assert_eq!(said.kinds(), "2TDCZ");
    assert_eq!(said.body(b'D'), b"\0\x02\0\0\0\x017\0\0\0\x01x");

    let binary = bind("", "s", &[], &[Some(b"7"), None], &[1]);
    raw.say([binary, execute("", 0), sync()]).await;
    let said = raw.until(b'Z').await;
    assert_eq!(said.body(b'D'), b"\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff");

    raw.say([close(b'S', "s"), close(b'S', "s"), close(b'P', "p"), run(""), sync()]).await;
    assert_eq!(raw.until(b'Z').await.kinds(), "33312IZ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_a_statement_is_refused_until_sync() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;
    raw.say([parse("s", "SELECT $1::int4, $2::text"), sync()]).await;
    raw.until(b'Z').await;

    let bind_s = |formats: &[i16], values: &[Option<&[u8]>], results: &[i16]| {
        bind("", "s", formats, values, results)
    };
    for (message, state, text) in [
        (
            bind_s(&[], &[None], &[]),
            "08P01",
            "bind message supplies 1 parameters, but prepared statement \"s\" requires 2",
        ),
        (
            bind_s(&[0, 0, 0], &[None, None], &[]),
            "08P01",
            "bind message has 3 parameter formats but 2 parameters",
        ),
        (
            bind_s(&[], &[None, None], &[0, 0, 0]),
            "08P01",
            "bind message has 3 result formats but query has 2 columns",
        ),
        (bind_s(&[2], &[None, None], &[]), "22023", "unsupported format code: 2"),
        (
            bind_s(&[], &[Some(b"x"), None], &[]),
            "22P02",
            "invalid input syntax for type integer: \"x\"",
        ),
        (
            bind_s(&[], &[None, Some(b"a\0b")], &[]),
            "22021",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ),
        (bind("", "x", &[], &[], &[]), "26000", "prepared statement \"x\" does not exist"),
        (execute("x", 0), "34000", "portal \"x\" does not exist"),
        (describe(b'P', "x"), "34000", "portal \"x\" does not exist"),
        (parse("s", "SELECT 1"), "42P05", "prepared statement \"s\" already exists"),
        (
            parse("", "SELECT 1; SELECT 2"),
            "42601",
            "cannot insert multiple commands into a prepared statement",
        ),
    ] {
        raw.say([message, run("SELECT 1"), query("SELECT 1"), sync()]).await;
        let said = raw.until(b'Z').await;
        assert_eq!(said.kinds(), "EZ", "{text}");
        assert_eq!(said.fault(), ["ERROR", state, text]);
    }

    assert_eq!(raw.query("DEALLOCATE s").await.tags(), ["DEALLOCATE"]);
    assert_eq!(raw.query("DEALLOCATE s").await.error(b'C'), "26000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_is_one_transaction_until_sync() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;
    raw.query("CREATE TABLE t (v int)").await;

    let insert = |value: i32| run(&format!("INSERT INTO t VALUES ({value})"));
    raw.say([insert(1), insert(2), sync()]).await;
    raw.say([insert(3), run("SELECT 1/0"), insert(4), sync()]).await;
    raw.say([insert(5), sync()]).await;

    assert_eq!(raw.until(b'Z').await.kinds(), "12C12CZ");
    // Where the division is found out, at Bind or at Execute, is the planner's choice.
    let said = raw.until(b'Z').await.kinds();
    assert!(said.starts_with("12C") && said.ends_with("EZ") && said.len() <= 7, "{said}");
    assert_eq!(raw.until(b'Z').await.kinds(), "12CZ");
    let said = raw.query("SELECT sum(v) FROM t").await;
    assert_eq!(said.body(b'D'), b"\0\x01\0\0\0\x018");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_is_read_in_pieces_and_dies_with_its_transaction() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;
    let five = parse("q", "SELECT * FROM generate_series(1, 5) ORDER BY 1");

    raw.say([five, bind("p", "q", &[], &[], &[]), execute("p", 2), execute("p", 2)]).await;
    raw.say([execute("p", 2), execute("p", 2), sync(), execute("p", 1), sync()]).await;
    let said = raw.until(b'Z').await;
    assert_eq!(said.kinds(), "12DDsDDsDCCZ");
    assert_eq!(said.tags(), ["SELECT 1", "SELECT 0"]);
    assert_eq!(raw.until(b'Z').await.error(b'C'), "34000");

    raw.query("BEGIN").await;
    let [a, b] = ["a", "b"].map(|name| bind(name, "q", &[], &[], &[]));
    raw.say([a.clone(), b, execute("a", 5), sync()]).await;
    assert_eq!(raw.until(b'Z').await.kinds(), "22DDDDDsZ");
    raw.say([execute("b", 1), execute("a", 1), sync()]).await;
    assert_eq!(raw.until(b'Z').await.kinds(), "DsCZ");
    raw.say([a, sync()]).await;
    assert_eq!(raw.until(b'Z').await.error(b'C'), "42P03");
    raw.query("ROLLBACK").await;
    raw.say([execute("b", 1), sync()]).await;
    assert_eq!(raw.until(b'Z').await.error(b'C'), "34000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_takes_all_or_nothing() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;
    raw.query("CREATE TABLE items (v int)").await;
    let data = |text: &str| frame(b'd', text.as_bytes());
    let (done, copy) = (frame(b'c', b""), "COPY items FROM STDIN");

    raw.bytes(&query(copy)).await;
    assert_eq!(raw.until(b'G').await.body(b'G'), [0, 0, 1, 0, 0]);
    raw.say([data("1\n2"), frame(b'H', b""), sync(), data("3\n"), done.clone()]).await;
    assert_eq!(raw.until(b'Z').await.tags(), ["COPY 2"]);

    raw.bytes(&query(copy)).await;
    raw.until(b'G').await;
    raw.say([data("1\n"), frame(b'f', &texts(&["changed my mind"]))]).await;
    let said = raw.until(b'Z').await;
    assert_eq!(said.fault(), ["ERROR", "57014", "COPY from stdin failed: changed my mind"]);

    raw.bytes(&query(copy)).await;
    raw.until(b'G').await;
    raw.say([data("1\nx\n"), data("2\n"), done.clone(), query("SELECT 1")]).await;
    let said = raw.until(b'Z').await;
    assert_eq!(said.error(b'C'), "22P02");
    assert_eq!(said.error(b'W'), "COPY items, line 2, column v: \"x\"");
    assert_eq!(raw.until(b'Z').await.tags(), ["SELECT 1"]);

    raw.say([run(copy), sync()]).await;
    raw.until(b'G').await;
    raw.say([data("x\n"), data("2\n"), done, sync()]).await;
    assert_eq!(raw.until(b'Z').await.kinds(), "EZ");

    raw.bytes(&query(copy)).await;
    raw.until(b'G').await;
    raw.bytes(&query("SELECT 1")).await;
    let said = raw.until(b'Z').await;
    assert_eq!(said.error(b'M'), "unexpected message type 0x51 during COPY from stdin");

    let said = raw.query("COPY (SELECT v FROM items ORDER BY v) TO STDOUT").await;
    assert_eq!(said.kinds(), "HddcCZ");
    assert_eq!((said.body(b'd'), said.tags()), (&b"1\n"[..], vec!["COPY 2".to_owned()]));
}

async fn cancel(address: SocketAddr, key: &[u8]) {
    let mut raw = Raw::connect(address).await;
    let length = u32::try_from(8 + key.len()).unwrap().to_be_bytes();
    raw.bytes(&[&length[..], &CANCEL_REQUEST.to_be_bytes(), key].concat()).await;
    assert!(raw.rest().await.0.is_empty(), "a cancel request is not answered");
}

/// Long enough for a statement to be under way.
async fn pause() {
    let never = std::future::pending::<()>();
    tokio::time::timeout(Duration::from_millis(200), never).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_reaches_every_state_within_a_second() {
    let node = support::start().await;
    Raw::ready(node.pg_addr()).await.query("CREATE TABLE t (v int)").await;
    let million = "generate_series(1, 1000000)";

    for version in [VERSION_3_0, VERSION_3_2] {
        for sql in [
            format!("SELECT count(*) FROM {million} a, {million} b"),
            format!("SELECT * FROM {million} a, {million} b"),
            "COPY t FROM STDIN".to_owned(),
        ] {
            let (mut raw, said) = Raw::login(node.pg_addr(), version).await;
            let key = said.body(b'K').to_vec();
            let mut wrong = key.clone();
            *wrong.last_mut().unwrap() ^= 1;

            // A cancel that comes before the statement does not stop it.
            cancel(node.pg_addr(), &key).await;
            assert_eq!(raw.query("SELECT 1").await.tags(), ["SELECT 1"]);
            raw.bytes(&query(&sql)).await;
            pause().await;
            cancel(node.pg_addr(), &wrong).await;
            cancel(node.pg_addr(), &key).await;
            let said = tokio::time::timeout(Duration::from_secs(1), raw.until(b'Z')).await;
            assert_eq!(said.expect(&sql).error(b'C'), "57014", "{sql}");
            assert_eq!(raw.query("SELECT 1").await.tags(), ["SELECT 1"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hangs_up_or_does_not_read_holds_nobody_else_back() {
    let node = support::start().await;
    let million = "generate_series(1, 1000000)";

    let mut deaf = Raw::ready(node.pg_addr()).await;
    deaf.bytes(&query(&format!("SELECT * FROM {million} a, {million} b"))).await;
    let mut gone = Raw::ready(node.pg_addr()).await;
    gone.bytes(&query(&format!("SELECT count(*) FROM {million} a, {million} b"))).await;
    pause().await;
    drop(gone);

    let mut raw = Raw::ready(node.pg_addr()).await;
    assert_eq!(raw.query("SELECT 1").await.tags(), ["SELECT 1"]);
    raw.bytes(&query("SELECT 2")).await;
    raw.0.shutdown().await.unwrap();
    assert_eq!(raw.rest().await.kinds(), "TDCZ", "half-closed, and still answered");
}

#[tokio::test]
async fn a_transaction_may_idle_only_so_long() {
    let node = support::start().await;
    let client = node.client().await;
    let idle = "SET idle_in_transaction_session_timeout = '50ms'; BEGIN";
    client.batch_execute(idle).await.unwrap();
    while !client.is_closed() {
        tokio::task::yield_now().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_waits_for_data_ends_with_its_time() {
    let node = support::start().await;
    let mut raw = Raw::ready(node.pg_addr()).await;
    raw.query("CREATE TABLE t (v int); SET statement_timeout = '50ms'").await;
    let said = tokio::time::timeout(Duration::from_secs(5), raw.query("COPY t FROM STDIN")).await;
    let [_, code, message] = said.expect("the deadline ends it").fault();
    assert_eq!(
        (code.as_str(), message.contains("statement timeout")),
        ("57014", true),
        "{message}"
    );
    assert_eq!(raw.query("SELECT 1").await.tags(), ["SELECT 1"]);
}

/// Clients that connect and say nothing: so many are let wait, the others dropped, and none for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_silent_clients_is_bounded_and_passes() {
    let flags = ["--max-connections", "2", "--auth-timeout", "1s"];
    let node = support::start_on("memory:", &flags).await;
    let at = node.pg_addr();

    let mut flood = Vec::new();
    for number in 0..200_u8 {
        let mut raw = Raw::connect(at).await;
        // Some begin a message that they do not end; one that was dropped may not hear it.
        if number % 3 == 0 {
            let _ = raw.0.write_all(&[0, 0, 0, 200, 0, 3, 0]).await;
        }
        flood.push(raw);
    }
    let mut dropped = 0;
    for mut raw in flood {
        let mut said = Vec::new();
        let closed = tokio::io::AsyncReadExt::read_to_end(&mut raw.0, &mut said);
        let closed = tokio::time::timeout(Duration::from_secs(20), closed).await;
        closed.expect("a silent client is not let wait").ok();
        match said.is_empty() {
            true => dropped += 1,
            false => assert!(String::from_utf8_lossy(&said).contains("C57014"), "{said:?}"),
        }
    }
    assert!(dropped >= 150, "{dropped}");
    assert_eq!(Raw::ready(at).await.query("SELECT 1").await.body(b'D'), b"\0\x01\0\0\0\x011");
    node.stop().await;
}
