//! How a namespace becomes what a request wants it to be.

use super::{
    declared::{Ann, Declared, EmbedConfig},
    statements::{alter, build, create, rebuilt},
};
use crate::{
    catalog::{RECALL_TARGET_OPTION, nearest},
    namespaces::{
        attribute::{AttributeType, Scalar},
        fault::{Answer, Fault},
        names::{self, ID, quoted, shortened},
        shape::{Attribute, Embedded, Flags, Shape, VectorIndex, metric_word},
    },
    vector::Metric,
};
use std::collections::BTreeMap;

/// The most attributes of a namespace.
const ATTRIBUTES_MAX: usize = 1024;

/// What a request wants a namespace to be.
#[derive(Debug, Default)]
pub(in crate::namespaces) struct Wanted {
    pub(in crate::namespaces) declared: Vec<Declared>,
    /// Attributes that documents have, with the types that their values suggest.
    pub(in crate::namespaces) inferred: Vec<(String, AttributeType)>,
    pub(in crate::namespaces) metric: Option<Metric>,
    /// Whether indexes by another metric are built anew, rather than the request refused.
    pub(in crate::namespaces) rebuilds: bool,
    /// The share of the nearest that searches by every vector are to find.
    pub(in crate::namespaces) recall_target: Option<f64>,
    /// The same by some vectors; `None` is the server's own.
    pub(in crate::namespaces) recall_targets: BTreeMap<String, Option<f64>>,
    /// The models that there are, with the dimensions of their vectors.
    pub(in crate::namespaces) models: BTreeMap<String, u16>,
    pub(in crate::namespaces) now_micros: i64,
}

/// A namespace as it is to be, and the statements that make it so.
#[derive(Debug)]
pub(in crate::namespaces) struct Change {
    pub(in crate::namespaces) shape: Shape,
    pub(in crate::namespaces) statements: Vec<String>,
}

/// Works out how a namespace becomes what is wanted.
pub(in crate::namespaces) fn change(mut shape: Shape, wanted: &Wanted) -> Answer<Change> {
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
pub(in crate::namespaces) fn copied(mut shape: Shape, wanted: &Wanted) -> Answer<Change> {
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
        let near = nearest(&embed.model, models.keys().map(String::as_str));
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
