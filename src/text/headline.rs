//! `ts_headline`: the piece of a text that shows best why it was found, with the words of the query marked.

use super::{
    configuration::{Configuration, Made},
    phrase,
    query::{Operand, Query},
    tokens::{Kind, Token, Tokens},
};
use crate::error::{Error, Result, SqlState};
use std::ops::RangeInclusive;

/// How it is to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    start: String,
    stop: String,
    words_max: usize,
    words_min: usize,
    /// Words that are no longer stand at neither end.
    short: usize,
    whole: bool,
    fragments_max: usize,
    delimiter: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start: "<b>".into(),
            stop: "</b>".into(),
            words_max: 35,
            words_min: 15,
            short: 3,
            whole: false,
            fragments_max: 0,
            delimiter: " ... ".into(),
        }
    }
}

impl Options {
    /// Of `StartSel=<em>, MaxWords = 20`.
    ///
    /// # Errors
    /// 22023 for what is no option, or for a value that it does not take.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
        let mut options = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, behind) = rest.split_once('=').ok_or_else(|| bad_list(text))?;
            let (value, behind) = value(behind.trim_start());
            rest = behind.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            let number = || {
                value.trim().parse().map_err(|_| {
                    let message = format!("invalid input syntax for type integer: \"{value}\"");
                    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
                })
            };
            let name = name.trim().trim_matches('"');
            match name.to_lowercase().as_str() {
                "maxwords" => options.words_max = number()?,
                "minwords" => options.words_min = number()?,
                "shortword" => options.short = number()?,
                "maxfragments" => options.fragments_max = number()?,
                "startsel" => options.start = value,
                "stopsel" => options.stop = value,
                "fragmentdelimiter" => options.delimiter = value,
                "highlightall" => {
                    let yes = ["1", "on", "true", "t", "y", "yes"];
                    options.whole = yes.contains(&value.to_lowercase().as_str());
                }
                _ => {
                    return Err(refused(format!("unrecognized headline parameter: \"{name}\"")));
                }
            }
        }
        if !options.whole {
            if options.words_min >= options.words_max {
                return Err(refused("MinWords must be less than MaxWords".into()));
            }
            if options.words_min == 0 {
                return Err(refused("MinWords must be positive".into()));
            }
        }
        Ok(options)
    }
}

fn bad_list(text: &str) -> Error {
    let message = format!("invalid parameter list format: \"{text}\"");
    Error::new(SqlState::SYNTAX_ERROR, message)
}

/// A value up to the next comma or space, or in quotes of either kind, which are doubled within.
fn value(text: &str) -> (String, &str) {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            value.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            value.push(quote);
        } else {
            return (value, &text[at + 1..]);
        }
    }
    (value, "")
}

/// A piece of the text: a token, or what stands between two.
struct Piece<'t> {
    text: &'t str,
    kind: Option<Kind>,
    /// Its place among the words, as documents count them; of those of the query alone.
    wanted: Option<u32>,
    /// Whether it is shown.
    is_in: bool,
}

impl Piece<'_> {
    /// What counts as no word: what stands between, tags, and wholes of which the parts follow.
    fn is_no_word(&self) -> bool {
        self.is_whole() || matches!(self.kind, None | Some(Kind::Tag))
    }

    /// Whether its parts follow, so that it is not shown itself.
    fn is_whole(&self) -> bool {
        use Kind::{AsciiHword, Hword, NumHword, Url};
        matches!(self.kind, Some(Url | NumHword | AsciiHword | Hword))
    }

    /// Whether neither end of a piece of text should be there.
    fn is_bad_end(&self, short: usize) -> bool {
        use Kind::{Float, Int, Sfloat, Uint, Version};
        let is_number = matches!(self.kind, Some(Float | Int | Sfloat | Uint | Version));
        let is_bad = self.is_no_word() || is_number || self.text.len() <= short;
        is_bad && self.wanted.is_none()
    }
}

