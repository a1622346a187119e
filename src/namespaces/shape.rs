//! A namespace as the catalog shows it: attributes, metric, what clients declared of them.

use super::{
    attribute::AttributeType,
    fault::{Answer, Fault, FaultKind},
    names::{self, ID, SCHEMA},
};
use crate::{
    catalog::{Catalog, IndexKind, POSTGRES_DATABASE, RECALL_TARGET_OPTION, Table},
    ids::IndexId,
    pgtype::PgType,
    vector::Metric,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The option of a table that holds [`Settings`].
pub(super) const OPTION: &str = "namespace";
/// The option by which a table of another schema is a namespace, and its name to clients.
const NAME_OPTION: &str = "namespace_name";

/// What a namespace is made of.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) name: String,
    /// The schema of the table and its indexes, as SQL writes it.
    pub(super) schema: String,
    /// Whether that schema is there.
    pub(super) has_schema: bool,
    /// `None`: it is yet to be created.
    pub(super) table: Option<Arc<Table>>,
    /// `id` is the first.
    pub(super) attributes: Vec<Attribute>,
    /// The metric of vectors that name none, where the namespace has one.
    pub(super) metric: Option<Metric>,
    pub(super) settings: Settings,
}

/// An attribute: a column.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) name: String,
    /// The column's own type.
    pub(super) column: PgType,
    /// What it is to clients.
    pub(super) kind: AttributeType,
    /// Whether SQL computes it, so that nobody can write it.
    pub(super) generated: bool,
    /// The index over a vector.
    pub(super) index: Option<VectorIndex>,
}

/// An index over a vector.
#[derive(Debug, Clone)]
pub(super) struct VectorIndex {
    /// `None`: it is yet to be built.
    pub(super) id: Option<IndexId>,
    /// Its schema, as SQL writes it.
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) metric: Metric,
    /// The share of the nearest that searches by it are to find, where it has one of its own.
    pub(super) recall_target: Option<f64>,
}

/// What the catalog keeps of a namespace beside its table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    /// When a client created it; microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created_micros: Option<i64>,
    /// Whether writes over HTTP are refused.
    #[serde(default)]
    pub(super) read_only: bool,
    /// What was declared of attributes, where it is not the default.
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Flags>,
    /// Texts whose vectors the server makes, by the name of the text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) embed: BTreeMap<String, Embedded>,
}

/// The vector that a model makes of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Embedded {
    pub(super) model: String,
    /// The attribute that holds it.
    pub(super) attribute: String,
}

/// What filters an attribute takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flags {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filterable: Option<bool>,
    #[serde(default)]
    pub(super) regex: bool,
    #[serde(default)]
    pub(super) glob: bool,
}

impl Flags {
    /// Whether filters other than regex and glob may name it.
    pub(super) fn is_filterable(self) -> bool {
        self.filterable.unwrap_or(!(self.regex || self.glob))
    }
}

impl VectorIndex {
    /// One that is yet to be built.
    pub(super) fn new(schema: &str, metric: Metric) -> Self {
        let (schema, name) = (schema.to_owned(), String::new());
        Self { id: None, schema, name, metric, recall_target: None }
    }

    /// The index in SQL.
    pub(super) fn sql(&self) -> String {
        format!("{}.{}", self.schema, names::quoted(&self.name))
    }
}

impl Shape {
    /// A namespace that is there, or one without attributes that is yet to be created.
    pub(super) fn of(catalog: &Catalog, name: &str) -> Answer<Self> {
        names::check_namespace(name)?;
        // One of the schema itself comes before one that only says that it is called so.
        let found = tables(catalog).filter(|(known, _)| *known == name);
        match found.min_by_key(|(known, table)| *known != table.name) {
            Some((name, table)) => Self::of_table(catalog, name, table),
            None => Ok(Self {
                name: name.to_owned(),
                schema: SCHEMA.to_owned(),
                has_schema: catalog.schema_named(POSTGRES_DATABASE, SCHEMA).is_some(),
                table: None,
                attributes: Vec::new(),
                metric: None,
                settings: Settings::default(),
            }),
        }
    }

    /// A namespace that must be there.
    pub(super) fn existing(catalog: &Catalog, name: &str) -> Answer<Self> {
        let shape = Self::of(catalog, name)?;
        if shape.table.is_some() { Ok(shape) } else { Err(not_found(name)) }
    }

