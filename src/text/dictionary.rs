//! What becomes of a word in a language: nothing where it says nothing, else its stem.

use rust_stemmers::{Algorithm, Stemmer};
use std::{collections::HashSet, fmt, sync::LazyLock};

/// A language that words are stemmed in.
pub(super) struct Language {
    /// As configurations are named.
    pub(super) name: &'static str,
    algorithm: Algorithm,
    /// The code of its list of words that say nothing; nothing where PostgreSQL has none.
    stops: Option<&'static str>,
    /// Whether its words are written in other letters, so that ASCII ones are English.
    pub(super) has_own_letters: bool,
}

const fn language(name: &'static str, algorithm: Algorithm, stops: &'static str) -> Language {
    Language { name, algorithm, stops: Some(stops), has_own_letters: false }
}

/// By name.
pub(super) static LANGUAGES: [Language; 18] = [
    Language { stops: None, ..language("arabic", Algorithm::Arabic, "") },
    language("danish", Algorithm::Danish, "da"),
    language("dutch", Algorithm::Dutch, "nl"),
    language("english", Algorithm::English, "en"),
    language("finnish", Algorithm::Finnish, "fi"),
    language("french", Algorithm::French, "fr"),
    language("german", Algorithm::German, "de"),
    Language { stops: None, ..language("greek", Algorithm::Greek, "") },
    language("hungarian", Algorithm::Hungarian, "hu"),
    language("italian", Algorithm::Italian, "it"),
    language("norwegian", Algorithm::Norwegian, "no"),
    language("portuguese", Algorithm::Portuguese, "pt"),
    Language { stops: None, ..language("romanian", Algorithm::Romanian, "") },
    Language { has_own_letters: true, ..language("russian", Algorithm::Russian, "ru") },
    language("spanish", Algorithm::Spanish, "es"),
    language("swedish", Algorithm::Swedish, "sv"),
    Language { stops: None, ..language("tamil", Algorithm::Tamil, "") },
    language("turkish", Algorithm::Turkish, "tr"),
];

/// Bytes of the longest word that is stemmed.
const STEMMED_MAX: usize = 1000;

/// What lists have taken up since PostgreSQL took its own; of English what is left of contractions that
/// are cut at their apostrophe.
const ADDED: &[(&str, &[&str])] = &[
    (
        "english",
        &[
            "ain", "aren", "couldn", "d", "didn", "doesn", "hadn", "hasn", "haven", "isn", "ll",
            "m", "ma", "mightn", "mustn", "needn", "o", "re", "shan", "shouldn", "ve", "wasn",
            "weren", "won", "wouldn", "y",
        ],
    ),
    ("french", &["ils", "les"]),
    ("german", &["dass", "unsere", "unserem", "unseren", "unseres"]),
    ("portuguese", &["estar", "haver", "ser", "é"]),
];

/// The words of each of [`LANGUAGES`] that say nothing.
static STOPS: LazyLock<[HashSet<&'static str>; LANGUAGES.len()]> = LazyLock::new(|| {
    LANGUAGES.each_ref().map(|language| {
        let words = language.stops.and_then(stop_words::lookup).unwrap_or_default();
        let added = ADDED.iter().find(|(name, _)| *name == language.name);
        let is_added = |word: &&str| added.is_some_and(|(_, added)| added.contains(word));
        words.iter().copied().filter(|word| !is_added(word)).collect()
    })
});

impl Language {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|language| language.name == name)
    }

    /// The lexeme of a word in lower case; `None` for one that says nothing.
    pub(super) fn lexeme(&self, word: &str) -> Option<String> {
        let place = LANGUAGES.iter().position(|language| language.name == self.name)?;
        if word.is_empty() || STOPS[place].contains(word) {
            return None;
        }
        if word.len() > STEMMED_MAX {
            return Some(word.to_owned());
        }
        let stem = Stemmer::create(self.algorithm).stem(word).into_owned();
        // As later versions of the algorithm have it, words of three letters keep their double one.
        let kept = ["add", "egg", "off"].into_iter().find(|kept| kept[..2] == stem);
        match kept.filter(|kept| self.name == "english" && word.starts_with(kept)) {
            Some(kept) => Some(kept.to_owned()),
            // Endings alone stay as they are.
            None if stem.is_empty() => Some(word.to_owned()),
            None => Some(stem),
        }
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
