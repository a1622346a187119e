//! How well a query matches a document: `ts_rank` and `ts_rank_cd`.
//!
//! The formulas are PostgreSQL's, in the precision that it computes them in, so that both rank alike.

use super::{
    document::{Document, Lexeme, Place, Weight},
    lexeme::POSITION_MAX,
    matching,
    phrase::Found,
    query::{Node, Operand, Query},
};
use crate::error::{Error, Result, SqlState};

/// What a place of each weight counts: of D, C, B and A.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights([f32; 4]);

impl Default for Weights {
    fn default() -> Self {
        Self([0.1, 0.2, 0.4, 1.0])
    }
}

impl Weights {
    /// Of four numbers, of which negative ones stand for the default.
    ///
    /// # Errors
    /// 2202E when they are not four, 22023 when one is above 1.
    pub fn of(numbers: &[f32]) -> Result<Self> {
        if numbers.len() < 4 {
            let state = SqlState::new(b"2202E");
            return Err(Error::new(state, "array of weight is too short"));
        }
        let mut weights = Self::default();
        for (weight, &number) in weights.0.iter_mut().zip(numbers) {
            if number >= 0.0 {
                *weight = number;
            }
            if *weight > 1.0 {
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "weight out of range"));
            }
        }
        Ok(weights)
    }

    fn at(&self, place: &Place) -> f32 {
        self.0[place.weight as usize]
    }
}

/// By what a rank is divided, as a sum of these.
mod by {
    pub(super) const LOG_LENGTH: i32 = 1;
    pub(super) const LENGTH: i32 = 2;
    pub(super) const EXTENT_DISTANCE: i32 = 4;
    pub(super) const LEXEMES: i32 = 8;
    pub(super) const LOG_LEXEMES: i32 = 16;
    pub(super) const ITSELF: i32 = 32;
}

/// Where a lexeme without places stands.
const UNKNOWN: [Place; 1] = [Place { position: POSITION_MAX, weight: Weight::D }];

/// Places of one lexeme.
#[derive(Clone, Copy)]
struct Places<'d> {
    places: &'d [Place],
    is_known: bool,
}

fn places(lexeme: &Lexeme) -> Places<'_> {
    match lexeme.places.as_slice() {
        [] => Places { places: &UNKNOWN, is_known: false },
        places => Places { places, is_known: true },
    }
}

/// `ts_rank`: by how often and how near to each other the lexemes stand.
#[must_use]
pub fn rank(weights: &Weights, document: &Document, query: &Query, normalization: i32) -> f32 {
    let Some(root) = &query.0 else { return 0.0 };
    if document.lexemes().is_empty() {
        return 0.0;
    }
    let mut operands = query.words();
    operands.sort_unstable_by(|a, b| a.word.cmp(&b.word));
    operands.dedup_by(|a, b| a.word == b.word);
    let is_and = matches!(root, Node::And(..) | Node::Phrase(..));
    let mut rank = if is_and && operands.len() > 1 {
        rank_of_all(weights, document, &operands)
    } else {
        rank_of_any(weights, document, &operands)
    };
    if rank < 0.0 {
        rank = 1e-20;
    }
    let (words, lexemes) = (document.words() as f64, document.lexemes().len() as f64);
    if normalization & by::LOG_LENGTH != 0 {
        rank = divided(rank, (words + 1.0).ln() / std::f64::consts::LN_2);
    }
    if normalization & by::LENGTH != 0 {
        rank = divided(rank, words);
    }
    if normalization & by::LEXEMES != 0 {
        rank = divided(rank, lexemes);
    }
    if normalization & by::LOG_LEXEMES != 0 {
        rank = divided(rank, (lexemes + 1.0).ln() / std::f64::consts::LN_2);
    }
    if normalization & by::ITSELF != 0 {
        rank /= rank + 1.0;
    }
    rank
}

#[expect(clippy::cast_possible_truncation, reason = "a rank is a real")]
fn divided(rank: f32, by: f64) -> f32 {
    (f64::from(rank) / by) as f32
}

