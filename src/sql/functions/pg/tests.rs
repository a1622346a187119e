//! Calls, compared with what PostgreSQL 18 answers over the same objects.

use super::{functions, parameter_types, set_functions};
use crate::{
    catalog::{
        Catalog, PG_CATALOG, POSTGRES_DATABASE, POSTGRES_ROLE, PUBLIC,
        pg::{
            ActivityRow, SettingRow, lookup,
            sample::{sample, sample_view},
        },
    },
    error::{Error, Result, SqlState},
    ids::Oid,
    pgtype::{PgType, style::Style},
    sql::{AdvisoryLock, Context, error::from_datafusion},
};
use arrow::util::display::array_value_to_string;
use datafusion::prelude::SessionContext;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

#[derive(Debug)]
struct Fake {
    catalog: Arc<Catalog>,
    next: AtomicI64,
}

impl Context for Fake {
    fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    fn database(&self) -> Oid {
        POSTGRES_DATABASE
    }

    fn database_name(&self) -> String {
        "postgres".into()
    }

    fn user(&self) -> Oid {
        POSTGRES_ROLE
    }

    fn user_name(&self) -> String {
        "postgres".into()
    }

    fn session_user_name(&self) -> String {
        "postgres".into()
    }

    fn search_path(&self) -> Vec<Oid> {
        vec![PG_CATALOG, PUBLIC]
    }

    fn explicit_path(&self) -> Vec<Oid> {
        vec![PUBLIC]
    }

    fn setting(&self, name: &str) -> Option<String> {
        (name == "jit").then(|| "off".into())
    }

    fn set_setting(&self, _: &str, value: &str, _: bool) -> Result<String> {
        Ok(value.into())
    }

    fn settings(&self) -> Vec<SettingRow> {
        Vec::new()
    }

    fn next_value(&self, _: Oid) -> Result<i64> {
        Ok(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn current_value(&self, _: Oid) -> Result<i64> {
        Ok(self.next.load(Ordering::Relaxed))
    }

    fn last_value(&self) -> Result<(Oid, i64)> {
        Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "lastval is not yet defined in this session",
        ))
    }

    fn set_value(&self, _: Oid, value: i64, _: bool) -> Result<i64> {
        Ok(value)
    }

    fn transaction_micros(&self) -> i64 {
        1
    }

    fn statement_micros(&self) -> i64 {
        2
    }

    fn clock_micros(&self) -> i64 {
        3
    }

    fn ascending(&self, at_least: u64, _: u64) -> u64 {
        at_least
    }

    fn random(&self) -> u64 {
        4
    }

    fn time_zone(&self) -> chrono_tz::Tz {
        chrono_tz::UTC
    }

    fn style(&self) -> Style {
        Style::default()
    }

    fn process_id(&self) -> i32 {
        7
    }

    fn activity(&self) -> Vec<ActivityRow> {
        vec![ActivityRow { process_id: 7, ..ActivityRow::default() }]
    }

    fn relation_size(&self, _: Oid) -> u64 {
        1_000_000
    }

    fn live_rows(&self, _: Oid) -> u64 {
        3
    }
    fn verify_index(&self, _: Oid) -> Result<Vec<crate::sql::IndexCheck>> {
        Err(Error::unsupported("there is no index"))
    }
    fn measure_recall(&self, _: Oid, _: usize, _: usize) -> Result<crate::sql::MeasuredRecall> {
        Err(Error::unsupported("there is no index"))
    }

    fn forget_statements(&self) {}

    fn cancel_backend(&self, process_id: i32) -> Result<bool> {
        Ok(process_id == 8)
    }

    fn advisory_lock(&self, request: AdvisoryLock) -> Result<bool> {
        Ok(request.key == (1 << 32) + 2)
    }

    fn advisory_unlock(&self, _: i64, _: bool) -> bool {
        true
    }

    fn advisory_unlock_all(&self) {}

    fn notify(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }

    fn notice(&self, _: Error) {}
}

fn context() -> Arc<dyn Context> {
    Arc::new(Fake { catalog: sample(), next: AtomicI64::new(1) })
}

/// The one value of a query, as text.
async fn answer(sql: &str) -> Result<String> {
    let session = SessionContext::new();
    let context = context();
    for function in functions(&context).into_iter().chain(set_functions(&context)) {
        session.register_udf(function.as_ref().clone());
    }
    let relation = lookup("pg_catalog", "pg_index").unwrap();
    let rows = relation.rows(&sample_view()).unwrap();
    session.register_batch("pg_index", rows).unwrap();
    let batches = session.sql(sql).await.map_err(from_datafusion)?.collect().await;
    let batches = batches.map_err(from_datafusion)?;
    let row = batches.iter().find(|batch| batch.num_rows() > 0).expect("a row");
    let columns = row.columns().iter();
    let shown = columns.map(|column| {
        if column.is_null(0) { "NULL".into() } else { array_value_to_string(column, 0).unwrap() }
    });
    Ok(shown.collect::<Vec<_>>().join("|"))
}

