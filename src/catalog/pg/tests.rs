//! Rows of a small catalog ([`sample()`]), compared with what PostgreSQL 18 reports after the same
//! statements.

use super::{
    sample::{ITEMS, SHOP, sample, sample_view},
    *,
};
use crate::{
    catalog::{Change, PG_CATALOG, POSTGRES_DATABASE, Table, pg::names::Scope},
    pgtype::{PgType, RegKind},
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::UInt32Type,
};
use std::collections::HashSet;

fn rows(name: &str) -> RecordBatch {
    let relation = lookup("pg_catalog", name)
        .or_else(|| lookup("information_schema", name))
        .unwrap_or_else(|| panic!("no relation {name}"));
    relation.rows(&sample_view()).unwrap()
}

/// The rows of a relation as text, `|` between the named columns, sorted; only those for which a
/// column has one of some values.
fn shown(name: &str, columns: &str, filter: (&str, &[&str])) -> String {
    let batch = rows(name);
    let text = |column: &str, row: usize| {
        let array = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
        if array.is_null(row) {
            return String::new();
        }
        arrow::util::display::array_value_to_string(array, row).unwrap()
    };
    let chosen =
        (0..batch.num_rows()).filter(|&row| filter.1.contains(&text(filter.0, row).as_str()));
    let mut lines: Vec<_> = chosen
        .map(|row| columns.split(' ').map(|c| text(c, row)).collect::<Vec<_>>().join("|"))
        .collect();
    lines.sort();
    lines.join("\n")
}

#[track_caller]
fn check(name: &str, columns: &str, filter: (&str, &[&str]), expected: &str) {
    let mut expected: Vec<_> = expected.lines().map(str::trim).collect();
    expected.sort_unstable();
    assert_eq!(shown(name, columns, filter), expected.join("\n"), "{name}");
}

fn oids(name: &str, column: &str) -> HashSet<u32> {
    rows(name)
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {name}.{column}"))
        .as_primitive::<UInt32Type>()
        .iter()
        .flatten()
        .filter(|&oid| oid != 0)
        .collect()
}

#[test]
fn every_relation_has_rows_of_its_shape() {
    assert!(relations().count() > 200);
    for relation in relations() {
        let rows =
            relation.rows(&sample_view()).unwrap_or_else(|e| panic!("{}: {e:?}", relation.name));
        assert_eq!(rows.schema(), relation.schema_ref(), "{}", relation.name);
        for (field, column) in relation.schema_ref().fields().iter().zip(&relation.columns) {
            assert_eq!(PgType::of_field(field), column.kind, "{}.{}", relation.name, column.name);
        }
    }
}