    fn of_table(catalog: &Catalog, name: &str, table: &Arc<Table>) -> Answer<Self> {
        let settings = match table.options.get(OPTION) {
            None => Settings::default(),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                Fault::invalid(format!("the table's option \"{OPTION}\" is not valid: {error}"))
            })?,
        };
        let schema = catalog.schema(table.schema).map_or(SCHEMA, |schema| schema.name.as_str());
        let schema = names::quoted(schema);
        let index = |column| {
            catalog.indexes().find_map(|index| match &index.kind {
                IndexKind::Vector { column: of, metric, .. }
                    if index.table == table.id && *of == column =>
                {
                    let target = index.options.get(RECALL_TARGET_OPTION);
                    Some(VectorIndex {
                        id: Some(index.id),
                        schema: schema.clone(),
                        name: index.name.clone(),
                        metric: *metric,
                        recall_target: target.and_then(|target| target.parse().ok()),
                    })
                }
                _ => None,
            })
        };
        let mut attributes: Vec<Attribute> = table
            .columns
            .iter()
            .map(|column| Attribute {
                name: column.name.clone(),
                column: column.kind.clone(),
                kind: AttributeType::of_column(&column.kind),
                generated: column.generated.is_some(),
                index: index(column.id),
            })
            .collect();
        // Clients know documents by their id.
        match attributes.iter().position(|attribute| attribute.name == ID) {
            Some(place) => attributes[..=place].rotate_right(1),
            None => {
                return Err(Fault::invalid(format!(
                    "the table of namespace '{name}' has no column \"{ID}\", so it cannot be used as one"
                )));
            }
        }
        let metric = table.options.contains_key("distance_metric").then(|| table.metric());
        Ok(Self {
            name: name.to_owned(),
            schema,
            has_schema: true,
            table: Some(Arc::clone(table)),
            attributes,
            metric,
            settings,
        })
    }

    /// The attribute of a name.
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The attribute of a name that a request has to have right.
    pub(super) fn expect(&self, name: &str) -> Answer<&Attribute> {
        self.attribute(name).ok_or_else(|| {
            let names = self.attributes.iter().map(|attribute| attribute.name.as_str());
            let near = crate::catalog::nearest(name, names);
            let near = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
            Fault::invalid(format!("attribute \"{}\" not found{near}", names::shortened(name)))
        })
    }

    /// The id of documents; before the namespace is created there is none.
    pub(super) fn id(&self) -> Option<&Attribute> {
        self.attributes.first()
    }

    /// What filters an attribute takes.
    pub(super) fn flags(&self, name: &str) -> Flags {
        self.settings.attributes.get(name).copied().unwrap_or_default()
    }

    /// The vector that is meant where a text is named: that which a model makes of it.
    pub(super) fn embedded<'n>(&'n self, name: &'n str) -> &'n str {
        self.settings.embed.get(name).map_or(name, |embedded| &embedded.attribute)
    }

    /// The model that made an attribute's vectors.
    pub(super) fn model_of(&self, attribute: &str) -> Option<&str> {
        let mut all = self.settings.embed.values();
        all.find(|embedded| embedded.attribute == attribute).map(|embedded| &*embedded.model)
    }

    /// What computes a column, where something does.
    pub(super) fn generation(&self, attribute: &str) -> Option<String> {
        let (text, embedded) =
            self.settings.embed.iter().find(|(_, embedded)| embedded.attribute == attribute)?;
        Some(format!("embed({}, {})", names::quoted(text), names::literal(&embedded.model)))
    }

    /// What nearness means for a vector.
    pub(super) fn metric_of(&self, attribute: &Attribute) -> Metric {
        let indexed = attribute.index.as_ref().map(|index| index.metric);
        indexed.or(self.metric).unwrap_or(Metric::L2)
    }

    /// The namespace in SQL.
    pub(super) fn sql(&self) -> String {
        let name = self.table.as_ref().map_or(&self.name, |table| &table.name);
        format!("{}.{}", self.schema, names::quoted(name))
    }

    /// Refuses to write where that was forbidden.
    pub(super) fn check_writable(&self) -> Answer<()> {
        if !self.settings.read_only {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Denied, format!("namespace '{}' is read-only", self.name)))
    }
}

/// The tables that are namespaces, with the names that they have as such.
pub(super) fn tables(catalog: &Catalog) -> impl Iterator<Item = (&str, &Arc<Table>)> {
    let own = catalog.schema_named(POSTGRES_DATABASE, SCHEMA).map(|schema| schema.id);
    catalog.tables().filter_map(move |table| {
        if Some(table.schema) == own {
            return Some((table.name.as_str(), table));
        }
        let name = table.options.get(NAME_OPTION)?;
        let schema = catalog.schema(table.schema)?;
        (schema.database == Some(POSTGRES_DATABASE)).then_some((name.as_str(), table))
    })
}

/// There is no such namespace.
pub(super) fn not_found(name: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("namespace '{name}' was not found"))
}

/// The word that clients have for a metric.
pub(super) fn metric_word(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine_distance",
        Metric::L2 => "euclidean_squared",
        Metric::InnerProduct => "dot_product",
        other => other.word(),
    }
}
