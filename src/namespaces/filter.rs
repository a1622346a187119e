//! Filters: `["And", [["age", "Gt", 3], ["name", "NotEq", null]]]` becomes a condition of SQL.
//!
//! A filter is true or false of a document, never unknown. A condition of SQL may be NULL where
//! the filter is false; AND and OR keep that right, and every negation is `IS NOT TRUE`.
//!
//! ```text
//!   Eq null, In [… null]     the attribute is absent        NotEq null      it is present
//!   Lt, Lte                  absent sorts below all          Gt, Gte         present and above
//!   NotEq, NotIn …           whatever Eq, In … is not
//! ```

use super::{
    attribute::{AttributeType, Scalar},
    fault::{Answer, Fault},
    glob,
    names::{quoted, shortened},
    shape::{Attribute, Shape},
    sql::{Parameters, joined},
    value,
};
use crate::pgtype::PgType;
use serde_json::Value;

/// How deep a filter may nest.
const DEPTH_MAX: usize = 48;
/// How many conditions a filter may have.
const LEAVES_MAX: usize = 4096;

/// What `{"$ref_new": attribute}` stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum NewRow<'a> {
    /// Nothing: the request writes no row.
    None,
    /// The row of an upsert.
    Excluded,
    /// A patch of these attributes; the others stay as they are.
    Patch(&'a [String]),
    /// A row that goes.
    Gone,
}

/// Makes conditions over the documents of a namespace.
#[derive(Debug)]
pub(super) struct Compiler<'a> {
    shape: &'a Shape,
    /// The alias of the table.
    alias: &'a str,
    new: NewRow<'a>,
    parameters: &'a mut Parameters,
    leaves: usize,
}