/// The pieces of a text, and the places of each of a query's operands.
struct Text<'t> {
    pieces: Vec<Piece<'t>>,
    operands: Vec<(Operand, Vec<u32>)>,
    /// The places of the query's words with the numbers of their pieces, both ascending.
    wanted: Vec<(u32, usize)>,
}

impl<'t> Text<'t> {
    fn of(configuration: Configuration, text: &'t str, query: &Query) -> Self {
        let mut operands: Vec<(Operand, Vec<u32>)> =
            query.words().into_iter().map(|operand| (operand.clone(), Vec::new())).collect();
        operands.sort_unstable();
        operands.dedup();
        let (mut pieces, mut end, mut place) = (Vec::new(), 0, 0);
        for token in Tokens::of(text) {
            if token.start > end {
                let text = &text[end..token.start];
                pieces.push(Piece { text, kind: None, wanted: None, is_in: false });
            }
            let is_whole = pieces_follow(&token);
            end = token.start + if is_whole { 0 } else { token.text.len() };
            let mut wanted = None;
            match configuration.made_of(&token) {
                Made::Nothing => {}
                Made::Stop => place += 1,
                Made::Lexeme(lexeme) => {
                    place += 1;
                    for (operand, places) in &mut operands {
                        let is_it = operand.word == lexeme
                            || (operand.is_prefix && lexeme.starts_with(&operand.word));
                        if is_it {
                            places.push(place);
                            wanted = Some(place);
                        }
                    }
                }
            }
            pieces.push(Piece { text: token.text, kind: Some(token.kind), wanted, is_in: false });
        }
        if end < text.len() {
            pieces.push(Piece { text: &text[end..], kind: None, wanted: None, is_in: false });
        }
        let numbered = pieces.iter().enumerate();
        let wanted = numbered.filter_map(|(at, piece)| Some((piece.wanted?, at))).collect();
        Self { pieces, operands, wanted }
    }

    fn places(&self, operand: &Operand) -> &[u32] {
        let found = self.operands.binary_search_by(|(one, _)| one.cmp(operand));
        found.map_or(&[], |at| &self.operands[at].1)
    }

    /// Where each part of the query stands that has to be there.
    fn locations(&self, query: &Query) -> Vec<phrase::Location> {
        let find = |operand: &Operand| self.places(operand).to_vec();
        query.0.as_ref().and_then(|node| phrase::locations(node, &find)).unwrap_or_default()
    }

    /// Whether the query holds by the words at some places alone.
    fn holds_in(&self, query: &Query, places: RangeInclusive<u32>) -> bool {
        let find = |operand: &Operand| {
            let all = self.places(operand);
            let from = all.partition_point(|place| place < places.start());
            let to = all.partition_point(|place| place <= places.end());
            all[from..to].to_vec()
        };
        query.0.as_ref().is_some_and(|node| phrase::locations(node, &find).is_some())
    }

    /// The next shortest run of pieces in which the query holds.
    fn cover(
        &self,
        query: &Query,
        locations: &[phrase::Location],
        next: &mut u32,
    ) -> Option<(usize, usize)> {
        let mut from = *next;
        loop {
            // The first of each from there on; of these the last ends it.
            let first_of = |at: &phrase::Location| {
                at.ends.get(at.ends.partition_point(|end| *end < from)).copied()
            };
            let end = locations.iter().map(first_of).collect::<Option<Vec<_>>>()?;
            let end = end.into_iter().max()?;
            // The last of each that begins up to there; of these the first begins it.
            let last_of = |at: &phrase::Location| {
                let count = at.ends.partition_point(|one| one.saturating_sub(at.width) <= end);
                Some(at.ends[count.checked_sub(1)?].saturating_sub(at.width))
            };
            let begin = locations.iter().filter_map(last_of).min()?.max(from);
            let first = self.wanted.partition_point(|(place, _)| *place < begin);
            let behind = self.wanted.partition_point(|(place, _)| *place <= end);
            if first < behind && self.holds_in(query, begin..=end) {
                *next = begin + 1;
                return Some((self.wanted[first].1, self.wanted[behind - 1].1));
            }
            from = begin + 1;
        }
    }

