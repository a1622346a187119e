//! How texts become documents and queries: which tokens count, and which dictionary each goes to.

use super::{
    dictionary::{LANGUAGES, Language},
    document::{Document, Place, Weight},
    gaps::Tree,
    lexeme::{BYTES_MAX, POSITION_MAX},
    query::{NODES_MAX, Node, Operand, Query, too_large},
    tokens::{Kind, Token, Tokens},
};
use crate::error::Result;

/// The oid of `simple`, and of the language after which the others count on.
const SIMPLE_OID: u32 = 3748;
const LANGUAGES_OID: u32 = 13_900;

/// A text search configuration: `simple`, which keeps words as they are but for their case, or
/// that of a language.
#[derive(Debug, Clone, Copy)]
pub struct Configuration(Option<&'static Language>);

/// A word of a text that is looked for or kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) lexeme: String,
    /// Counted from 1, those that say nothing too.
    pub(super) position: usize,
}

/// What a dictionary makes of a token.
pub(super) enum Made {
    /// No dictionary takes such tokens.
    Nothing,
    /// It says nothing.
    Stop,
    Lexeme(String),
}

/// Negations of one operand that are kept: a line of hyphens is none.
const NEGATIONS_MAX: usize = 8;

/// How the words of one operand, or of a whole query, are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    And,
    Phrase,
}

impl Configuration {
    /// `simple`
    pub const SIMPLE: Self = Self(None);

    /// All of them, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        let languages = LANGUAGES.iter().map(|language| Self(Some(language)));
        let mut all: Vec<Self> = languages.chain([Self::SIMPLE]).collect();
        all.sort_by_key(|configuration| configuration.name());
        all.into_iter()
    }

    /// That of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "simple" {
            return Some(Self::SIMPLE);
        }
        Language::named(name).map(|language| Self(Some(language)))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.map_or("simple", |language| language.name)
    }

    /// Its oid.
    #[must_use]
    pub fn oid(self) -> u32 {
        let place = LANGUAGES.iter().position(|language| language.name == self.name());
        let oid = |place| LANGUAGES_OID + u32::try_from(place).unwrap_or(0);
        place.map_or(SIMPLE_OID, oid)
    }

    /// That of an oid.
    #[must_use]
    pub fn of_oid(oid: u32) -> Option<Self> {
        Self::all().find(|configuration| configuration.oid() == oid)
    }

    /// What becomes of a token.
    pub(super) fn made_of(self, token: &Token<'_>) -> Made {
        let is_ascii = match token.kind {
            Kind::Protocol | Kind::Tag | Kind::Entity => return Made::Nothing,
            Kind::AsciiWord | Kind::AsciiHword | Kind::HwordAsciiPart => Some(true),
            Kind::Word | Kind::Hword | Kind::HwordPart => Some(false),
            _ => None,
        };
        let lower = token.text.to_lowercase();
        let language = match (self.0, is_ascii) {
            (None, _) | (_, None) => None,
            (Some(language), Some(true)) if language.has_own_letters => Language::named("english"),
            (language, _) => language,
        };
        match language {
            None => Made::Lexeme(lower),
            Some(language) => language.lexeme(&lower).map_or(Made::Stop, Made::Lexeme),
        }
    }

    /// The words of a text that say something.
    pub(super) fn words(self, text: &str) -> Vec<Word> {
        self.words_behind(text, &mut 0)
    }

    /// The same with positions behind another text's, of which the last is moved on.
    fn words_behind(self, text: &str, last: &mut usize) -> Vec<Word> {
        let mut words = Vec::new();
        let mut position = *last;
        for token in Tokens::of(text) {
            // Longer ones are not kept, nor counted.
            if token.text.len() > BYTES_MAX {
                continue;
            }
            match self.made_of(&token) {
                Made::Nothing => {}
                Made::Stop => position += 1,
                Made::Lexeme(lexeme) => {
                    position += 1;
                    words.push(Word { lexeme, position });
                }
            }
        }
        *last = position;
        words
    }

    /// `to_tsvector`
    ///
    /// # Errors
    /// 54000 for a text with too many words.
    pub fn document(self, text: &str) -> Result<Document> {
        self.document_from(text, &mut 0)
    }

    /// The document of a text whose positions count on from those of another one.
    ///
    /// # Errors
    /// 54000 for a text with too many words.
    pub fn document_from(self, text: &str, position: &mut usize) -> Result<Document> {
        let words = self.words_behind(text, position).into_iter().map(|word| {
            let place = Place { position: capped(word.position), weight: Weight::D };
            (word.lexeme, vec![place])
        });
        Document::of(words)
    }

    /// `to_tsquery`: operators between operands, each of which may be several words.
    ///
    /// # Errors
    /// 42601 for what is no query, 54000 for one that is too large.
    pub fn query(self, text: &str) -> Result<Query> {
        Query::parse_with(text, |word, is_prefix, weights| {
            let tree = self.operand(&word, is_prefix, weights, Join::Phrase)?;
            Ok(tree.without_gaps().node)
        })?
        .checked()
    }

    /// `plainto_tsquery`: all words.
    ///
    /// # Errors
    /// 54000 for one that is too large.
    pub fn plain_query(self, text: &str) -> Result<Query> {
        Query(self.operand(text, false, 0, Join::And)?.without_gaps().node).checked()
    }

    /// `phraseto_tsquery`: all words, one after the other.
    ///
    /// # Errors
    /// 54000 for one that is too large.
    pub fn phrase_query(self, text: &str) -> Result<Query> {
        Query(self.operand(text, false, 0, Join::Phrase)?.without_gaps().node).checked()
    }

    /// `websearch_to_tsquery`: words, "phrases", `or` and `-`, and no error whatever is written.
    ///
    /// # Errors
    /// 54000 for one that is too large.
    pub fn web_query(self, text: &str) -> Result<Query> {
        let mut either: Option<Tree> = None;
        let mut all: Option<Tree> = None;
        let items = web_items(text);
        if items.len() > NODES_MAX {
            return Err(too_large());
        }
        for item in items {
            let (words, negations) = match item {
                WebItem::Or => {
                    // Between operands alone it is one.
                    if let Some(all) = all.take() {
                        either = Some(with(either, all, Tree::Or));
                    }
                    continue;
                }
                WebItem::Words { text, negations } => (text, negations),
            };
            let mut tree = self.operand(words, false, 0, Join::Phrase)?;
            for _ in 0..negations {
                tree = Tree::Not(Box::new(tree));
            }
            all = Some(with(all, tree, Tree::And));
        }
        if let Some(all) = all {
            either = Some(with(either, all, Tree::Or));
        }
        Query(either.unwrap_or(Tree::Gap).without_gaps().node).checked()
    }

    /// The words of an operand; with a gap for each between two of them that says nothing.
    ///
    /// # Errors
    /// 54000 for too many words: what is made of them is as deep as they are many.
    fn operand(self, text: &str, is_prefix: bool, weights: u8, join: Join) -> Result<Tree> {
        let mut tree: Option<Tree> = None;
        let mut count = 0;
        let mut last = None;
        for Word { lexeme, position } in self.words(text) {
            let gaps = last.map_or(0, |last| position - last - 1);
            count += gaps + 1;
            if count > NODES_MAX {
                return Err(too_large());
            }
            last = Some(position);
            let word = Tree::Leaf(Node::Word(Operand { word: lexeme, is_prefix, weights }));
            let leaves = std::iter::repeat_with(|| Tree::Gap).take(gaps).chain([word]);
            for leaf in leaves {
                tree = Some(with(tree, leaf, |left, right| match join {
                    Join::And => Tree::And(left, right),
                    Join::Phrase => Tree::Phrase(left, right, 1),
                }));
            }
        }
        Ok(tree.unwrap_or(Tree::Gap))
    }
}