/// The condition of a query's filter over the documents under the alias `t`, or nothing.
pub(super) fn filtered(
    shape: &Shape,
    filter: Option<&Value>,
    parameters: &mut Parameters,
) -> Answer<Vec<String>> {
    match filter {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(filter) => {
            Ok(vec![Compiler::new(shape, "t", NewRow::None, parameters).condition(filter)?])
        }
    }
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        shape: &'a Shape,
        alias: &'a str,
        new: NewRow<'a>,
        parameters: &'a mut Parameters,
    ) -> Self {
        Self { shape, alias, new, parameters, leaves: 0 }
    }

    /// The condition of a filter.
    pub(super) fn condition(&mut self, filter: &Value) -> Answer<String> {
        self.nested(filter, 0).map_err(|fault| fault.of("filters"))
    }

    fn nested(&mut self, filter: &Value, depth: usize) -> Answer<String> {
        if depth > DEPTH_MAX {
            return Err(Fault::invalid(format!("nested more than {DEPTH_MAX} levels deep")));
        }
        let Value::Array(parts) = filter else {
            return Err(Fault::invalid("expected an array such as [\"attribute\", \"Eq\", value]"));
        };
        match parts.as_slice() {
            [Value::String(word), Value::Array(inner)] if word == "And" || word == "Or" => {
                let inner: Vec<String> = inner
                    .iter()
                    .map(|filter| self.nested(filter, depth + 1))
                    .collect::<Answer<_>>()?;
                Ok(match (inner.is_empty(), word.as_str()) {
                    (true, "And") => "TRUE".to_owned(),
                    (true, _) => "FALSE".to_owned(),
                    (false, word) => joined(inner, if word == "And" { "AND" } else { "OR" }),
                })
            }
            [Value::String(word), inner] if word == "Not" => {
                Ok(format!("({} IS NOT TRUE)", self.nested(inner, depth + 1)?))
            }
            [Value::String(attribute), Value::String(operator), rest @ ..] => {
                self.leaves += 1;
                if self.leaves > LEAVES_MAX {
                    return Err(Fault::invalid(format!("more than {LEAVES_MAX} conditions")));
                }
                self.leaf(attribute, operator, rest)
            }
            _ => Err(Fault::invalid(format!(
                "invalid filter {}, expected [\"attribute\", \"operator\", value], [\"And\", […]], \
                 [\"Or\", […]] or [\"Not\", …]",
                shortened(&filter.to_string())
            ))),
        }
    }

    fn leaf(&mut self, name: &str, operator: &str, rest: &[Value]) -> Answer<String> {
        let attribute = self.shape.expect(name)?;
        let fault = |fault: Fault| fault.of(format!("\"{}\" {operator}", shortened(name)));
        if matches!(
            operator,
            "Fuzzy" | "ContainsAllTokens" | "ContainsAnyToken" | "ContainsTokenSequence"
        ) {
            return Err(Fault::unsupported(format!(
                "the filter {operator} needs full-text search, which is not supported"
            )));
        }
        let [operand] = rest else {
            return Err(fault(Fault::invalid("expected one value")));
        };
        self.check_allowed(attribute, operator)?;
        self.comparison(attribute, operator, operand).map_err(fault)
    }

    fn check_allowed(&self, attribute: &Attribute, operator: &str) -> Answer<()> {
        let (name, flags) = (&attribute.name, self.shape.flags(&attribute.name));
        if attribute.kind.is_point() {
            return Err(Fault::invalid(format!(
                "attribute \"{name}\" is a vector: not filterable"
            )));
        }
        let (allowed, option) = match operator {
            "Regex" => (flags.regex, "regex"),
            "Glob" | "NotGlob" | "IGlob" | "NotIGlob" => {
                (flags.glob || flags.is_filterable(), "glob")
            }
            _ => (flags.is_filterable(), "filterable"),
        };
        if allowed {
            return Ok(());
        }
        Err(Fault::invalid(format!(
            "attribute \"{name}\" does not take the filter {operator}: set {option}: true in its \
             schema"
        )))
    }

    fn comparison(&mut self, attribute: &Attribute, op: &str, operand: &Value) -> Answer<String> {
        let negated = |condition: String| format!("({condition} IS NOT TRUE)");
        match op {
            "Eq" => self.equal(attribute, operand),
            "NotEq" => self.equal(attribute, operand).map(negated),
            "In" => self.among(attribute, operand),
            "NotIn" => self.among(attribute, operand).map(negated),
            "Contains" => self.contains(attribute, operand),
            "NotContains" => self.contains(attribute, operand).map(negated),
            "ContainsAny" => self.overlaps(attribute, operand),
            "NotContainsAny" => self.overlaps(attribute, operand).map(negated),
            "Lt" | "Lte" | "Gt" | "Gte" => self.ordered(attribute, op, operand),
            "AnyLt" | "AnyLte" | "AnyGt" | "AnyGte" => self.any_ordered(attribute, op, operand),
            "Glob" => self.pattern(attribute, &glob::regex(text(operand)?, false)?),
            "NotGlob" => self.pattern(attribute, &glob::regex(text(operand)?, false)?).map(negated),
            "IGlob" => self.pattern(attribute, &glob::regex(text(operand)?, true)?),
            "NotIGlob" => self.pattern(attribute, &glob::regex(text(operand)?, true)?).map(negated),
            "Regex" => {
                let regex = text(operand)?;
                glob::check(regex)?;
                self.pattern(attribute, regex)
            }
            _ => Err(Fault::invalid("there is no such operator")),
        }
    }

    /// The attribute in SQL.
    fn column(&self, attribute: &Attribute) -> String {
        format!("{}.{}", self.alias, quoted(&attribute.name))
    }

    fn equal(&mut self, attribute: &Attribute, operand: &Value) -> Answer<String> {
        let column = self.column(attribute);
        if operand.is_null() {
            return Ok(format!("({column} IS NULL)"));
        }
        if let Some(new) = self.reference(operand)? {
            return Ok(format!("({column} IS NOT DISTINCT FROM {new})"));
        }
        let value = self.operand(attribute, operand)?;
        Ok(format!("({column} = {value})"))
    }

    fn among(&mut self, attribute: &Attribute, operand: &Value) -> Answer<String> {
        if let AttributeType::List(_) = attribute.kind {
            return self.overlaps(attribute, operand);
        }
        let column = self.column(attribute);
        let values = list(operand)?;
        let (nulls, values): (Vec<_>, Vec<_>) = values.iter().partition(|value| value.is_null());
        let mut parts = Vec::new();
        if !nulls.is_empty() {
            parts.push(format!("({column} IS NULL)"));
        }
        if !values.is_empty() {
            let element = plain(&attribute.column);
            let array = value::several(&element, &values)?;
            let word = self.parameters.add(&element.array(), array);
            parts.push(format!("({column} = ANY ({word}))"));
        }
        Ok(if parts.is_empty() { "FALSE".to_owned() } else { joined(parts, "OR") })
    }

    fn contains(&mut self, attribute: &Attribute, operand: &Value) -> Answer<String> {
        let element = element(attribute)?;
        if operand.is_null() {
            return Err(Fault::invalid("arrays hold no null"));
        }
        let value = match self.reference(operand)? {
            Some(new) => new,
            None => self.parameters.add(&element, value::single(&element, operand)?),
        };
        Ok(format!("({value} = ANY ({}))", self.column(attribute)))
    }

    fn overlaps(&mut self, attribute: &Attribute, operand: &Value) -> Answer<String> {
        let element = element(attribute)?;
        let values: Vec<&Value> = list(operand)?.iter().collect();
        if values.is_empty() {
            return Ok("FALSE".to_owned());
        }
        let word =
            self.parameters.add(&element.clone().array(), value::several(&element, &values)?);
        Ok(format!("({} && {word})", self.column(attribute)))
    }

    fn ordered(&mut self, attribute: &Attribute, op: &str, operand: &Value) -> Answer<String> {
        check_ordered(attribute.kind)?;
        let column = self.column(attribute);
        if operand.is_null() {
            return Ok(match op {
                "Lt" => "FALSE".to_owned(),
                "Lte" => format!("({column} IS NULL)"),
                "Gt" => format!("({column} IS NOT NULL)"),
                _ => "TRUE".to_owned(),
            });
        }
        if let Some(new) = self.reference(operand)? {
            return Ok(match op {
                "Lt" => format!("({column} < {new} OR ({column} IS NULL AND {new} IS NOT NULL))"),
                "Lte" => format!("({column} <= {new} OR {column} IS NULL)"),
                "Gt" => format!("({column} > {new} OR ({column} IS NOT NULL AND {new} IS NULL))"),
                _ => format!("({column} >= {new} OR {new} IS NULL)"),
            });
        }
        let value = self.operand(attribute, operand)?;
        Ok(match op {
            "Lt" => format!("({column} < {value} OR {column} IS NULL)"),
            "Lte" => format!("({column} <= {value} OR {column} IS NULL)"),
            "Gt" => format!("({column} > {value})"),
            _ => format!("({column} >= {value})"),
        })
    }

    /// Whether some element is below or above.
    fn any_ordered(&mut self, attribute: &Attribute, op: &str, operand: &Value) -> Answer<String> {
        let element = element(attribute)?;
        check_ordered(AttributeType::of_column(&element))?;
        if operand.is_null() {
            return Err(Fault::invalid("arrays hold no null"));
        }
        let value = match self.reference(operand)? {
            Some(new) => new,
            None => self.number(&element, operand)?,
        };
        let op = match op {
            "AnyLt" => ">",
            "AnyLte" => ">=",
            "AnyGt" => "<",
            _ => "<=",
        };
        Ok(format!("({value} {op} ANY ({}))", self.column(attribute)))
    }

    fn pattern(&mut self, attribute: &Attribute, regex: &str) -> Answer<String> {
        if attribute.kind != AttributeType::Scalar(Scalar::String) {
            return Err(Fault::invalid("expected an attribute of type string"));
        }
        let regex = value::single(&PgType::Text, &Value::from(regex))?;
        let word = self.parameters.add(&PgType::Text, regex);
        Ok(format!("({} ~ {word})", self.column(attribute)))
    }

    /// A value of the attribute's own type as a parameter.
    fn operand(&mut self, attribute: &Attribute, operand: &Value) -> Answer<String> {
        self.number(&plain(&attribute.column), operand)
    }

    /// A value of a type; where that has whole numbers only, one with a fraction stays what it is.
    fn number(&mut self, kind: &PgType, operand: &Value) -> Answer<String> {
        let scalar = AttributeType::of_column(kind);
        let whole = matches!(scalar, AttributeType::Scalar(Scalar::Int | Scalar::Uint));
        if whole && operand.as_f64().is_some_and(|number| number.fract() != 0.0 || number < 0.0) {
            let beyond =
                operand.as_i64().is_none() || scalar == AttributeType::Scalar(Scalar::Uint);
            if beyond {
                let value = value::single(&PgType::Float8, operand)?;
                return Ok(self.parameters.add(&PgType::Float8, value));
            }
        }
        let value = value::single(kind, operand)?;
        Ok(self.parameters.add(kind, value))
    }

    /// `{"$ref_new": attribute}` in SQL.
    fn reference(&self, operand: &Value) -> Answer<Option<String>> {
        let Value::Object(object) = operand else { return Ok(None) };
        let Some(Value::String(name)) = object.get("$ref_new").filter(|_| object.len() == 1) else {
            return Err(Fault::invalid("expected a value or {\"$ref_new\": \"attribute\"}"));
        };
        let attribute = self.shape.expect(name)?;
        let name = quoted(&attribute.name);
        Ok(Some(match self.new {
            NewRow::None => return Err(Fault::invalid("$ref_new stands in conditions of writes")),
            NewRow::Excluded => format!("excluded.{name}"),
            NewRow::Patch(given) if given.contains(&attribute.name) => format!("given.{name}"),
            NewRow::Patch(_) => format!("{}.{name}", self.alias),
            NewRow::Gone => format!("CAST(NULL AS {})", attribute.column),
        }))
    }
}

/// The type under which values are compared: without the limits of the column.
fn plain(kind: &PgType) -> PgType {
    match kind {
        PgType::Varchar(_) | PgType::Bpchar(_) | PgType::Name => PgType::Text,
        other => other.clone(),
    }
}

fn element(attribute: &Attribute) -> Answer<PgType> {
    match (&attribute.column, attribute.kind) {
        (PgType::Array(element), AttributeType::List(_)) => Ok(plain(element)),
        _ => Err(Fault::invalid(format!(
            "expected an attribute of an array's type, not {}",
            attribute.kind
        ))),
    }
}

fn check_ordered(kind: AttributeType) -> Answer<()> {
    match kind {
        AttributeType::Scalar(scalar) if scalar.is_ordered() => Ok(()),
        AttributeType::Other => Ok(()),
        other => Err(Fault::invalid(format!("values of type {other} have no order"))),
    }
}

fn list(operand: &Value) -> Answer<&[Value]> {
    operand
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| Fault::invalid("expected an array of values"))
}

fn text(operand: &Value) -> Answer<&str> {
    operand.as_str().ok_or_else(|| Fault::invalid("expected a string"))
}