    fn show(&mut self, first: usize, last: usize) {
        for piece in &mut self.pieces[first..=last] {
            piece.is_in = true;
        }
    }

    /// So many words from the start.
    fn start(&self, words: usize) -> Option<usize> {
        let (mut count, mut last) = (0, None);
        for (at, piece) in self.pieces.iter().enumerate() {
            if count >= words {
                break;
            }
            count += usize::from(!piece.is_no_word());
            last = Some(at);
        }
        last
    }
}

/// Whether the parts of a token follow it.
fn pieces_follow(token: &Token<'_>) -> bool {
    use Kind::{AsciiHword, Hword, NumHword, Url};
    matches!(token.kind, Url | NumHword | AsciiHword | Hword)
}

/// The headline of a text.
#[must_use]
pub fn headline(
    configuration: Configuration,
    text: &str,
    query: &Query,
    options: &Options,
) -> String {
    let mut pieces = Text::of(configuration, text, query);
    if options.whole {
        if let Some(last) = pieces.pieces.len().checked_sub(1) {
            pieces.show(0, last);
        }
    } else if options.fragments_max == 0 {
        if let Some((first, last)) = best(&pieces, query, options) {
            pieces.show(first, last);
        }
    } else {
        show_fragments(&mut pieces, query, options);
    }
    written(&pieces.pieces, options)
}