async fn check(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        match answer(&format!("SELECT {sql}")).await {
            Ok(answer) => assert_eq!(answer, *expected, "{sql}"),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }
}

async fn refused(sql: &str) -> (String, String) {
    let error = answer(&format!("SELECT {sql}")).await.expect_err(sql);
    (error.state().as_str().to_owned(), error.message().to_owned())
}

#[tokio::test]
async fn types_have_the_names_that_postgres_gives_them() {
    check(&[
        ("format_type(1043, 24)", "character varying(20)"),
        ("format_type(1043, -1)", "character varying"),
        ("format_type(1700, 655366)", "numeric(10,2)"),
        ("format_type(1042, -1)", "bpchar"),
        ("format_type(1042, NULL)", "character"),
        ("format_type(1042, 7)", "character(3)"),
        ("format_type(1014, -1)", "bpchar[]"),
        ("format_type(1002, -1)", "\"char\"[]"),
        ("format_type(23, NULL)", "integer"),
        ("format_type(0, -1)", "-"),
        ("format_type(99999, -1)", "???"),
        ("format_type(NULL, -1)", "NULL"),
        ("format_type(2275, -1)", "cstring"),
        ("format_type(5078, -1)", "anycompatiblearray"),
        ("format_type(1185, -1)", "timestamp with time zone[]"),
        ("format_type(16385, 3)", "vector(3)"),
        ("format_type(16386, -1)", "vector[]"),
    ])
    .await;
}

#[tokio::test]
async fn definitions_are_postgres_s() {
    check(&[
        (
            "pg_get_indexdef(16509)",
            "CREATE INDEX items_v ON public.items USING hnsw (v vector_l2_ops) WITH (m='16')",
        ),
        ("pg_get_indexdef('items_name', 1, true)", "lower(name)"),
        ("pg_get_indexdef(16511, 2, true)", "price"),
        ("pg_get_indexdef(16511, 3, true)", ""),
        ("pg_get_indexdef(16511, 0, false)",
         "CREATE INDEX items_name ON public.items USING btree (lower(name), price DESC) WHERE (id > 3)"),
        ("pg_get_indexdef(1)", "NULL"),
        ("pg_get_constraintdef(16507)", "FOREIGN KEY (item) REFERENCES items(id) ON DELETE CASCADE"),
        ("pg_get_constraintdef(16507, true)", "FOREIGN KEY (item) REFERENCES items(id) ON DELETE CASCADE"),
        ("pg_get_viewdef('cheap')", " SELECT id, name FROM items WHERE price < 10;"),
        ("pg_get_expr('now()', 16500)", "now()"),
        ("pg_get_expr(NULL, 16500)", "NULL"),
        ("pg_get_serial_sequence('items', 'id')", "public.items_id_seq"),
        ("pg_get_serial_sequence('shop.orders', 'id')", "shop.orders_id_seq"),
        ("pg_get_serial_sequence('items', 'name')", "NULL"),
        ("pg_get_userbyid(10)", "postgres"),
        ("pg_get_userbyid(11)", "unknown (OID=11)"),
        ("pg_get_function_arguments(to_regproc('vector_norm'))", "vector"),
        ("pg_get_function_arguments(to_regproc('subvector'))", "NULL"),
        ("pg_get_function_result(to_regproc('pg_get_keywords'))", "SETOF record"),
        ("pg_get_function_arguments(to_regproc('pg_get_keywords'))",
         "OUT word text, OUT catcode \"char\", OUT barelabel boolean, OUT catdesc text, OUT baredesc text"),
        ("pg_describe_object(1259, 16502, 0)", "sequence items_id_seq"),
        ("pg_describe_object(1259, 16504, 2)", "column item of table shop.orders"),
        ("pg_describe_object(2606, 16507, 0)", "constraint orders_item_fkey on table shop.orders"),
        ("obj_description(16500, 'pg_class')", "things"),
        ("col_description(16500, 3)", "in euro"),
        ("shobj_description(5, 'pg_database')", "default administrative connection database"),
    ])
    .await;
    assert_eq!(
        refused("pg_get_serial_sequence('items', 'nix')").await,
        ("42703".into(), "column \"nix\" of relation \"items\" does not exist".into())
    );
}

