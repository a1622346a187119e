//! What clients declare of attributes, and the DDL by which a namespace becomes that.

use super::{
    attribute::{AttributeType, Scalar},
    fault::{Answer, Fault},
    names::{self, ID, SCHEMA, literal, quoted, shortened},
    request::{DistanceMetric, Document},
    shape::{Attribute, Embedded, Flags, OPTION, Shape, VectorIndex, metric_word},
};
use crate::{
    catalog::RECALL_TARGET_OPTION,
    vector::{Metric, Space},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The most attributes of a namespace.
const ATTRIBUTES_MAX: usize = 1024;

/// What is declared of an attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    kind: Option<AttributeType>,
    ann: Option<Ann>,
    filterable: Option<bool>,
    regex: Option<bool>,
    glob: Option<bool>,
    drop: bool,
    embed: Option<EmbedConfig>,
}

impl Declared {
    /// Whether it is declared as dense vectors.
    pub(super) fn is_vector(&self) -> bool {
        self.kind.is_some_and(AttributeType::is_vector)
    }
}

/// Whether a vector has an index, and by which metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ann {
    Off,
    On(Option<Metric>),
}

/// The form of a declaration that is more than a type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeSchema {
    #[serde(rename = "type")]
    kind: Option<String>,
    ann: Option<Value>,
    filterable: Option<bool>,
    regex: Option<bool>,
    glob: Option<bool>,
    #[serde(default)]
    fuzzy: bool,
    full_text_search: Option<Value>,
    embed: Option<Value>,
    sparse_knn: Option<SparseKnn>,
    #[serde(default)]
    drop: bool,
}