fn written(pieces: &[Piece<'_>], options: &Options) -> String {
    let (mut out, mut fragments, mut is_within) = (String::new(), 0, false);
    for piece in pieces {
        if !piece.is_in {
            is_within = false;
            continue;
        }
        if !is_within {
            is_within = true;
            fragments += 1;
            if fragments > 1 {
                out.push_str(&options.delimiter);
            }
        }
        if piece.is_whole() {
            continue;
        }
        if piece.kind == Some(Kind::Tag) && !options.whole {
            out.push(' ');
        } else if piece.wanted.is_some() {
            out.extend([options.start.as_str(), piece.text, options.stop.as_str()]);
        } else {
            out.push_str(piece.text);
        }
    }
    out
}

/// What a run of pieces is worth: whether it has the whole cover, how many of the query's words, and whether it
/// ends well.
type Value = (bool, usize, bool);

/// The one run of pieces that is best.
fn best(text: &Text<'_>, query: &Query, options: &Options) -> Option<(usize, usize)> {
    let pieces = &text.pieces;
    let is_word = |at: usize| usize::from(!pieces[at].is_no_word());
    let is_wanted = |at: usize| usize::from(pieces[at].wanted.is_some());
    let is_bad = |at: usize| pieces[at].is_bad_end(options.short);
    let (locations, mut next) = (text.locations(query), 0);
    let mut best: Option<(Value, (usize, usize))> = None;
    while let Some((first, last)) = text.cover(query, &locations, &mut next) {
        let (mut words, mut wanted, mut begin, mut end) = (0, 0, first, first);
        let mut at = first;
        while at <= last && words < options.words_max {
            words += is_word(at);
            wanted += is_wanted(at);
            end = at;
            at += 1;
        }
        if words < options.words_max {
            // Longer, up to a good end.
            at -= 1;
            while at < pieces.len() && words < options.words_max {
                if at > last {
                    words += is_word(at);
                    wanted += is_wanted(at);
                }
                end = at;
                if !is_bad(at) && words >= options.words_min {
                    break;
                }
                at += 1;
            }
            // At the end of the text, to the left.
            if words < options.words_min {
                begin = 0;
                for at in (0..first).rev() {
                    words += is_word(at);
                    wanted += is_wanted(at);
                    let is_enough = words >= options.words_min && !is_bad(at);
                    if words >= options.words_max || is_enough {
                        begin = at;
                        break;
                    }
                }
            }
        } else {
            // Shorter, back to a good end.
            at = at.min(last);
            while words > options.words_min && is_bad(at) {
                words -= is_word(at);
                wanted -= is_wanted(at);
                end = at.saturating_sub(1);
                at = end;
            }
        }
        let value = (begin <= first && end >= last, wanted, !is_bad(end));
        if best.is_none_or(|(known, _)| value > known) {
            best = Some((value, (begin, end)));
        }
    }
    match best {
        Some((_, found)) => Some(found),
        None => text.start(options.words_min).map(|last| (0, last)),
    }
}

/// A run of pieces that may become a fragment.
struct Fragment {
    first: usize,
    last: usize,
    words: usize,
    wanted: usize,
}

fn show_fragments(text: &mut Text<'_>, query: &Query, options: &Options) {
    let (locations, mut next) = (text.locations(query), 0);
    let mut left = Vec::new();
    while let Some((mut first, last)) = text.cover(query, &locations, &mut next) {
        while first <= last {
            let fragment = fragment(&text.pieces, first, last, options.words_max);
            first = fragment.last + 1;
            left.push(fragment);
        }
    }
    let mut shown = 0;
    while shown < options.fragments_max {
        let better =
            |a: &Fragment, b: &Fragment| a.wanted.cmp(&b.wanted).then(b.words.cmp(&a.words));
        // Of those that are alike the first.
        let best = (0..left.len()).rev().max_by(|a, b| better(&left[*a], &left[*b]));
        let Some(best) = best.filter(|best| left[*best].wanted > 0) else { break };
        let (first, last) = stretched(&text.pieces, &left[best], options);
        text.show(first, last);
        shown += 1;
        left.remove(best);
        left.retain(|other| other.last < first || other.first > last);
    }
    if shown == 0
        && let Some(last) = text.start(options.words_min)
    {
        text.show(0, last);
    }
}

/// The beginning of a run, of so many words at most and with one of the query's at both ends.
fn fragment(pieces: &[Piece<'_>], first: usize, last: usize, words_max: usize) -> Fragment {
    let first = (first..=last).find(|at| pieces[*at].wanted.is_some()).unwrap_or(last);
    let (mut words, mut wanted, mut at) = (0, 0, first);
    while at <= last && words < words_max {
        words += usize::from(!pieces[at].is_no_word());
        wanted += usize::from(pieces[at].wanted.is_some());
        at += 1;
    }
    let mut end = last;
    if last > at {
        end = at;
        while end > first && pieces[end].wanted.is_none() {
            words = words.saturating_sub(usize::from(!pieces[end].is_no_word()));
            end -= 1;
        }
    }
    Fragment { first, last: end, words, wanted }
}

/// A fragment with as many words around it as there may be, up to good ends and other fragments.
fn stretched(pieces: &[Piece<'_>], fragment: &Fragment, options: &Options) -> (usize, usize) {
    let Fragment { mut first, mut last, mut words, .. } = *fragment;
    if words >= options.words_max {
        return (first, last);
    }
    let is_word = |at: usize| usize::from(!pieces[at].is_no_word());
    let is_bad = |at: usize| pieces[at].is_bad_end(options.short);
    let before = (options.words_max - words) / 2;
    let (mut taken, mut at) = (0, first);
    while at > 0 && taken < before && !pieces[at - 1].is_in {
        at -= 1;
        taken += is_word(at);
    }
    words += taken;
    while at < first && is_bad(at) {
        words -= is_word(at);
        at += 1;
    }
    first = at;
    let mut at = last;
    while at + 1 < pieces.len() && words < options.words_max && !pieces[at + 1].is_in {
        at += 1;
        words += is_word(at);
    }
    while at > last && is_bad(at) {
        at -= 1;
    }
    last = at;
    (first, last)
}
