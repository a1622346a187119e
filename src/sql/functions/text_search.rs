//! Full text: what makes documents and queries, tests one by the other, and ranks.
//!
//! Both travel as the text that PostgreSQL writes of them (`crate::text`).

use super::{call::Arguments, lists};
use crate::{
    error::{Error, Result, SqlState},
    text::{
        Configuration, Document, Matcher, Query, Weight,
        headline::{Options, headline},
        rank::{Weights, rank, rank_by_cover},
    },
};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float32Array, Int32Array, StringArray, UInt32Array,
    },
    datatypes::{Float32Type, Int32Type, UInt32Type},
};
use serde_json::Value;
use std::{collections::HashSet, sync::Arc};

/// What was read last: mostly it is the same for all rows.
struct Last<T> {
    read: fn(&str) -> Result<T>,
    known: Option<(String, T)>,
}

impl<T> Last<T> {
    fn new(read: fn(&str) -> Result<T>) -> Self {
        Self { read, known: None }
    }

    fn of(&mut self, text: &str) -> Result<&T> {
        if self.known.as_ref().is_none_or(|(known, _)| known != text) {
            self.known = Some((text.to_owned(), (self.read)(text)?));
        }
        match &self.known {
            Some((_, read)) => Ok(read),
            None => Err(Error::internal("it was read")),
        }
    }
}

/// A call's rows, NULL where an argument is.
fn rows<T>(
    args: &Arguments<'_>,
    mut one: impl FnMut(usize) -> Result<T>,
) -> impl Iterator<Item = Result<Option<T>>> {
    (0..args.rows).map(move |row| if args.is_null(row) { Ok(None) } else { one(row).map(Some) })
}

/// The configuration of a row, and the place of the argument behind it: the session's where the call
/// names none.
struct Configured {
    named: Option<UInt32Array>,
    default: Option<Configuration>,
    text: usize,
}

impl Configured {
    /// Of a call whose argument at `place` is a configuration, or the text at once.
    fn of(args: &Arguments<'_>, place: usize) -> Result<Self> {
        if let Some(named) = args.arrays[place].as_primitive_opt::<UInt32Type>() {
            return Ok(Self { named: Some(named.clone()), default: None, text: place + 1 });
        }
        Ok(Self { named: None, default: Some(default(args)?), text: place })
    }

    fn at(&self, row: usize) -> Result<Configuration> {
        let named = self.named.as_ref().map(|named| named.value(row));
        named.and_then(Configuration::of_oid).or(self.default).ok_or_else(|| {
            let oid = named.unwrap_or(0);
            Error::internal(format!("cache lookup failed for text search configuration {oid}"))
        })
    }
}

/// That of the setting `default_text_search_config`.
fn default(args: &Arguments<'_>) -> Result<Configuration> {
    let name = args.context.setting("default_text_search_config").unwrap_or_default();
    let bare = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    Configuration::named(bare).ok_or_else(|| {
        let message = format!("text search configuration \"{name}\" does not exist");
        Error::new(SqlState::UNDEFINED_OBJECT, message)
    })
}

/// `get_current_ts_config()`
pub(super) fn current(args: &Arguments<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(UInt32Array::from(vec![default(args)?.oid(); args.rows])))
}

fn documents(rows: impl Iterator<Item = Result<Option<Document>>>) -> Result<ArrayRef> {
    let texts = rows.map(|row| Ok(row?.map(|document| document.to_string())));
    Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
}

fn queries(rows: impl Iterator<Item = Result<Option<Query>>>) -> Result<ArrayRef> {
    let texts = rows.map(|row| Ok(row?.map(|query| query.to_string())));
    Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
}

/// `to_tsvector([regconfig,] text)`
pub(super) fn to_document(args: &Arguments<'_>) -> Result<ArrayRef> {
    let configured = Configured::of(args, 0)?;
    let texts = args.text(configured.text);
    documents(rows(args, |row| configured.at(row)?.document(texts.value(row))))
}