/// The vector that the server is to make of a text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmbedConfig {
    model: String,
    attribute: Option<String>,
    dims: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SparseKnn {
    distance_metric: SparseMetric,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SparseMetric {
    DotProduct,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnnConfig {
    distance_metric: Option<DistanceMetric>,
    #[serde(default)]
    late_interaction: bool,
}

/// Reads declarations.
pub(super) fn declared(schema: &Document) -> Answer<Vec<Declared>> {
    schema
        .iter()
        .map(|(name, value)| {
            names::check_attribute(name)?;
            one(name, value).map_err(|fault| fault.of(format!("schema of \"{}\"", shortened(name))))
        })
        .collect()
}

fn one(name: &str, value: &Value) -> Answer<Declared> {
    let name = name.to_owned();
    if let Value::String(kind) = value {
        let kind = Some(AttributeType::parse(kind)?);
        return Ok(Declared { name, kind, ..Declared::default() });
    }
    let schema: AttributeSchema = read(value)?;
    if schema.fuzzy {
        return Err(Fault::unsupported("fuzzy filters are not supported"));
    }
    if !matches!(schema.full_text_search, None | Some(Value::Null | Value::Bool(false))) {
        return Err(Fault::unsupported("full_text_search is not supported"));
    }
    let embed = match schema.embed {
        None | Some(Value::Null) => None,
        Some(Value::String(model)) => Some(EmbedConfig { model, attribute: None, dims: None }),
        Some(config) => Some(read::<EmbedConfig>(&config)?),
    };
    let kind = schema.kind.as_deref().map(AttributeType::parse).transpose()?;
    if let Some(SparseKnn { distance_metric: SparseMetric::DotProduct }) = schema.sparse_knn
        && kind.is_some_and(|kind| kind != AttributeType::Sparse)
    {
        return Err(Fault::invalid("sparse_knn goes with the type {}f16"));
    }
    let ann = match &schema.ann {
        None | Some(Value::Null) => None,
        Some(Value::Bool(false)) => Some(Ann::Off),
        Some(Value::Bool(true)) => Some(Ann::On(None)),
        Some(config) => {
            let config: AnnConfig = read(config)?;
            if config.late_interaction {
                return Err(Fault::unsupported("late_interaction is not supported"));
            }
            Some(Ann::On(config.distance_metric.map(DistanceMetric::metric)))
        }
    };
    let is_text = kind.is_none_or(|kind| kind == AttributeType::Scalar(Scalar::String));
    if (schema.regex == Some(true) || schema.glob == Some(true)) && !is_text {
        return Err(Fault::invalid("regex and glob go with the type string"));
    }
    if embed.is_some() && !is_text {
        return Err(Fault::invalid("embed goes with the type string"));
    }
    if let Some(attribute) = embed.as_ref().and_then(|embed| embed.attribute.as_deref()) {
        names::check_attribute(attribute)?;
    }
    if matches!(ann, Some(Ann::On(_))) && kind.is_some_and(|kind| !kind.is_vector()) {
        return Err(Fault::invalid("ann goes with types such as [384]f32"));
    }
    Ok(Declared {
        name,
        kind,
        ann,
        filterable: schema.filterable,
        regex: schema.regex,
        glob: schema.glob,
        drop: schema.drop,
        embed,
    })
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Answer<T> {
    T::deserialize(value).map_err(|error| Fault::new(super::FaultKind::Shape, error.to_string()))
}

/// What a request wants a namespace to be.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) declared: Vec<Declared>,
    /// Attributes that documents have, with the types that their values suggest.
    pub(super) inferred: Vec<(String, AttributeType)>,
    pub(super) metric: Option<Metric>,
    /// Whether indexes by another metric are built anew, rather than the request refused.
    pub(super) rebuilds: bool,
    /// The share of the nearest that searches by every vector are to find.
    pub(super) recall_target: Option<f64>,
    /// The same by some vectors; `None` is the server's own.
    pub(super) recall_targets: BTreeMap<String, Option<f64>>,
    /// The models that there are, with the dimensions of their vectors.
    pub(super) models: BTreeMap<String, u16>,
    pub(super) now_micros: i64,
}

/// A namespace as it is to be, and the statements that make it so.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) shape: Shape,
    pub(super) statements: Vec<String>,
}

/// Works out how a namespace becomes what is wanted.
pub(super) fn change(mut shape: Shape, wanted: &Wanted) -> Answer<Change> {
    let before = shape.clone();
    let mut statements = Vec::new();
    set_metric(&mut shape, wanted, &mut statements)?;
    for declared in &wanted.declared {
        declare(&mut shape, declared, wanted.rebuilds, &mut statements)?;
        if let Some(embed) = &declared.embed {
            declare_embed(&mut shape, &declared.name, embed, &wanted.models)?;
        }
    }
    for (name, kind) in &wanted.inferred {
        if shape.attribute(name).is_none() {
            names::check_attribute(name)?;
            let at = if name == ID { 0 } else { shape.attributes.len() };
            shape.attributes.insert(at, new_attribute(name, *kind));
        }
    }
    if shape.attributes.len() > ATTRIBUTES_MAX {
        return Err(Fault::invalid(format!("more than {ATTRIBUTES_MAX} attributes")));
    }
    index_new_vectors(&mut shape, &before, wanted)?;
    set_recall_targets(&mut shape, wanted, &mut statements)?;
    if before.table.is_none() {
        shape.settings.created_micros = Some(wanted.now_micros);
        statements = create(&shape)?;
    } else {
        statements.extend(alter(&shape, &before));
    }
    statements.extend(build(&shape));
    Ok(Change { shape, statements })
}

/// Creates a namespace that has its attributes already.
pub(super) fn copied(mut shape: Shape, wanted: &Wanted) -> Answer<Change> {
    shape.settings.created_micros = Some(wanted.now_micros);
    let mut statements = create(&shape)?;
    statements.extend(build(&shape));
    Ok(Change { shape, statements })
}

fn new_attribute(name: &str, kind: AttributeType) -> Attribute {
    Attribute { name: name.to_owned(), column: kind.column(), kind, generated: false, index: None }
}

fn set_metric(shape: &mut Shape, wanted: &Wanted, statements: &mut Vec<String>) -> Answer<()> {
    let Some(metric) = wanted.metric else { return Ok(()) };
    if wanted.rebuilds {
        let indexes = shape.attributes.iter_mut().filter_map(|attribute| attribute.index.as_mut());
        for index in indexes.filter(|index| index.metric != metric) {
            statements.push(rebuilt(index, metric));
        }
        shape.metric = Some(metric);
        return Ok(());
    }
    let vectors = shape.attributes.iter().filter(|attribute| attribute.kind.is_vector());
    let own: Vec<Metric> = vectors.map(|attribute| shape.metric_of(attribute)).collect();
    if let Some(&other) = own.first()
        && !own.contains(&metric)
    {
        return Err(Fault::invalid(format!(
            "distance_metric {} is not that of the namespace, which is {}",
            metric_word(metric),
            metric_word(other)
        )));
    }
    shape.metric = Some(metric);
    Ok(())
}

/// Drops an index, which is to be built anew by another metric.
fn rebuilt(index: &mut VectorIndex, metric: Metric) -> String {
    (index.id, index.metric) = (None, metric);
    format!("DROP INDEX {}", index.sql())
}

/// Gives indexes the shares of the nearest that they are to find.
fn set_recall_targets(
    shape: &mut Shape,
    wanted: &Wanted,
    statements: &mut Vec<String>,
) -> Answer<()> {
    for name in wanted.recall_targets.keys() {
        if shape.expect(name)?.index.is_none() {
            return Err(Fault::invalid(format!(
                "recall_target of \"{}\": it has no index",
                shortened(name)
            )));
        }
    }
    for attribute in &mut shape.attributes {
        let Some(index) = &mut attribute.index else { continue };
        let own = wanted.recall_targets.get(&attribute.name).copied();
        let Some(target) = own.or(wanted.recall_target.map(Some)) else { continue };
        if let Some(target) = target {
            check_target(target)?;
        }
        if index.recall_target == target {
            continue;
        }
        index.recall_target = target;
        if index.id.is_some() {
            let change = match target {
                Some(target) => format!("SET ({RECALL_TARGET_OPTION} = {target})"),
                None => format!("RESET ({RECALL_TARGET_OPTION})"),
            };
            statements.push(format!("ALTER INDEX {} {change}", index.sql()));
        }
    }
    Ok(())
}

/// Refuses what is no share.
fn check_target(target: f64) -> Answer<()> {
    if (0.5..=1.0).contains(&target) {
        return Ok(());
    }
    Err(Fault::invalid(format!("recall_target must be between 0.5 and 1.0, not {target}")))
}

fn declare(
    shape: &mut Shape,
    declared: &Declared,
    rebuilds: bool,
    statements: &mut Vec<String>,
) -> Answer<()> {
    let name = &declared.name;
    let fault = |message: String| Fault::invalid(format!("schema of \"{name}\": {message}"));
    let place = shape.attributes.iter().position(|attribute| attribute.name == *name);
    if declared.drop {
        if name == ID {
            return Err(fault("the id cannot be dropped".to_owned()));
        }
        // The vector that was made of it goes along.
        let made = shape.settings.embed.remove(name).map(|embedded| embedded.attribute);
        shape.settings.embed.retain(|_, embedded| embedded.attribute != *name);
        for gone in made.iter().chain([name]) {
            let Some(place) = shape.attributes.iter().position(|a| a.name == *gone) else {
                continue;
            };
            shape.attributes.remove(place);
            shape.settings.attributes.remove(gone);
            statements.push(format!("ALTER TABLE {} DROP COLUMN {}", shape.sql(), quoted(gone)));
        }
        return Ok(());
    }
    let place = match (place, declared.kind) {
        (Some(place), None) => place,
        (Some(place), Some(kind)) if shape.attributes[place].kind == kind => place,
        (Some(place), Some(kind)) => {
            return Err(fault(format!(
                "its type is {} and cannot become {kind}",
                shape.attributes[place].kind
            )));
        }
        (None, Some(kind)) => {
            let at = if name == ID { 0 } else { shape.attributes.len() };
            shape.attributes.insert(at, new_attribute(name, kind));
            at
        }
        (None, None) => return Err(fault("missing field `type`".to_owned())),
    };
    let is_text = shape.attributes[place].kind == AttributeType::Scalar(Scalar::String);
    if (declared.regex == Some(true) || declared.glob == Some(true)) && !is_text {
        return Err(fault("regex and glob go with the type string".to_owned()));
    }
    declare_index(shape, place, declared, rebuilds, statements)?;
    let mut flags = shape.flags(name);
    flags.filterable = declared.filterable.or(flags.filterable);
    flags.regex = declared.regex.unwrap_or(flags.regex);
    flags.glob = declared.glob.unwrap_or(flags.glob);
    if flags == Flags::default() {
        shape.settings.attributes.remove(name);
    } else {
        shape.settings.attributes.insert(name.clone(), flags);
    }
    Ok(())
}

/// A text gets a vector that the server makes.
fn declare_embed(
    shape: &mut Shape,
    name: &str,
    embed: &EmbedConfig,
    models: &BTreeMap<String, u16>,
) -> Answer<()> {
    let fault = |message: String| Fault::invalid(format!("schema of \"{name}\": {message}"));
    let Some(&dims) = models.get(&embed.model) else {
        let near = crate::catalog::nearest(&embed.model, models.keys().map(String::as_str));
        let near = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
        let model = shortened(&embed.model);
        return Err(fault(format!("there is no embedding model \"{model}\"{near}")));
    };
    if embed.dims.is_some_and(|wanted| wanted != dims) {
        return Err(fault(format!("vectors of model \"{}\" have {dims} dimensions", embed.model)));
    }
    let attribute = embed.attribute.clone().unwrap_or_else(|| format!("$embed_{name}"));
    let embedded = Embedded { model: embed.model.clone(), attribute };
    match shape.settings.embed.get(name) {
        Some(known) if *known == embedded => return Ok(()),
        Some(known) => {
            return Err(fault(format!(
                "its vectors are those of model \"{}\" in \"{}\" and cannot become others here",
                known.model, known.attribute
            )));
        }
        None => {}
    }
    if shape.attribute(&embedded.attribute).is_some() {
        return Err(fault(format!("there is an attribute \"{}\" already", embedded.attribute)));
    }
    let kind = AttributeType::Vector { dims: Some(dims), half: false };
    let vector = Attribute { generated: true, ..new_attribute(&embedded.attribute, kind) };
    shape.attributes.push(vector);
    shape.settings.embed.insert(name.to_owned(), embedded);
    Ok(())
}

fn declare_index(
    shape: &mut Shape,
    place: usize,
    declared: &Declared,
    rebuilds: bool,
    statements: &mut Vec<String>,
) -> Answer<()> {
    let attribute = &shape.attributes[place];
    let index = match (declared.ann, &attribute.index) {
        (None, _) => return Ok(()),
        (Some(Ann::Off), Some(index)) => {
            statements.push(format!("DROP INDEX {}", index.sql()));
            None
        }
        (Some(Ann::Off), None) => None,
        (Some(Ann::On(metric)), Some(index)) => {
            let other = metric.filter(|metric| *metric != index.metric);
            if let Some(metric) = other.filter(|_| rebuilds) {
                let mut index = index.clone();
                if index.id.is_some() {
                    statements.push(rebuilt(&mut index, metric));
                }
                index.metric = metric;
                shape.attributes[place].index = Some(index);
                return Ok(());
            }
            if other.is_some() {
                return Err(Fault::invalid(format!(
                    "schema of \"{}\": its distance_metric is {} and cannot change; set ann: \
                     false first",
                    declared.name,
                    metric_word(index.metric)
                )));
            }
            return Ok(());
        }
        (Some(Ann::On(_)), None) if !attribute.kind.is_vector() => {
            return Err(Fault::invalid(format!(
                "schema of \"{}\": ann goes with types such as [384]f32",
                declared.name
            )));
        }
        (Some(Ann::On(metric)), None) => {
            let metric = metric.or(shape.metric).ok_or_else(no_metric)?;
            Some(VectorIndex::new(&shape.schema, metric))
        }
    };
    shape.attributes[place].index = index;
    Ok(())
}

fn no_metric() -> Fault {
    Fault::invalid("distance_metric is required with vectors: cosine_distance or euclidean_squared")
}

/// Vectors get an index unless it was declared that they do not.
fn index_new_vectors(shape: &mut Shape, before: &Shape, wanted: &Wanted) -> Answer<()> {
    let metric = shape.metric;
    for attribute in &mut shape.attributes {
        let declared = wanted.declared.iter().find(|declared| declared.name == attribute.name);
        let is_off = declared.is_some_and(|declared| declared.ann == Some(Ann::Off));
        let is_new = before.attribute(&attribute.name).is_none();
        if attribute.kind.is_vector() && is_new && !is_off && attribute.index.is_none() {
            let metric = metric.ok_or_else(no_metric)?;
            attribute.index = Some(VectorIndex::new(&shape.schema, metric));
        }
    }
    Ok(())
}

/// Creates the table.
fn create(shape: &Shape) -> Answer<Vec<String>> {
    let id = shape.id().filter(|id| id.name == ID).ok_or_else(|| {
        Fault::invalid("an empty namespace needs the type of `id` declared in `schema`")
    })?;
    check_id(id.kind)?;
    let columns: Vec<String> = shape
        .attributes
        .iter()
        .map(|attribute| {
            let key = if attribute.name == ID { " PRIMARY KEY" } else { "" };
            format!("{}{key}", column(shape, attribute))
        })
        .collect();
    Ok(vec![
        format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA}"),
        format!("CREATE TABLE {} ({}) WITH ({})", shape.sql(), columns.join(", "), options(shape)),
    ])
}

