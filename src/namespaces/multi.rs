//! Several queries over one picture, and their fusion by reciprocal ranks.

use super::{
    Caller, Namespaces,
    cell::{Cell, Fields},
    fault::{Answer, Fault},
    names::ID,
    query::{DIST, Found, MultiQueryAnswer, QueryAnswer, check_offset},
    request::{MultiQuery, Query},
    shape::Shape,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// The most queries of one request.
const QUERIES_MAX: usize = 16;

/// How ranks are fused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rrf {
    #[serde(default = "rank_constant")]
    rank_constant: f64,
    weights: Option<Vec<f64>>,
}

fn rank_constant() -> f64 {
    60.0
}

impl Namespaces {
    /// Answers a query.
    ///
    /// # Errors
    /// When it is wrong, or cannot be done.
    pub async fn query(&self, caller: &Caller, name: &str, query: &Query) -> Answer<QueryAnswer> {
        let begun = self.clock.elapsed();
        self.retried(|| async {
            let shape = Shape::existing(&self.engine.catalog(), name)?;
            let mut work = self.pool.work(&caller.role).await?;
            let ran = self.clock.elapsed();
            // One statement has one picture; more of them have to share one.
            let has_per = query.limit.as_ref().is_some_and(|limit| limit.per.is_some());
            if has_per || (query.rank_by.is_some() && query.aggregate_by.is_some()) {
                work.freeze().await?;
            }
            let found = [self.find(&mut work, &shape, query, query.vector_encoding).await?];
            let reads = work.reads();
            work.commit().await?;
            let billing = self.billing(&shape, &found);
            let performance = self.performance(&shape, &found, reads, (begun, ran));
            let [found] = found;
            Ok(QueryAnswer { found, billing, performance })
        })
        .await
    }

    /// Answers several queries, all in one picture.
    ///
    /// # Errors
    /// When one is wrong, or cannot be done.
    pub async fn multi_query(
        &self,
        caller: &Caller,
        name: &str,
        multi: &MultiQuery,
    ) -> Answer<MultiQueryAnswer> {
        if multi.queries.is_empty() || multi.queries.len() > QUERIES_MAX {
            return Err(Fault::invalid(format!("queries takes 1 to {QUERIES_MAX} of them")));
        }
        let fusion = multi.rerank_by.as_ref().map(|by| rrf(by, multi.queries.len())).transpose()?;
        if fusion.is_none() && (multi.limit.is_some() || multi.offset.is_some()) {
            return Err(Fault::invalid("limit and offset of several queries go with rerank_by"));
        }
        if fusion.is_some() && multi.queries.iter().any(|query| query.aggregate_by.is_some()) {
            return Err(Fault::invalid("rerank_by does not go with aggregate_by"));
        }
        if multi.limit.as_ref().is_some_and(|limit| limit.per.is_some()) {
            return Err(Fault::invalid("the limit of rerank_by takes a total only"));
        }
        check_offset(multi.offset.unwrap_or(0))?;
        let begun = self.clock.elapsed();
        self.retried(|| async {
            let shape = Shape::existing(&self.engine.catalog(), name)?;
            let mut work = self.pool.work(&caller.role).await?;
            let ran = self.clock.elapsed();
            work.freeze().await?;
            let mut results = Vec::with_capacity(multi.queries.len());
            for (at, query) in multi.queries.iter().enumerate() {
                let encoding = multi.vector_encoding.unwrap_or(query.vector_encoding);
                let found = self.find(&mut work, &shape, query, encoding).await;
                results.push(found.map_err(|fault| fault.of(format!("queries[{at}]")))?);
            }
            let reads = work.reads();
            work.commit().await?;
            let billing = self.billing(&shape, &results);
            let performance = self.performance(&shape, &results, reads, (begun, ran));
            if let Some(fusion) = &fusion {
                results = vec![fused(fusion, results, multi)];
            }
            Ok(MultiQueryAnswer { results, billing, performance })
        })
        .await
    }

