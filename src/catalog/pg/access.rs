//! Access lists as catalogs show them, who is a member of whom, and the standard's views of grants.

use super::{SystemRelation, View, rows::Rows};
use crate::{
    catalog::{
        Catalog,
        privileges::{AccessItem, AccessList, Class, EVERYBODY, Object, Privileges},
    },
    error::Result,
    ids::{ColumnId, Oid},
};
use arrow::array::RecordBatch;

/// An access list as text: `{postgres=arwdDxtm/postgres,=r/postgres}`.
#[must_use]
pub fn access_texts(catalog: &Catalog, list: &AccessList) -> Vec<String> {
    let name = |role: Oid| match catalog.role(role) {
        _ if role == EVERYBODY => String::new(),
        Some(role) => quoted(&role.name),
        None => role.to_string(),
    };
    let text = |item: &AccessItem| {
        let letters: String = item
            .privileges
            .each()
            .map(|(privilege, letter, _)| {
                let star = if item.options.contains(privilege) { "*" } else { "" };
                format!("{letter}{star}")
            })
            .collect();
        format!("{}={letters}/{}", name(item.grantee), name(item.grantor))
    };
    list.items().map(text).collect()
}

/// The access list that a text shows; what names no role that is there is left out.
#[must_use]
pub fn access_list(catalog: &Catalog, texts: &[String]) -> AccessList {
    let role = |name: &str| {
        let bare = name.trim_matches('"').replace("\"\"", "\"");
        match bare.as_str() {
            "" => Some(EVERYBODY),
            bare => catalog.role_named(bare).map(|role| role.id),
        }
    };
    let item = |text: &String| {
        // A quoted name may hold any of these.
        let equals = match text.strip_prefix('"') {
            Some(rest) => rest.find("\"=")? + 2,
            None => text.find('=')?,
        };
        let (grantee, rest) = (&text[..equals], &text[equals + 1..]);
        let (letters, grantor) = rest.split_once('/')?;
        let mut item = AccessItem::new(role(grantee)?, role(grantor)?, Privileges::NONE);
        let mut last = Privileges::NONE;
        for letter in letters.chars() {
            if letter == '*' {
                item.options = item.options.and(last);
            } else {
                last = Privileges::of_letter(letter)?;
                item.privileges = item.privileges.and(last);
            }
        }
        Some(item)
    };
    texts.iter().filter_map(item).collect()
}

/// A role's name, in quotes where it is not a plain word.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == '_';
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The access list of an object as its catalog has it; NULL while it is as it began.
pub(super) fn shown(catalog: &Catalog, object: Oid) -> Option<Vec<String>> {
    // Most were never granted to anybody, and looking them up would take a while.
    let is_open = super::relation(object).is_some() || catalog.schema(object).is_some();
    if !is_open && catalog.grants(object).is_none() {
        return None;
    }
    Some(access_texts(catalog, &*catalog.object(object)?.shown()?))
}

/// The same of a column.
pub(super) fn shown_of_column(
    catalog: &Catalog,
    relation: Oid,
    column: ColumnId,
) -> Option<Vec<String>> {
    let list = catalog.grants(relation)?.columns.get(&column)?;
    Some(access_texts(catalog, list))
}

/// `GRANT role TO role`.
pub(super) fn pg_auth_members(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let roles = view.catalog.roles();
    let members: Vec<_> = roles
        .flat_map(|member| member.member_of.iter().map(|membership| (member.id, membership)))
        .collect();
    Rows::of(relation, &members)
        .set("oid", |(_, membership)| membership.id)
        .set("roleid", |(_, membership)| membership.role)
        .set("member", |(member, _)| *member)
        .set("grantor", |(_, membership)| membership.grantor)
        .set("admin_option", |(_, membership)| membership.admin)
        .set("inherit_option", |(_, membership)| membership.inherit)
        .set("set_option", |(_, membership)| membership.set)
        .finish()
}

/// ALTER DEFAULT PRIVILEGES.
pub(super) fn pg_default_acl(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let roles = view.catalog.roles();
    let said: Vec<_> =
        roles.flat_map(|role| role.default_access.iter().map(|said| (role.id, said))).collect();
    Rows::of(relation, &said)
        // They have no oids of their own: one for each role, schema and kind.
        .set("oid", |(role, said)| {
            let schema = said.schema.map_or(0, |schema| schema.0);
            Oid(role.0.wrapping_mul(31).wrapping_add(schema).wrapping_mul(7) + said.class as u32)
        })
        .set("defaclrole", |(role, _)| *role)
        .set("defaclnamespace", |(_, said)| said.schema.unwrap_or(Oid(0)))
        .set("defaclobjtype", |(_, said)| match said.class {
            Class::Sequence => "S",
            Class::Schema => "n",
            Class::Type => "T",
            _ => "r",
        })
        .set("defaclacl", |(_, said)| access_texts(&view.catalog, &said.list))
        .finish()
}