/// `to_tsvector([regconfig,] json)`: of all texts within, some words apart.
pub(super) fn json_to_document(args: &Arguments<'_>) -> Result<ArrayRef> {
    fn within(
        value: &Value,
        configuration: Configuration,
        position: &mut usize,
        all: &mut Vec<Document>,
    ) -> Result<()> {
        match value {
            Value::String(text) => {
                let document = configuration.document_from(text, position)?;
                if document.lexemes().is_empty() {
                    return Ok(());
                }
                // No phrase reaches from one to the next.
                *position += 1;
                all.push(document);
                Ok(())
            }
            Value::Array(values) => {
                values.iter().try_for_each(|value| within(value, configuration, position, all))
            }
            Value::Object(map) => {
                map.values().try_for_each(|value| within(value, configuration, position, all))
            }
            _ => Ok(()),
        }
    }
    let configured = Configured::of(args, 0)?;
    let texts = args.text(configured.text);
    documents(rows(args, |row| {
        let (mut position, mut all) = (0, Vec::new());
        let value = super::json::read(texts.value(row))?;
        within(&value, configured.at(row)?, &mut position, &mut all)?;
        let lexemes = all.into_iter().flat_map(|document| document.lexemes().to_vec());
        Document::of(lexemes.map(|lexeme| (lexeme.word, lexeme.places)))
    }))
}

fn made_query(
    args: &Arguments<'_>,
    make: fn(Configuration, &str) -> Result<Query>,
) -> Result<ArrayRef> {
    let configured = Configured::of(args, 0)?;
    let texts = args.text(configured.text);
    queries(rows(args, |row| make(configured.at(row)?, texts.value(row))))
}

/// `to_tsquery([regconfig,] text)`
pub(super) fn to_query(args: &Arguments<'_>) -> Result<ArrayRef> {
    made_query(args, Configuration::query)
}

/// `plainto_tsquery([regconfig,] text)`
pub(super) fn plain_to_query(args: &Arguments<'_>) -> Result<ArrayRef> {
    made_query(args, Configuration::plain_query)
}

/// `phraseto_tsquery([regconfig,] text)`
pub(super) fn phrase_to_query(args: &Arguments<'_>) -> Result<ArrayRef> {
    made_query(args, Configuration::phrase_query)
}

/// `websearch_to_tsquery([regconfig,] text)`
pub(super) fn web_to_query(args: &Arguments<'_>) -> Result<ArrayRef> {
    made_query(args, Configuration::web_query)
}

/// `ts_headline([regconfig,] text, tsquery [, text])`
pub(super) fn ts_headline(args: &Arguments<'_>) -> Result<ArrayRef> {
    let configured = Configured::of(args, 0)?;
    let (texts, asked) = (args.text(configured.text), args.text(configured.text + 1));
    let said = args.arrays.get(configured.text + 2).map(|said| said.as_string::<i32>().clone());
    let (mut query, mut options) = (Last::new(Query::parse), Last::new(Options::parse));
    args.texts(|row| {
        let options = options.of(said.as_ref().map_or("", |said| said.value(row)))?;
        let query = query.of(asked.value(row))?;
        Ok(Some(headline(configured.at(row)?, texts.value(row), query, options)))
    })
}

/// `ts_match_vq(tsvector, tsquery)`, `@@`
pub(crate) fn matches(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (texts, asked) = (args.text(0), args.text(1));
    let mut matcher = Last::new(|text| Ok(Matcher::new(Query::parse(text)?)));
    let found = rows(args, |row| matcher.of(asked.value(row))?.matches(texts.value(row)));
    Ok(Arc::new(found.collect::<Result<BooleanArray>>()?))
}