    /// In words, how a query would run.
    ///
    /// # Errors
    /// When it is wrong.
    pub async fn explain_query(
        &self,
        caller: &Caller,
        name: &str,
        query: &Query,
    ) -> Answer<String> {
        let shape = Shape::existing(&self.engine.catalog(), name)?;
        let mut work = self.pool.work(&caller.role).await?;
        self.explain(&mut work, &shape, query).await
    }
}

fn rrf(rerank_by: &Value, queries: usize) -> Answer<Rrf> {
    let fault = |message: String| Fault::invalid(format!("rerank_by: {message}"));
    let options = match rerank_by.as_array().map(Vec::as_slice) {
        Some([Value::String(word)]) if word == "RRF" => &Value::Null,
        Some([Value::String(word), options]) if word == "RRF" => options,
        _ if rerank_by.is_object() => {
            return Err(Fault::unsupported("rerank_by with a model is not supported"));
        }
        _ => return Err(fault("expected [\"RRF\", {rank_constant, weights}]".to_owned())),
    };
    let rrf = match options {
        Value::Null => Rrf { rank_constant: rank_constant(), weights: None },
        options => Rrf::deserialize(options).map_err(|error| fault(error.to_string()))?,
    };
    if !(rrf.rank_constant > 0.0 && rrf.rank_constant.is_finite()) {
        return Err(fault("rank_constant must be above 0".to_owned()));
    }
    if let Some(weights) = &rrf.weights
        && (weights.len() != queries || !weights.iter().all(|weight| *weight > 0.0))
    {
        return Err(fault(format!("weights takes {queries} numbers above 0, one for each query")));
    }
    Ok(rrf)
}

/// Documents by the sum of `weight / (rank_constant + rank)` over the queries that found them.
fn fused(rrf: &Rrf, results: Vec<Found>, multi: &MultiQuery) -> Found {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<(f64, Fields)> = Vec::new();
    for (query, found) in results.into_iter().enumerate() {
        let weight = rrf.weights.as_ref().map_or(1.0, |weights| weights[query]);
        let mut rank = rrf.rank_constant;
        for document in found.rows.unwrap_or_default() {
            rank += 1.0;
            let key = document.get(ID).map(Cell::key).unwrap_or_default();
            let place = *places.entry(key).or_insert_with(|| {
                all.push((0.0, Fields::default()));
                all.len() - 1
            });
            let (score, fields) = &mut all[place];
            *score += weight / rank;
            for (name, cell) in document.0 {
                if name != DIST && fields.get(&name).is_none() {
                    fields.0.push((name, cell));
                }
            }
        }
    }
    // Equal scores stay in the order in which they were met.
    all.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    let usize_of = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let total = multi.limit.as_ref().map_or(usize::MAX, |limit| usize_of(limit.total));
    let rows = all.into_iter().skip(usize_of(multi.offset.unwrap_or(0))).take(total);
    let rows = rows.map(|(score, mut fields)| {
        fields.0.insert(fields.0.len().min(1), (DIST.to_owned(), Cell::Double(score)));
        fields
    });
    Found { rows: Some(rows.collect()), ..Found::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(ids: &[u64]) -> Found {
        let rows = ids.iter().map(|id| Fields(vec![("id".to_owned(), Cell::Uint(*id))])).collect();
        Found { rows: Some(rows), ..Found::default() }
    }

    #[test]
    fn ranks_are_fused() {
        let multi: MultiQuery = serde_json::from_value(json!({"queries": [], "limit": 3})).unwrap();
        let rrf = rrf(&json!(["RRF"]), 2).unwrap();
        let fused = fused(&rrf, vec![found(&[1, 2, 3]), found(&[3, 4])], &multi);
        let shown = serde_json::to_value(&fused).unwrap();
        let ids: Vec<u64> = shown["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, [3, 1, 2]);
        let expected = 1.0 / 63.0 + 1.0 / 61.0;
        assert!((shown["rows"][0]["$dist"].as_f64().unwrap() - expected).abs() < 1e-12);
    }
}