#[test]
fn oids_lead_somewhere() {
    let references = [
        ("pg_attribute", "atttypid", "pg_type"),
        ("pg_attribute", "attrelid", "pg_class"),
        ("pg_attribute", "attcollation", "pg_collation"),
        ("pg_attrdef", "adrelid", "pg_class"),
        ("pg_class", "relnamespace", "pg_namespace"),
        ("pg_class", "relowner", "pg_authid"),
        ("pg_class", "relam", "pg_am"),
        ("pg_index", "indexrelid", "pg_class"),
        ("pg_index", "indrelid", "pg_class"),
        ("pg_constraint", "conrelid", "pg_class"),
        ("pg_constraint", "confrelid", "pg_class"),
        ("pg_constraint", "conindid", "pg_class"),
        ("pg_sequence", "seqrelid", "pg_class"),
        ("pg_sequence", "seqtypid", "pg_type"),
        ("pg_type", "typnamespace", "pg_namespace"),
        ("pg_type", "typelem", "pg_type"),
        ("pg_type", "typarray", "pg_type"),
        ("pg_type", "typcollation", "pg_collation"),
        ("pg_type", "typinput", "pg_proc"),
        ("pg_type", "typoutput", "pg_proc"),
        ("pg_type", "typreceive", "pg_proc"),
        ("pg_type", "typsend", "pg_proc"),
        ("pg_type", "typmodin", "pg_proc"),
        ("pg_operator", "oprnamespace", "pg_namespace"),
        ("pg_operator", "oprleft", "pg_type"),
        ("pg_operator", "oprright", "pg_type"),
        ("pg_operator", "oprresult", "pg_type"),
        ("pg_operator", "oprcom", "pg_operator"),
        ("pg_operator", "oprnegate", "pg_operator"),
        ("pg_operator", "oprcode", "pg_proc"),
        ("pg_opclass", "opcmethod", "pg_am"),
        ("pg_opclass", "opcfamily", "pg_opfamily"),
        ("pg_opclass", "opcintype", "pg_type"),
        ("pg_opfamily", "opfmethod", "pg_am"),
        ("pg_amop", "amopfamily", "pg_opfamily"),
        ("pg_amop", "amopopr", "pg_operator"),
        ("pg_amop", "amoplefttype", "pg_type"),
        ("pg_amproc", "amprocfamily", "pg_opfamily"),
        ("pg_amproc", "amproc", "pg_proc"),
        ("pg_am", "amhandler", "pg_proc"),
        ("pg_cast", "castsource", "pg_type"),
        ("pg_cast", "casttarget", "pg_type"),
        ("pg_cast", "castfunc", "pg_proc"),
        ("pg_proc", "prorettype", "pg_type"),
        ("pg_proc", "pronamespace", "pg_namespace"),
        ("pg_proc", "prolang", "pg_language"),
        ("pg_aggregate", "aggfnoid", "pg_proc"),
        ("pg_aggregate", "aggtransfn", "pg_proc"),
        ("pg_aggregate", "aggtranstype", "pg_type"),
        ("pg_extension", "extnamespace", "pg_namespace"),
        ("pg_rewrite", "ev_class", "pg_class"),
        ("pg_database", "datdba", "pg_authid"),
    ];
    for (relation, column, target) in references {
        let known = oids(target, "oid");
        let lost: Vec<_> =
            oids(relation, column).into_iter().filter(|o| !known.contains(o)).collect();
        assert!(lost.is_empty(), "{relation}.{column} -> {target}: {lost:?}");
    }
    let types = oids("pg_type", "oid");
    for list in
        rows("pg_proc").column_by_name("proargtypes").unwrap().as_list::<i32>().iter().flatten()
    {
        for oid in list.as_primitive::<UInt32Type>().iter().flatten() {
            assert!(types.contains(&oid), "argument type {oid}");
        }
    }
    let classes = oids("pg_opclass", "oid");
    for list in
        rows("pg_index").column_by_name("indclass").unwrap().as_list::<i32>().iter().flatten()
    {
        for oid in list.as_primitive::<UInt32Type>().iter().flatten() {
            assert!(classes.contains(&oid), "operator class {oid}");
        }
    }
}

#[test]
fn oids_are_there_once() {
    let keyed = [
        "pg_class",
        "pg_type",
        "pg_proc",
        "pg_operator",
        "pg_opclass",
        "pg_opfamily",
        "pg_am",
        "pg_amop",
        "pg_amproc",
        "pg_cast",
        "pg_collation",
        "pg_constraint",
        "pg_attrdef",
        "pg_namespace",
    ];
    for name in keyed {
        assert_eq!(oids(name, "oid").len(), rows(name).num_rows(), "{name}");
    }
}

#[test]
fn relations_are_told_as_postgres_tells_them() {
    check(
        "pg_class",
        "relname relkind relnatts relhasindex relchecks reloptions relhasrules relreplident relam",
        ("relnamespace", &["2200", "16503"]),
        "items_id_seq|S|3|false|0||false|n|0
         items|r|6|true|1||false|d|2
         items_pkey|i|1|false|0||false|n|403
         orders_id_seq|S|3|false|0||false|n|0
         orders|r|3|true|0||false|d|2
         orders_pkey|i|1|false|0||false|n|403
         orders_item_note_key|i|2|false|0||false|n|403
         items_v|i|1|false|0|[m=16]|false|n|16388
         items_iv|i|1|false|0|[lists=10]|false|n|16387
         items_name|i|2|false|0||false|n|403
         Items Tags|i|1|false|0||false|n|2742
         cheap|v|2|false|0||true|n|0",
    );
}