fn ranked(
    args: &Arguments<'_>,
    rank: fn(&Weights, &Document, &Query, i32) -> f32,
) -> Result<ArrayRef> {
    // Weights may come before, a method behind.
    let weighted = args.arrays[0].as_list_opt::<i32>();
    let first = usize::from(weighted.is_some());
    let (texts, asked) = (args.text(first), args.text(first + 1));
    let methods =
        args.arrays.get(first + 2).map(|methods| methods.as_primitive::<Int32Type>().clone());
    let mut query = Last::new(Query::parse);
    let ranks = rows(args, |row| {
        let weights = match weighted {
            None => Weights::default(),
            Some(list) => {
                let numbers = list.value(row);
                let numbers = numbers.as_primitive::<Float32Type>();
                if numbers.null_count() > 0 {
                    return Err(Error::new(
                        SqlState::NULL_VALUE_NOT_ALLOWED,
                        "array of weight must not contain nulls",
                    ));
                }
                Weights::of(numbers.values())?
            }
        };
        let method = methods.as_ref().map_or(0, |methods| methods.value(row));
        let document = Document::parse(texts.value(row))?;
        Ok(rank(&weights, &document, query.of(asked.value(row))?, method))
    });
    Ok(Arc::new(ranks.collect::<Result<Float32Array>>()?))
}

/// `ts_rank([real[],] tsvector, tsquery [, integer])`
pub(super) fn ts_rank(args: &Arguments<'_>) -> Result<ArrayRef> {
    ranked(args, rank)
}

/// `ts_rank_cd([real[],] tsvector, tsquery [, integer])`
pub(super) fn ts_rank_cd(args: &Arguments<'_>) -> Result<ArrayRef> {
    ranked(args, rank_by_cover)
}

fn each_document(
    args: &Arguments<'_>,
    mut one: impl FnMut(usize, Document) -> Result<Document>,
) -> Result<ArrayRef> {
    let texts = args.text(0);
    documents(rows(args, |row| one(row, Document::parse(texts.value(row))?)))
}

fn weight(text: &str) -> Result<Weight> {
    text.chars().next().and_then(Weight::of_letter).ok_or_else(|| {
        let code = text.bytes().next().map_or(0, u32::from);
        let message = format!("unrecognized weight: {code}");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
    })
}

/// The texts of a row of an array.
fn words(args: &Arguments<'_>, place: usize, row: usize) -> Result<Vec<String>> {
    let list = lists::list(&args.arrays[place]).value(row);
    let list = list.as_string::<i32>();
    let one = |text: Option<&str>| {
        text.map(str::to_owned).ok_or_else(|| {
            Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, "lexeme array may not contain nulls")
        })
    };
    list.iter().map(one).collect()
}

/// `setweight(tsvector, "char" [, text[]])`
pub(super) fn set_weight(args: &Arguments<'_>) -> Result<ArrayRef> {
    let letters = args.text(1);
    each_document(args, |row, document| {
        let weight = weight(letters.value(row))?;
        if args.arrays.len() < 3 {
            return Ok(document.weighted(weight, |_| true));
        }
        let picked: HashSet<String> = words(args, 2, row)?.into_iter().collect();
        Ok(document.weighted(weight, |word| picked.contains(word)))
    })
}

/// `strip(tsvector)`
pub(super) fn strip(args: &Arguments<'_>) -> Result<ArrayRef> {
    each_document(args, |_, document| Ok(document.stripped()))
}

/// `ts_delete(tsvector, text)` and of `text[]`
pub(super) fn delete(args: &Arguments<'_>) -> Result<ArrayRef> {
    each_document(args, |row, document| {
        let gone: HashSet<String> = match args.arrays[1].as_string_opt::<i32>() {
            Some(one) => HashSet::from([one.value(row).to_owned()]),
            None => words(args, 1, row)?.into_iter().collect(),
        };
        Ok(document.kept(|word| !gone.contains(word)))
    })
}

/// `ts_filter(tsvector, "char"[])`
pub(super) fn filter(args: &Arguments<'_>) -> Result<ArrayRef> {
    each_document(args, |row, document| {
        let letters = words(args, 1, row)?;
        let weights = letters.iter().map(|letter| weight(letter)).collect::<Result<Vec<_>>>()?;
        Ok(document.filtered(&weights))
    })
}

