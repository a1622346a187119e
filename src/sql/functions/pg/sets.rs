//! Functions that return rows.

use super::{
    call::{Call, Value},
    declare::{
        Function,
        Kind::{self, Bool, Object, Oid as AnyOid, Text, Texts},
    },
};
use crate::{
    catalog::pg::access_list,
    catalog::pg::{VECTOR_VERSION, names::keywords},
    error::Result,
    pgtype::RegKind,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::set("pg_listening_channels", &[], &[("pg_listening_channels", Text)], |call| {
        let channels = call.context.listening_channels();
        Ok(channels.into_iter().map(|channel| vec![channel.into()]).collect())
    })
    .volatile(),
    Function::set(
        "pg_get_keywords",
        &[],
        &[
            ("word", Text),
            ("catcode", Text),
            ("barelabel", Bool),
            ("catdesc", Text),
            ("baredesc", Text),
        ],
        pg_get_keywords,
    )
    .immutable(),
    Function::set(
        "pg_options_to_table",
        &[Texts],
        &[("option_name", Text), ("option_value", Text)],
        pg_options_to_table,
    )
    .immutable(),
    Function::set(
        "aclexplode",
        &[Texts],
        &[
            ("grantor", AnyOid),
            ("grantee", AnyOid),
            ("privilege_type", Text),
            ("is_grantable", Bool),
        ],
        aclexplode,
    ),
    // A table has no ancestors but itself.
    Function::set(
        "pg_partition_ancestors",
        &[Object(RegKind::Class)],
        &[("relid", Object(RegKind::Class))],
        |_| Ok(Vec::new()),
    ),
    Function::set(
        "pg_partition_tree",
        &[Object(RegKind::Class)],
        &[
            ("relid", Object(RegKind::Class)),
            ("parentrelid", Object(RegKind::Class)),
            ("isleaf", Bool),
            ("level", Kind::Int4),
        ],
        |_| Ok(Vec::new()),
    ),
    Function::set(
        "pg_available_extensions",
        &[],
        &[("name", Kind::Name), ("default_version", Text), ("comment", Text)],
        |_| {
            let comment = "vector data type and ivfflat and hnsw access methods";
            Ok(vec![vec!["vector".into(), VECTOR_VERSION.into(), comment.into()]])
        },
    ),
    Function::set("pg_show_all_settings", &[], SETTINGS, pg_show_all_settings),
];

const SETTINGS: &[(&str, Kind)] = &[
    ("name", Text),
    ("setting", Text),
    ("unit", Text),
    ("category", Text),
    ("short_desc", Text),
    ("extra_desc", Text),
    ("context", Text),
    ("vartype", Text),
    ("source", Text),
    ("min_val", Text),
    ("max_val", Text),
    ("enumvals", Texts),
    ("boot_val", Text),
    ("reset_val", Text),
    ("sourcefile", Text),
    ("sourceline", Kind::Int4),
    ("pending_restart", Bool),
];

type Rows = Result<Vec<Vec<Value<'static>>>>;

fn pg_get_keywords(_: &Call<'_>) -> Rows {
    let row = |keyword: &crate::catalog::pg::names::Keyword| {
        let category = match keyword.category {
            "C" => "unreserved (cannot be function or type name)",
            "T" => "reserved (can be function or type name)",
            "R" => "reserved",
            _ => "unreserved",
        };
        let bare = if keyword.bare_label { "can be bare label" } else { "requires AS" };
        vec![
            keyword.word.into(),
            keyword.category.into(),
            keyword.bare_label.into(),
            category.into(),
            bare.into(),
        ]
    };
    Ok(keywords().map(row).collect())
}

fn pg_options_to_table(call: &Call<'_>) -> Rows {
    let Value::Texts(options) = call.value(0) else { return Ok(Vec::new()) };
    let row = |option: &String| match option.split_once('=') {
        Some((name, value)) => vec![name.to_owned().into(), value.to_owned().into()],
        None => vec![option.clone().into(), Value::Null],
    };
    Ok(options.iter().map(row).collect())
}

/// A row for each privilege of an access list.
fn aclexplode(call: &Call<'_>) -> Rows {
    let Value::Texts(items) = call.value(0) else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for item in access_list(call.catalog, items).items() {
        rows.extend(item.privileges.each().map(|(privilege, _, word)| {
            vec![
                item.grantor.into(),
                item.grantee.into(),
                word.into(),
                item.options.contains(privilege).into(),
            ]
        }));
    }
    Ok(rows)
}

fn pg_show_all_settings(call: &Call<'_>) -> Rows {
    let row = |s: crate::catalog::pg::SettingRow| {
        vec![
            s.name.into(),
            s.setting.into(),
            s.unit.into(),
            s.category.into(),
            s.short_desc.into(),
            Value::Null,
            s.context.into(),
            s.vartype.into(),
            s.source.into(),
            s.min_val.into(),
            s.max_val.into(),
            s.enumvals.into(),
            s.boot_val.into(),
            s.reset_val.into(),
            Value::Null,
            Value::Null,
            false.into(),
        ]
    };
    Ok(call.context.settings().into_iter().map(row).collect())
}