fn entries<'d>(document: &'d Document, operand: &Operand) -> &'d [Lexeme] {
    if operand.is_prefix {
        document.starting_with(&operand.word)
    } else {
        document.find(&operand.word).map_or(&[], std::slice::from_ref)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a rank is a real")]
fn rank_of_any(weights: &Weights, document: &Document, operands: &[&Operand]) -> f32 {
    let mut rank = 0.0_f32;
    for lexeme in operands.iter().flat_map(|operand| entries(document, operand)) {
        let (mut sum, mut most, mut most_at) = (0.0_f32, -1.0_f32, 0);
        for (at, place) in places(lexeme).places.iter().enumerate() {
            let weight = weights.at(place);
            sum += weight / ((at + 1) * (at + 1)) as f32;
            if weight > most {
                (most, most_at) = (weight, at);
            }
        }
        // The sum of 1/n^2 has the limit of pi^2/6.
        let own = most + sum - most / ((most_at + 1) * (most_at + 1)) as f32;
        rank = (f64::from(rank) + f64::from(own) / 1.644_934_066_85) as f32;
    }
    if operands.is_empty() { rank } else { rank / operands.len() as f32 }
}

#[expect(clippy::cast_possible_truncation, reason = "a rank is a real")]
fn rank_of_all(weights: &Weights, document: &Document, operands: &[&Operand]) -> f32 {
    let mut rank = -1.0_f32;
    let mut seen: Vec<Option<Places<'_>>> = vec![None; operands.len()];
    for (at, operand) in operands.iter().enumerate() {
        for lexeme in entries(document, operand) {
            let own = places(lexeme);
            seen[at] = Some(own);
            for other in seen[..at].iter().flatten() {
                for place in own.places {
                    for with in other.places {
                        let mut distance = place.position.abs_diff(with.position);
                        if distance == 0 {
                            if own.is_known && other.is_known {
                                continue;
                            }
                            distance = POSITION_MAX + 1;
                        }
                        let product = weights.at(place) * weights.at(with) * nearness(distance);
                        let pair = f64::from(product).sqrt() as f32;
                        rank = if rank < 0.0 {
                            pair
                        } else {
                            (1.0 - (1.0 - f64::from(rank)) * (1.0 - f64::from(pair))) as f32
                        };
                    }
                }
            }
        }
    }
    rank
}

#[expect(clippy::cast_possible_truncation, reason = "a rank is a real")]
fn nearness(distance: u16) -> f32 {
    if distance > 100 {
        return 1e-30;
    }
    let apart = f64::from(f32::from(distance)) / 1.5 - 2.0;
    (1.0 / (1.005 + 0.05 * apart.exp())) as f32
}

/// `ts_rank_cd`: by the extents of a document that the query holds in.
#[expect(clippy::cast_possible_truncation, reason = "a rank is a real")]
#[must_use]
pub fn rank_by_cover(
    weights: &Weights,
    document: &Document,
    query: &Query,
    normalization: i32,
) -> f32 {
    let Some(root) = &query.0 else { return 0.0 };
    let covered = Covered::of(document, query, root);
    let (mut rank, mut count, mut sum, mut last) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    let mut from = 0;
    while let Some(extent) = covered.next(&mut from) {
        let inner = &covered.places[extent.first..=extent.last];
        let inverse: f64 = inner.iter().map(|at| 1.0 / f64::from(weights.at(&at.place))).sum();
        let between = (extent.last - extent.first) as f64;
        let width = f64::from(extent.end) - f64::from(extent.start);
        // Positions beyond what can be said are all the same: about half of them are noise then.
        let noise = if width < between { (between / 2.0).floor() } else { width - between };
        rank += (between + 1.0) / inverse / (1.0 + noise);
        let middle = (f64::from(extent.end) + f64::from(extent.start)) / 2.0;
        if count > 0.0 && middle > last {
            sum += 1.0 / (middle - last);
        }
        last = middle;
        count += 1.0;
    }
    let (words, lexemes) = (document.words() as f64, document.lexemes().len() as f64);
    if normalization & by::LOG_LENGTH != 0 && lexemes > 0.0 {
        rank /= (words + 1.0).ln();
    }
    if normalization & by::LENGTH != 0 && words > 0.0 {
        rank /= words;
    }
    if normalization & by::EXTENT_DISTANCE != 0 && count > 0.0 && sum > 0.0 {
        rank /= count / sum;
    }
    if normalization & by::LEXEMES != 0 && lexemes > 0.0 {
        rank /= lexemes;
    }
    if normalization & by::LOG_LEXEMES != 0 && lexemes > 0.0 {
        rank /= (lexemes + 1.0).ln() / std::f64::consts::LN_2;
    }
    if normalization & by::ITSELF != 0 {
        rank /= rank + 1.0;
    }
    rank as f32
}

/// A place where words of the query stand.
struct Standing {
    place: Place,
    /// The numbers of those words among the query's.
    words: Vec<usize>,
}

/// The part of a document that a query speaks of.
struct Covered<'q> {
    root: &'q Node,
    operands: Vec<&'q Operand>,
    /// Ascending.
    places: Vec<Standing>,
}

/// A piece of it in which the query holds, by numbers of its places and by positions.
struct Extent {
    first: usize,
    last: usize,
    start: u16,
    end: u16,
}

impl<'q> Covered<'q> {
    fn of(document: &Document, query: &'q Query, root: &'q Node) -> Self {
        let mut operands = query.words();
        operands.sort_unstable();
        operands.dedup();
        let mut all: Vec<(Place, usize)> = Vec::new();
        for (number, operand) in operands.iter().enumerate() {
            let lexemes = entries(document, operand).iter();
            let fit = lexemes.flat_map(|lexeme| &lexeme.places);
            let fit = fit.filter(|place| operand.takes(place.weight));
            all.extend(fit.map(|place| (*place, number)));
        }
        all.sort_by_key(|(place, number)| (place.position, place.weight, *number));
        let mut places: Vec<Standing> = Vec::new();
        for (place, number) in all {
            match places.last_mut() {
                Some(last) if last.place == place => last.words.push(number),
                _ => places.push(Standing { place, words: vec![number] }),
            }
        }
        Self { root, operands, places }
    }

    /// The next extent from a place on, as short as it can be.
    fn next(&self, from: &mut usize) -> Option<Extent> {
        // An extent ends behind the one before.
        loop {
            let last = self.holds_at(*from..self.places.len())?;
            let backwards = (*from..=last).rev();
            let Some(first) = self.holds_at(backwards) else {
                *from += 1;
                continue;
            };
            *from = first + 1;
            let position = |at: usize| self.places[at].place.position;
            return Some(Extent { first, last, start: position(first), end: position(last) });
        }
    }

    /// The first of some places at which the query holds of what was come by.
    fn holds_at(&self, places: impl Iterator<Item = usize>) -> Option<usize> {
        let mut seen = vec![Found::No; self.operands.len()];
        for at in places {
            let Standing { place, words } = &self.places[at];
            for &word in words {
                seen[word].stand_at(place.position);
            }
            let find = |operand: &Operand| {
                let number = self.operands.binary_search(&operand);
                number.map_or(&Found::No, |number| &seen[number])
            };
            if matching::matches(self.root, &find) {
                return Some(at);
            }
        }
        None
    }
}