/// `tsvector_concat(tsvector, tsvector)`, `||`
pub(crate) fn concat(args: &Arguments<'_>) -> Result<ArrayRef> {
    let behind = args.text(1);
    each_document(args, |row, document| document.followed_by(Document::parse(behind.value(row))?))
}

/// `length(tsvector)`
pub(super) fn length(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = args.text(0);
    let lengths = rows(args, |row| {
        let count = Document::parse(texts.value(row))?.lexemes().len();
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    });
    Ok(Arc::new(lengths.collect::<Result<Int32Array>>()?))
}

/// `tsvector_to_array(tsvector)`
pub(super) fn to_array(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = args.text(0);
    let lists = rows(args, |row| {
        let document = Document::parse(texts.value(row))?;
        Ok(document.lexemes().iter().map(|lexeme| Some(lexeme.word.clone())).collect())
    });
    lists::texts_as(lists.collect::<Result<_>>()?, args.result, args)
}

/// `array_to_tsvector(text[])`
pub(super) fn of_array(args: &Arguments<'_>) -> Result<ArrayRef> {
    documents(rows(args, |row| {
        let words = words(args, 0, row)?;
        if words.iter().any(String::is_empty) {
            let state = SqlState::new(b"2200F");
            return Err(Error::new(state, "lexeme array may not contain empty strings"));
        }
        Document::of(words.into_iter().map(|word| (word, Vec::new())))
    }))
}

/// `numnode(tsquery)`
pub(super) fn nodes(args: &Arguments<'_>) -> Result<ArrayRef> {
    let asked = args.text(0);
    let counts = rows(args, |row| {
        let count = Query::parse(asked.value(row))?.nodes();
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    });
    Ok(Arc::new(counts.collect::<Result<Int32Array>>()?))
}

fn both_queries(
    args: &Arguments<'_>,
    mut join: impl FnMut(usize, Query, Query) -> Result<Query>,
) -> Result<ArrayRef> {
    let (left, right) = (args.text(0), args.text(1));
    queries(rows(args, |row| {
        let (left, right) = (Query::parse(left.value(row))?, Query::parse(right.value(row))?);
        join(row, left, right)?.checked()
    }))
}

/// `tsquery_and(tsquery, tsquery)`, `&&`
pub(crate) fn and(args: &Arguments<'_>) -> Result<ArrayRef> {
    both_queries(args, |_, left, right| Ok(left.and(right)))
}

/// `tsquery_or(tsquery, tsquery)`, `||`
pub(crate) fn or(args: &Arguments<'_>) -> Result<ArrayRef> {
    both_queries(args, |_, left, right| Ok(left.or(right)))
}

/// `tsquery_phrase(tsquery, tsquery [, integer])`, `<->`
pub(crate) fn phrase(args: &Arguments<'_>) -> Result<ArrayRef> {
    let distances = args.arrays.get(2).map(|array| array.as_primitive::<Int32Type>().clone());
    both_queries(args, |row, left, right| {
        left.before(right, distances.as_ref().map_or(1, |distances| distances.value(row)))
    })
}

/// `tsquery_not(tsquery)`, `!!`
pub(super) fn not(args: &Arguments<'_>) -> Result<ArrayRef> {
    let asked = args.text(0);
    queries(rows(args, |row| Query::parse(asked.value(row))?.negated().checked()))
}

/// `tsq_mcontains(tsquery, tsquery)`, `@>`: whether all lexemes of the second are of the first.
pub(crate) fn contains(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (left, right) = (args.text(0), args.text(1));
    let contained = rows(args, |row| {
        let (left, right) = (Query::parse(left.value(row))?, Query::parse(right.value(row))?);
        let has = |word: &str| left.words().iter().any(|operand| operand.word == word);
        Ok(right.words().iter().all(|operand| has(&operand.word)))
    });
    Ok(Arc::new(contained.collect::<Result<BooleanArray>>()?))
}