#[tokio::test]
async fn names_lead_to_oids_and_back() {
    check(&[
        ("to_regclass('items')", "16500"),
        ("to_regclass('shop.orders')", "16504"),
        ("to_regclass('orders')", "NULL"),
        ("to_regclass('\"Items Tags\"')", "16514"),
        ("to_regclass('pg_catalog.pg_class')", "1259"),
        ("to_regtype('vector(3)')", "16385"),
        ("to_regtype('pg_catalog.int4')", "23"),
        ("to_regtype('\"char\"')", "18"),
        ("to_regtype('nix')", "NULL"),
        ("to_regnamespace('shop')", "16503"),
        ("to_regproc('abs')", "NULL"),
        ("regprocout(to_regproc('array_in'))", "array_in"),
        ("regprocout(1397)", "pg_catalog.abs"),
        ("regclassout(16504)", "shop.orders"),
        ("regclassout('items')", "items"),
        ("regclassout(0)", "-"),
        ("regclassout(424242)", "424242"),
        ("regtypeout(23)", "integer"),
        ("regoperatorout(regoperatorin('=(int4,int4)'))", "=(integer,integer)"),
        ("regroleout(10)", "postgres"),
        ("quote_ident('select')", "\"select\""),
        ("quote_ident('time')", "\"time\""),
        ("quote_ident('name')", "name"),
        ("quote_ident('2a')", "\"2a\""),
        ("quote_ident('a\"b')", "\"a\"\"b\""),
        ("quote_literal('it''s')", "'it''s'"),
        ("quote_literal('a\\b')", "E'a\\\\b'"),
        ("quote_nullable(NULL)", "NULL"),
        ("parse_ident('Public.\"Items\".x')", "[public, Items, x]"),
    ])
    .await;
    let missing = [
        ("regclassin('nix')", "42P01", "relation \"nix\" does not exist"),
        ("regtypein('nix')", "42704", "type \"nix\" does not exist"),
        ("regprocin('nix')", "42883", "function \"nix\" does not exist"),
        ("regnamespacein('nix')", "3F000", "schema \"nix\" does not exist"),
    ];
    for (sql, state, message) in missing {
        assert_eq!(refused(sql).await, (state.into(), message.into()));
    }
}

#[tokio::test]
async fn visibility_follows_the_search_path() {
    check(&[
        ("pg_table_is_visible(16500)", "true"),
        ("pg_table_is_visible(16504)", "false"),
        ("pg_table_is_visible(16501)", "true"),
        ("pg_table_is_visible(1259)", "true"),
        ("pg_table_is_visible(99)", "NULL"),
        ("pg_type_is_visible(16385)", "true"),
        ("pg_function_is_visible(1397)", "true"),
        ("pg_collation_is_visible(100)", "true"),
        ("current_schema()", "public"),
        ("current_schemas(true)", "[pg_catalog, public]"),
        ("current_schemas(false)", "[public]"),
    ])
    .await;
}

#[tokio::test]
async fn the_session_answers() {
    check(&[
        ("current_database()", "postgres"),
        ("current_setting('jit')", "off"),
        ("current_setting('server_version_num')", "180000"),
        ("current_setting('nix', true)", "NULL"),
        ("set_config('search_path', NULL, false)", ""),
        ("split_part(version(), ' ', 1) || split_part(version(), ' ', 2)", "PostgreSQL18.0"),
        ("pg_backend_pid()", "7"),
        ("pg_cancel_backend(8)", "true"),
        ("pg_is_in_recovery()", "false"),
        ("pg_try_advisory_lock(1, 2)", "true"),
        ("pg_try_advisory_lock(1)", "false"),
        ("pg_advisory_unlock_all()", ""),
        ("pg_encoding_to_char(6)", "UTF8"),
        ("pg_encoding_to_char(99)", ""),
        ("pg_encoding_to_char(34)", "KOI8U"),
        ("pg_char_to_encoding('utf-8')", "6"),
        ("nextval('items_id_seq')", "1"),
        ("setval('items_id_seq', 5, true)", "5"),
        ("pg_size_pretty(pg_total_relation_size('items'))", "4883 kB"),
        ("pg_size_pretty(10239)", "10239 bytes"),
        ("pg_size_pretty(10240)", "10 kB"),
        ("pg_size_pretty(123456789012)", "115 GB"),
        ("pg_size_pretty(-20000)", "-20 kB"),
        ("pg_size_pretty(10485247)", "10239 kB"),
        ("pg_size_pretty(10485248)", "10 MB"),
        ("pg_size_pretty(9223372036854775807)", "8192 PB"),
        ("pg_relation_is_updatable('items', true)", "28"),
    ])
    .await;
    assert_eq!(
        refused("current_setting('nix')").await,
        ("42704".into(), "unrecognized configuration parameter \"nix\"".into())
    );
    assert_eq!(
        refused("nextval('items')").await,
        ("42809".into(), "cannot open relation \"items\"".into())
    );
}