fn capped(position: usize) -> u16 {
    u16::try_from(position).unwrap_or(POSITION_MAX).min(POSITION_MAX)
}

fn with(left: Option<Tree>, right: Tree, join: impl Fn(Box<Tree>, Box<Tree>) -> Tree) -> Tree {
    match left {
        None => right,
        Some(left) => join(Box::new(left), Box::new(right)),
    }
}

/// A part of what people write into a search box.
enum WebItem<'t> {
    Or,
    Words { text: &'t str, negations: usize },
}

fn web_items(text: &str) -> Vec<WebItem<'_>> {
    // Operators of other queries stand between words here.
    let is_between =
        |c: char| c.is_whitespace() || matches!(c, '!' | '&' | '|' | '(' | ')' | ':' | '<');
    let mut items = Vec::new();
    let mut rest = text.trim_start_matches(is_between);
    while !rest.is_empty() {
        let from = rest.trim_start_matches(|c: char| c == '-' || is_between(c));
        let negations = rest[..rest.len() - from.len()].matches('-').count();
        let (words, behind) = match from.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let end = from.find(|c: char| is_between(c) || c == '"').unwrap_or(from.len());
                from.split_at(end)
            }
        };
        let is_or = negations == 0 && !from.starts_with('"') && words.eq_ignore_ascii_case("or");
        // At the end it is a word like others.
        if is_or && !behind.trim_start_matches(is_between).is_empty() && !items.is_empty() {
            items.push(WebItem::Or);
        } else {
            items.push(WebItem::Words { text: words, negations: negations.min(NEGATIONS_MAX) });
        }
        rest = behind.trim_start_matches(is_between);
    }
    items
}
