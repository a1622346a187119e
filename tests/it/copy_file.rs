//! COPY with files of the server's machine.

use crate::support::process::{Process, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superusers_copy_from_and_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let (process, at) = Process::start(folder.path().join("data").to_str().unwrap(), &[]).await;
    let client = connect(at).await.unwrap();
    let (came, gone) = (folder.path().join("in.csv"), folder.path().join("out.csv"));
    std::fs::write(&came, "id,name\n1,one\n2,\"two, quoted\"\n3,\n").unwrap();
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, name text)").await.unwrap();

    let copy = format!("COPY t FROM '{}' WITH (FORMAT csv, HEADER)", came.display());
    client.batch_execute(&copy).await.unwrap();
    let rows = client.query("SELECT name FROM t ORDER BY id", &[]).await.unwrap();
    let names: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, [Some("one".into()), Some("two, quoted".into()), None]);
    let copy = format!("COPY (SELECT * FROM t ORDER BY id) TO '{}' CSV HEADER", gone.display());
    client.batch_execute(&copy).await.unwrap();
    assert_eq!(std::fs::read(&gone).unwrap(), std::fs::read(&came).unwrap());

    // A bad line leaves nothing behind, and is named.
    std::fs::write(&came, "4,four\nx,five\n").unwrap();
    let copy = format!("COPY t FROM '{}' CSV", came.display());
    let refused = client.batch_execute(&copy).await.unwrap_err();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(refused.code().code(), "22P02");
    assert!(refused.where_().is_some_and(|place| place.contains("line 2")), "{refused:?}");
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 3);

    for (statement, state) in [
        ("COPY t FROM '/no/such/file'", "58P01"),
        ("COPY t TO 'relative'", "42602"),
        ("COPY t FROM PROGRAM 'ls'", "0A000"),
        ("SET ROLE reader; COPY t FROM '/etc/passwd'", "42501"),
    ] {
        client
            .batch_execute("RESET ROLE; DROP ROLE IF EXISTS reader; CREATE ROLE reader")
            .await
            .unwrap();
        let refused = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), state, "{statement}");
    }
    process.kill().await;
}
