//! `embed` and `rerank`: calls of models. A batch of rows is one question to the model, which the
//! node runs together with those of other sessions; the thread waits aside meanwhile.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::PgType,
    sql::functions::{call::Arguments, vector::Builder},
};
use arrow::{
    array::{ArrayRef, AsArray, Float64Array, ListArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::DataType,
};
use std::{collections::HashMap, sync::Arc};

/// The names of these functions.
pub(crate) const NAMES: [&str; 2] = ["embed", "rerank"];

/// `embed(text, model)`.
pub(crate) fn embed(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = args.text(0);
    let rows: Vec<Option<&str>> = (0..args.rows).map(|row| value(args, texts, row)).collect();
    let vectors = vectors(args, 1, &rows)?;
    column(args.result, vectors)
}

/// `embed(text[], model)`: a vector for each element.
pub(crate) fn embed_each(args: &Arguments<'_>) -> Result<ArrayRef> {
    let lists = args.arrays[0].as_list::<i32>();
    let (mut texts, mut ends, mut nulls) = (Vec::new(), vec![0], Vec::with_capacity(args.rows));
    let elements: Vec<(usize, ArrayRef)> = (0..args.rows)
        .filter(|&row| !args.is_null(row))
        .map(|row| (row, lists.value(row)))
        .collect();
    let mut elements = elements.iter().peekable();
    for row in 0..args.rows {
        let own = elements.next_if(|(at, _)| *at == row);
        if let Some((_, values)) = own {
            texts.extend(values.as_string::<i32>());
        }
        nulls.push(own.is_some());
        ends.push(i32::try_from(texts.len()).map_err(|_| {
            Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many texts in one batch of rows")
        })?);
    }
    let PgType::Array(element) = args.result else {
        return Err(Error::internal("embed() of an array gives an array"));
    };
    let values = column(element, vectors(args, 1, &texts)?)?;
    let DataType::List(field) = args.result.arrow() else {
        return Err(Error::internal("an array is a list"));
    };
    let nulls = Some(NullBuffer::from(nulls));
    Ok(Arc::new(ListArray::new(field, OffsetBuffer::new(ends.into()), values, nulls)))
}

/// `rerank(query, document, model)`: how well the document answers the query.
pub(crate) fn rerank(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (queries, documents) = (args.text(0), args.text(1));
    // Rows of one query go together; mostly there is but one.
    let mut places: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for row in (0..args.rows).filter(|&row| !args.is_null(row)) {
        let query = queries.value(row);
        let at = *known.entry(query).or_insert_with(|| {
            places.push((query, Vec::new()));
            places.len() - 1
        });
        places[at].1.push(row);
    }
    let mut scores: Vec<Option<f64>> = vec![None; args.rows];
    let model = args.arrays[2].as_string::<i32>();
    for (query, rows) in places {
        let documents = rows.iter().map(|&row| documents.value(row).into()).collect();
        let name = model.value(rows[0]);
        let made = args.context.rerank(name, query.into(), documents)?;
        for (row, score) in rows.into_iter().zip(made) {
            scores[row] = Some(f64::from(score));
        }
    }
    Ok(Arc::new(Float64Array::from(scores)))
}

fn value<'a>(
    args: &Arguments<'_>,
    texts: &'a arrow::array::StringArray,
    row: usize,
) -> Option<&'a str> {
    (!args.is_null(row)).then(|| texts.value(row))
}

/// The vector of each text that is there. The model is the same in all rows: it is a literal.
fn vectors(
    args: &Arguments<'_>,
    model: usize,
    texts: &[Option<&str>],
) -> Result<Vec<Option<crate::embed::Embedding>>> {
    let asked: Vec<Arc<str>> = texts.iter().flatten().map(|&text| text.into()).collect();
    if asked.is_empty() {
        return Ok(vec![None; texts.len()]);
    }
    let names = args.arrays[model].as_string::<i32>();
    let mut made = args.context.embed(names.value(0), asked)?.into_iter();
    Ok(texts.iter().map(|text| text.and_then(|_| made.next())).collect())
}

fn column(kind: &PgType, vectors: Vec<Option<crate::embed::Embedding>>) -> Result<ArrayRef> {
    let PgType::Vector(dims) = kind else {
        return Err(Error::internal("a model makes vectors"));
    };
    let mut column = Builder::<f32>::new(*dims);
    for vector in vectors {
        match vector {
            Some(vector) => column.push(&vector)?,
            None => column.push_null(),
        }
    }
    Ok(column.finish())
}