/// A column as SQL declares it.
fn column(shape: &Shape, attribute: &Attribute) -> String {
    let generation = shape.generation(&attribute.name);
    let generation = generation.map(|made| format!(" GENERATED ALWAYS AS ({made}) STORED"));
    let name = quoted(&attribute.name);
    format!("{name} {}{}", attribute.column, generation.unwrap_or_default())
}

/// Refuses types that no id can have.
fn check_id(kind: AttributeType) -> Answer<()> {
    match kind {
        AttributeType::Scalar(Scalar::String | Scalar::Int | Scalar::Uint | Scalar::Uuid) => Ok(()),
        other => Err(Fault::invalid(format!(
            "the type of `id` is uint, int, uuid or string, not {other}"
        ))),
    }
}

fn options(shape: &Shape) -> String {
    let settings = json!(shape.settings).to_string();
    let metric = shape.metric.map(|metric| format!("distance_metric = '{}', ", metric.word()));
    format!("{}{OPTION} = {}", metric.unwrap_or_default(), literal(&settings))
}

/// Adds columns, and changes what was declared.
fn alter(shape: &Shape, before: &Shape) -> Vec<String> {
    let table = shape.sql();
    let new = shape.attributes.iter().filter(|new| before.attribute(&new.name).is_none());
    let mut statements: Vec<String> = new
        .map(|attribute| format!("ALTER TABLE {table} ADD COLUMN {}", column(shape, attribute)))
        .collect();
    if shape.settings != before.settings || shape.metric != before.metric {
        statements.push(set_options(shape));
    }
    statements
}