#[test]
fn columns_are_told_as_postgres_tells_them() {
    check(
        "pg_attribute",
        "attrelid attnum attname atttypid atttypmod attnotnull atthasdef attidentity attlen \
         attbyval attalign attstorage attcollation attndims",
        ("attrelid", &["16500", "16501", "16502", "16504", "16509", "16511", "16512"]),
        "16502|1|last_value|20|-1|true|false||8|true|d|p|0|0
         16502|2|log_cnt|20|-1|true|false||8|true|d|p|0|0
         16502|3|is_called|16|-1|true|false||1|true|c|p|0|0
         16500|1|id|23|-1|true|true||4|true|i|p|0|0
         16500|2|name|1043|24|false|true||-1|false|i|x|100|0
         16500|3|price|1700|655366|false|true||-1|false|i|m|0|0
         16500|4|v|16385|3|false|false||-1|false|i|e|0|0
         16500|5|tags|1009|-1|false|false||-1|false|i|x|100|1
         16500|6|created|1184|-1|false|true||8|true|d|p|0|0
         16501|1|id|23|-1|false|false||4|true|i|p|0|0
         16504|1|id|20|-1|true|false|a|8|true|d|p|0|0
         16504|2|item|23|-1|false|false||4|true|i|p|0|0
         16504|3|note|25|-1|false|false||-1|false|i|x|100|0
         16509|1|v|16385|3|false|false||-1|false|i|e|0|0
         16511|1|lower|25|-1|false|false||-1|false|i|x|100|0
         16511|2|price|1700|655366|false|false||-1|false|i|m|0|0
         16512|1|id|23|-1|false|false||4|true|i|p|0|0
         16512|2|name|1043|24|false|false||-1|false|i|x|100|0",
    );
    check(
        "pg_attrdef",
        "adrelid adnum adbin",
        ("adrelid", &["16500", "16504"]),
        "16500|1|nextval('items_id_seq'::regclass)
         16500|2|'x'::character varying
         16500|3|1.5
         16500|6|now()",
    );
}

#[test]
fn indexes_are_told_as_postgres_tells_them() {
    check(
        "pg_index",
        "indexrelid indnatts indisunique indisprimary indkey indclass indoption indcollation",
        ("indislive", &["true"]),
        "16501|1|true|true|[1]|[1978]|[0]|[0]
         16505|1|true|true|[1]|[3124]|[0]|[0]
         16506|2|true|false|[2, 3]|[1978, 3126]|[0, 0]|[0, 100]
         16509|1|false|false|[4]|[16391]|[0]|[0]
         16510|1|false|false|[4]|[16388]|[0]|[0]
         16511|2|false|false|[0, 3]|[3126, 3125]|[0, 3]|[100, 0]
         16514|1|false|false|[5]|[10064]|[0]|[100]",
    );
    check(
        "pg_indexes",
        "indexdef",
        ("tablename", &["items", "orders"]),
        "CREATE UNIQUE INDEX items_pkey ON public.items USING btree (id)
         CREATE UNIQUE INDEX orders_pkey ON shop.orders USING btree (id)
         CREATE UNIQUE INDEX orders_item_note_key ON shop.orders USING btree (item, note)
         CREATE INDEX items_v ON public.items USING hnsw (v vector_l2_ops) WITH (m='16')
         CREATE INDEX items_iv ON public.items USING ivfflat (v) WITH (lists='10')
         CREATE INDEX items_name ON public.items USING btree (lower(name), price DESC) WHERE (id > 3)
         CREATE INDEX \"Items Tags\" ON public.items USING gin (tags)",
    );
}

#[test]
fn constraints_are_told_as_postgres_tells_them() {
    let catalog = sample();
    let path = [PG_CATALOG, PUBLIC];
    let scope = Scope { catalog: &catalog, database: POSTGRES_DATABASE, path: &path };
    let definitions: Vec<_> = catalog
        .tables()
        .flat_map(|table| &table.constraints)
        .map(|constraint| deparse::constraint(&scope, constraint.id).unwrap())
        .collect();
    assert_eq!(
        definitions,
        [
            "CHECK ((price > 0))",
            "PRIMARY KEY (id)",
            "PRIMARY KEY (id)",
            "UNIQUE (item, note)",
            "FOREIGN KEY (item) REFERENCES items(id) ON DELETE CASCADE",
        ]
    );
    check(
        "pg_constraint",
        "conname contype conrelid conindid confrelid confdeltype confupdtype conkey confkey",
        (
            "conname",
            &["items_price_check", "items_pkey", "orders_item_note_key", "orders_item_fkey"],
        ),
        "items_price_check|c|16500|0|0| | |[3]|
         items_pkey|p|16500|16501|0| | |[1]|
         orders_item_note_key|u|16504|16506|0| | |[2, 3]|
         orders_item_fkey|f|16504|16501|16500|c|a|[2]|[1]",
    );
}

