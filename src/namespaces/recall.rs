//! How much of the truth searches find, measured on vectors of the namespace itself.

use super::{
    Caller, Namespaces,
    cell::{Cell, Fields, VectorEncoding},
    fault::{Answer, Fault},
    names::ID,
    query::Found,
    request::{Include, Limit, Query, Recall},
    shape::Shape,
    work::Work,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashSet;

/// How many searches there are where nobody says, and at most.
const SEARCHES: u64 = 25;
const SEARCHES_MAX: u64 = 1000;
/// How many neighbours each looks for where nobody says, and at most.
const NEIGHBOURS: u64 = 10;
const NEIGHBOURS_MAX: u64 = 10_000;

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub struct RecallAnswer {
    avg_recall: f64,
    avg_ann_count: f64,
    avg_exhaustive_count: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ground_truth: Option<Vec<Truth>>,
}

/// The true neighbours of one vector.
#[derive(Debug, Serialize)]
struct Truth {
    query_vector: Cell,
    nearest_neighbors: Vec<Fields>,
}

impl Namespaces {
    /// Measures how much searches find.
    ///
    /// # Errors
    /// When it is wrong, or there is no vector to search by.
    pub async fn recall(
        &self,
        caller: &Caller,
        name: &str,
        recall: &Recall,
    ) -> Answer<RecallAnswer> {
        let (num, top_k) = (recall.num.unwrap_or(SEARCHES), recall.top_k.unwrap_or(NEIGHBOURS));
        if !(1..=SEARCHES_MAX).contains(&num) || !(1..=NEIGHBOURS_MAX).contains(&top_k) {
            return Err(Fault::invalid(format!(
                "num must be between 1 and {SEARCHES_MAX}, top_k between 1 and {NEIGHBOURS_MAX}"
            )));
        }
        if recall.rank_by.is_some() && recall.num.is_some_and(|num| num != 1) {
            return Err(Fault::invalid("num must be 1 or absent where rank_by is given"));
        }
        let shape = Shape::existing(&self.engine.catalog(), name)?;
        let mut work = self.pool.work(&caller.role).await?;
        work.freeze().await?;
        let searches = match &recall.rank_by {
            Some(rank_by) => match rank_by.as_array().map(Vec::as_slice) {
                Some([Value::String(attribute), Value::String(way), vector]) if way == "ANN" => {
                    vec![(attribute.clone(), vector.clone())]
                }
                _ => {
                    return Err(Fault::invalid(
                        "rank_by: expected [\"attribute\", \"ANN\", vector]",
                    ));
                }
            },
            None => self.sample(&mut work, &shape, num).await?,
        };
        let mut answer = RecallAnswer {
            ground_truth: recall.include_ground_truth.then(Vec::new),
            ..RecallAnswer::default()
        };
        #[expect(clippy::cast_precision_loss, reason = "a thousand at most")]
        let share = 1.0 / searches.len().max(1) as f64;
        for (attribute, vector) in searches {
            let mut search = async |way: &str| -> Answer<Vec<Fields>> {
                let query = Query {
                    rank_by: Some(json!([attribute, way, vector])),
                    limit: Some(Limit { total: top_k, per: None }),
                    filters: recall.filters.clone(),
                    include_attributes: Some(Include::These(vec![attribute.clone()])),
                    ..Query::default()
                };
                let encoding = VectorEncoding::Float;
                let Found { rows, .. } = self.find(&mut work, &shape, &query, encoding).await?;
                Ok(rows.unwrap_or_default())
            };
            let (found, truth) = (search("ANN").await?, search("kNN").await?);
            let ids = |rows: &[Fields]| -> HashSet<String> {
                rows.iter().filter_map(|row| row.get(ID).map(Cell::key)).collect()
            };
            let (found_ids, true_ids) = (ids(&found), ids(&truth));
            let common = found_ids.intersection(&true_ids).count();
            #[expect(clippy::cast_precision_loss, reason = "ten thousand at most")]
            let (common, found_count, true_count) =
                (common as f64, found.len() as f64, truth.len() as f64);
            answer.avg_recall += share * if true_count == 0.0 { 1.0 } else { common / true_count };
            answer.avg_ann_count += share * found_count;
            answer.avg_exhaustive_count += share * true_count;
            if let Some(truths) = &mut answer.ground_truth {
                let floats = super::vectors::floats(&vector)?;
                truths.push(Truth { query_vector: Cell::Vector(floats), nearest_neighbors: truth });
            }
        }
        Ok(answer)
    }

    /// Vectors of documents drawn at random.
    async fn sample(
        &self,
        work: &mut Work,
        shape: &Shape,
        num: u64,
    ) -> Answer<Vec<(String, Value)>> {
        let indexed = shape.attributes.iter().find(|attribute| attribute.index.is_some());
        let attribute = indexed
            .ok_or_else(|| Fault::invalid("the namespace has no vectors with an ANN index"))?;
        let column = super::names::quoted(&attribute.name);
        let text = format!(
            "SELECT t.{column} FROM {} AS t WHERE t.{column} IS NOT NULL ORDER BY random() \
             LIMIT {num}",
            shape.sql()
        );
        let rows = work.rows(text.into()).await?;
        let mut vectors = Vec::new();
        for batch in &rows.batches {
            let kind = &rows.columns[0].kind;
            for cell in super::cell::cells(kind, batch.column(0), VectorEncoding::Base64)? {
                vectors.push((attribute.name.clone(), json!(cell)));
            }
        }
        Ok(vectors)
    }
}