/// Writes what the catalog keeps of a namespace.
pub(super) fn set_options(shape: &Shape) -> String {
    format!("ALTER TABLE {} SET ({})", shape.sql(), options(shape))
}

/// Builds the indexes that are not there yet.
fn build(shape: &Shape) -> Vec<String> {
    let indexed = shape.attributes.iter().filter_map(|attribute| {
        let index = attribute.index.as_ref().filter(|index| index.id.is_none())?;
        let half = matches!(attribute.kind, AttributeType::Vector { half: true, .. });
        let space = if half { Space::Halfvec } else { Space::Vector };
        let target = index.recall_target;
        let with = target.map(|target| format!(" WITH ({RECALL_TARGET_OPTION} = {target})"));
        Some(format!(
            "CREATE INDEX ON {} USING spfresh ({} {}){}",
            shape.sql(),
            quoted(&attribute.name),
            space.operator_class(index.metric),
            with.unwrap_or_default()
        ))
    });
    indexed.collect()
}

/// The schema as clients read it.
pub(super) fn shown(shape: &Shape) -> Map<String, Value> {
    let shown = shape.attributes.iter().map(|attribute| {
        let mut config = Map::new();
        config.insert("type".to_owned(), json!(attribute.kind.to_string()));
        let flags = shape.flags(&attribute.name);
        if attribute.kind.is_vector() {
            let ann = match &attribute.index {
                Some(index) => json!({ "distance_metric": metric_word(index.metric) }),
                None => json!(false),
            };
            config.insert("ann".to_owned(), ann);
        } else if attribute.kind == AttributeType::Sparse {
            let metric = json!({ "distance_metric": "dot_product" });
            config.insert("sparse_knn".to_owned(), metric);
        } else {
            config.insert("filterable".to_owned(), json!(flags.is_filterable()));
            for (name, is_on) in [("regex", flags.regex), ("glob", flags.glob)] {
                if is_on {
                    config.insert(name.to_owned(), json!(true));
                }
            }
        }
        if let Some(embedded) = shape.settings.embed.get(&attribute.name) {
            let embed = json!({ "model": embedded.model, "attribute": embedded.attribute });
            config.insert("embed".to_owned(), embed);
        }
        (attribute.name.clone(), Value::Object(config))
    });
    shown.collect()
}