#[test]
fn the_standard_s_views_agree_with_postgres() {
    let items: (&str, &[&str]) = ("table_name", &["items", "orders"]);
    check(
        "columns",
        "table_name column_name ordinal_position column_default is_nullable data_type \
         character_maximum_length numeric_precision numeric_precision_radix numeric_scale \
         datetime_precision udt_schema udt_name is_identity identity_generation identity_maximum",
        items,
        "items|id|1|nextval('items_id_seq'::regclass)|NO|integer||32|2|0||pg_catalog|int4|NO||
         items|name|2|'x'::character varying|YES|character varying|20|||||pg_catalog|varchar|NO||
         items|price|3|1.5|YES|numeric||10|10|2||pg_catalog|numeric|NO||
         items|v|4||YES|USER-DEFINED||||||public|vector|NO||
         items|tags|5||YES|ARRAY||||||pg_catalog|_text|NO||
         items|created|6|now()|YES|timestamp with time zone|||||6|pg_catalog|timestamptz|NO||
         orders|id|1||NO|bigint||64|2|0||pg_catalog|int8|YES|ALWAYS|9223372036854775807
         orders|item|2||YES|integer||32|2|0||pg_catalog|int4|NO||
         orders|note|3||YES|text||||||pg_catalog|text|NO||",
    );
    check(
        "key_column_usage",
        "table_name constraint_name column_name ordinal_position position_in_unique_constraint",
        items,
        "items|items_pkey|id|1|
         orders|orders_pkey|id|1|
         orders|orders_item_note_key|item|1|
         orders|orders_item_note_key|note|2|
         orders|orders_item_fkey|item|1|1",
    );
    check(
        "referential_constraints",
        "constraint_name unique_constraint_name match_option update_rule delete_rule",
        ("constraint_schema", &["shop"]),
        "orders_item_fkey|items_pkey|NONE|NO ACTION|CASCADE",
    );
    check(
        "constraint_column_usage",
        "table_name column_name constraint_name",
        ("constraint_name", &["orders_item_fkey", "items_price_check"]),
        "items|price|items_price_check\nitems|id|orders_item_fkey",
    );
    check(
        "sequences",
        "sequence_name data_type",
        ("sequence_catalog", &["postgres"]),
        "items_id_seq|integer",
    );
}

#[test]
fn dependencies_name_owner_and_owned() {
    check(
        "pg_depend",
        "classid objid refclassid refobjid refobjsubid deptype",
        ("objid", &["16501", "16502", "16508", "16507"]),
        "1255|16501|3079|16384|0|e
         1255|16502|3079|16384|0|e
         1259|16501|2606|16501|0|i
         1259|16502|1259|16500|1|a
         1259|16508|1259|16504|1|i
         2606|16501|1259|16500|1|a
         2606|16507|1259|16504|2|a
         2606|16507|1259|16500|1|n",
    );
    check(
        "pg_description",
        "objoid objsubid description",
        ("classoid", &["1259"]),
        "16500|0|things\n16500|3|in euro",
    );
}

#[test]
fn the_vector_type_lies_where_the_extension_does() {
    let mut database = Database::clone(sample().database(POSTGRES_DATABASE).unwrap());
    database.extensions.insert("vector".into(), SHOP);
    let catalog = Arc::new(sample().with(&[Change::Database(Arc::new(database))]));
    let view = View { catalog, ..sample_view() };
    let types = lookup("pg_catalog", "pg_type").unwrap().rows(&view).unwrap();
    let oids = types.column_by_name("oid").unwrap().as_primitive::<UInt32Type>();
    let place = oids.iter().position(|oid| oid == Some(16385)).unwrap();
    let schemas = types.column_by_name("typnamespace").unwrap().as_primitive::<UInt32Type>();
    assert_eq!(schemas.value(place), SHOP.0);

    let path = [PG_CATALOG, PUBLIC];
    let scope = Scope { catalog: &view.catalog, database: POSTGRES_DATABASE, path: &path };
    assert_eq!(scope.type_name(Oid(16385), Some(3)).unwrap(), "shop.vector(3)");
    assert_eq!(scope.find(RegKind::Type, "vector").unwrap(), None);
    assert_eq!(scope.find(RegKind::Type, "shop.vector").unwrap(), Some(Oid(16385)));
}

#[test]
fn a_thousand_tables_are_told() {
    let mut changes = Vec::new();
    let template = Table::clone(sample().table(ITEMS).unwrap());
    for number in 0..1000_u32 {
        let id = Oid(20_000 + number * 4);
        let mut table = template.clone();
        (table.id, table.name) = (id, format!("t{number}"));
        for (place, constraint) in (1..).zip(&mut table.constraints) {
            constraint.id = Oid(id.0 + place);
            constraint.name = format!("t{number}_{place}");
        }
        changes.push(Change::Table(Arc::new(table)));
    }
    let view = View { catalog: Arc::new(sample().with(&changes)), ..sample_view() };
    for name in ["pg_class", "pg_attribute", "pg_index", "pg_constraint", "pg_depend"] {
        assert!(lookup("pg_catalog", name).unwrap().rows(&view).unwrap().num_rows() >= 1000);
    }
}