#[tokio::test]
async fn a_superuser_may_and_the_words_are_checked() {
    check(&[
        ("has_table_privilege('items', 'SELECT, INSERT')", "true"),
        ("has_table_privilege('postgres', 16500, 'DELETE')", "true"),
        ("has_table_privilege('public', 16500, 'DELETE')", "false"),
        ("has_table_privilege(10, 424242, 'DELETE')", "NULL"),
        ("has_schema_privilege('shop', 'USAGE')", "true"),
        ("has_database_privilege('postgres', 'CONNECT')", "true"),
        ("has_column_privilege('items', 'id', 'SELECT')", "true"),
        ("pg_has_role('postgres', 'USAGE')", "true"),
        ("acldefault('r', 10)", "[postgres=arwdDxtm/postgres]"),
        ("acldefault('s', 10)", "[postgres=rwU/postgres]"),
        ("acldefault('d', 10)", "[=Tc/postgres, postgres=CTc/postgres]"),
    ])
    .await;
    assert_eq!(
        refused("has_table_privilege('items', 'FLY')").await,
        ("22023".into(), "unrecognized privilege type: \"FLY\"".into())
    );
}

#[tokio::test]
async fn int2vector_counts_from_zero() {
    let of = |what: &str| format!("SELECT {what} FROM pg_index WHERE indexrelid = 16511");
    for (what, expected) in [
        ("array_lower(indkey, 1)", "0"),
        ("array_upper(indkey, 1)", "1"),
        ("generate_subscripts(indkey, 1)", "[0, 1]"),
        ("_pg_expandarray(indkey)", "[{x: 0, n: 1}, {x: 3, n: 2}]"),
        ("array_upper(make_array(5, 6, 7), 1)", "3"),
        ("array_upper(make_array(5, 6, 7), 2)", "NULL"),
        ("_pg_char_max_length(1043, 24)", "20"),
        ("_pg_numeric_precision(1700, 655366)", "10"),
        ("_pg_numeric_scale(1700, 655366)", "2"),
        ("_pg_char_octet_length(25, -1)", "1073741824"),
        (
            "aclexplode(make_array('=Tc/postgres'))",
            "[{grantor: 10, grantee: 0, privilege_type: TEMPORARY, is_grantable: false}, \
          {grantor: 10, grantee: 0, privilege_type: CONNECT, is_grantable: false}]",
        ),
        ("pg_options_to_table(make_array('m=16'))", "[{option_name: m, option_value: 16}]"),
    ] {
        assert_eq!(answer(&of(what)).await.unwrap(), expected, "{what}");
    }
}

#[test]
fn arguments_without_a_type_are_told_theirs() {
    let all = functions(&context());
    let named = |name: &str| all.iter().find(|function| function.name() == name).unwrap();
    assert_eq!(
        parameter_types(named("has_table_privilege"), 2).unwrap(),
        [PgType::Reg(crate::pgtype::RegKind::Class), PgType::Text]
    );
    assert_eq!(parameter_types(named("pg_get_expr"), 2).unwrap(), [PgType::Text, PgType::Oid]);
    assert_eq!(parameter_types(named("pg_get_expr"), 4), None);
    let misfit = from_datafusion(named("pg_get_indexdef").coerce_types(&[]).unwrap_err());
    assert_eq!(misfit.state(), SqlState::UNDEFINED_FUNCTION);

    let mut names: Vec<_> = all.iter().map(|function| function.name().to_owned()).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a function is declared once");
}

#[test]
fn every_function_is_in_pg_proc() {
    let context = context();
    let all = functions(&context).into_iter().chain(set_functions(&context));
    let unlisted: Vec<_> = all
        .map(|function| function.name().to_owned())
        .filter(|name| crate::catalog::pg::functions::named(name).is_empty())
        .filter(|name| !name.starts_with("_pg_"))
        // Grammar, not functions.
        .filter(|name| !["current_catalog", "current_role", "user"].contains(&name.as_str()))
        .collect();
    assert_eq!(unlisted, Vec::<String>::new());
}