/// One privilege of one role on a relation or a column of it.
struct Shown<'v> {
    item: AccessItem,
    schema: &'v str,
    table: &'v str,
    column: Option<&'v str>,
    privilege: Privileges,
    word: &'static str,
    owner: Oid,
}

impl Shown<'_> {
    /// Whether who looks is on either side of the grant.
    fn concerns(&self, view: &View, with_public: bool) -> bool {
        let is_own = |role: Oid| view.catalog.has_privileges_of(view.user, role);
        let is_public = self.item.grantee == EVERYBODY;
        if is_public {
            return with_public || is_own(self.item.grantor);
        }
        is_own(self.item.grantor) || is_own(self.item.grantee)
    }

    fn is_grantable(&self) -> bool {
        self.item.options.contains(self.privilege) || self.item.grantee == self.owner
    }
}

/// The tables and views of the database: schema, name and oid.
fn relations(view: &View) -> impl Iterator<Item = (Oid, &str, Oid)> {
    let tables = view.catalog.tables().filter(|table| view.sees(table.schema));
    let tables = tables.map(|table| (table.schema, table.name.as_str(), table.id));
    let views = view.catalog.views().filter(|made| view.sees(made.schema));
    tables.chain(views.map(|made| (made.schema, made.name.as_str(), made.id)))
}

/// `table_privileges`, and `role_table_grants`, which has nothing of PUBLIC.
pub(super) fn table_privileges(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let with_public = relation.name == "table_privileges";
    let mut rows = Vec::new();
    for (schema, table, id) in relations(view) {
        let Some(object) = view.catalog.object(id) else { continue };
        let schema = view.schema_name(schema);
        for item in object.list().items() {
            let known = item.privileges.without(Privileges::MAINTAIN);
            rows.extend(known.each().map(|(privilege, _, word)| Shown {
                item: *item,
                schema,
                table,
                column: None,
                privilege,
                word,
                owner: object.owner,
            }));
        }
    }
    rows.retain(|row| row.concerns(view, with_public));
    batch(relation, view, &rows)
}

/// `column_privileges`, and `role_column_grants`, which has nothing of PUBLIC.
pub(super) fn column_privileges(
    relation: &'static SystemRelation,
    view: &View,
) -> Result<RecordBatch> {
    let with_public = relation.name == "column_privileges";
    let mut rows: Vec<Shown<'_>> = Vec::new();
    for (schema, table, id) in relations(view) {
        let Some(object) = view.catalog.object(id) else { continue };
        let schema = view.schema_name(schema);
        for (column, name) in view.catalog.columns_of(id) {
            for item in of_column(&object, column) {
                rows.extend(item.privileges.each().map(|(privilege, _, word)| Shown {
                    item,
                    schema,
                    table,
                    column: Some(name),
                    privilege,
                    word,
                    owner: object.owner,
                }));
            }
        }
    }
    rows.retain(|row| row.concerns(view, with_public));
    batch(relation, view, &rows)
}

/// What was granted on a column, by itself or with the whole.
fn of_column(object: &Object<'_>, column: ColumnId) -> Vec<AccessItem> {
    let mut list = AccessList::default();
    let all = Class::Column.all();
    for item in
        object.list().items().chain(object.column(column).into_iter().flat_map(|l| l.items()))
    {
        let (privileges, options) = (item.privileges.common(all), item.options.common(all));
        list.grant(AccessItem { privileges, options, ..*item });
    }
    list.items().copied().collect()
}

fn batch(
    relation: &'static SystemRelation,
    view: &View,
    rows: &[Shown<'_>],
) -> Result<RecordBatch> {
    let yes_or_no = |yes: bool| if yes { "YES" } else { "NO" };
    Rows::of(relation, rows)
        .set("grantor", |row| view.role_name(row.item.grantor))
        .set("grantee", |row| match row.item.grantee {
            EVERYBODY => "PUBLIC",
            role => view.role_name(role),
        })
        .set("table_catalog", |_| view.database_name())
        .set("table_schema", |row| row.schema)
        .set("table_name", |row| row.table)
        .set("column_name", |row| row.column)
        .set("privilege_type", |row| row.word)
        .set("is_grantable", |row| yes_or_no(row.is_grantable()))
        .set("with_hierarchy", |row| yes_or_no(row.privilege == Privileges::SELECT))
        .finish()
}
