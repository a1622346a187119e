use super::{
    Configuration, Document, Matcher, Query,
    headline::{Options, headline},
    tokens::{Kind, Tokens},
    written::{Written, places},
};
use proptest::prelude::*;

fn kinds(text: &str) -> Vec<(Kind, &str)> {
    Tokens::of(text).map(|token| (token.kind, token.text)).collect()
}

#[test]
fn tokens_are_those_of_postgres() {
    use Kind::*;
    let same = |text, wanted: &[(Kind, &str)]| assert_eq!(kinds(text), wanted, "{text}");
    same("foo.bar a.b", &[(Host, "foo.bar"), (File, "a.b")]);
    same("1.a x.y2", &[(Uint, "1"), (AsciiWord, "a"), (File, "x.y2")]);
    same("and/or 1/2 /etc ~b", &[(File, "and/or"), (File, "1/2"), (File, "/etc"), (File, "~b")]);
    same(
        "utf-8 foo-bar2",
        &[
            (AsciiWord, "utf"),
            (Int, "-8"),
            (NumHword, "foo-bar2"),
            (HwordAsciiPart, "foo"),
            (HwordNumPart, "bar2"),
        ],
    );
    same(
        "1.2.3 3.14abc 5kg",
        &[(Version, "1.2.3"), (Float, "3.14"), (AsciiWord, "abc"), (NumWord, "5kg")],
    );
    same(
        "1e5 -1.5e-3 +5 -1.5",
        &[(Sfloat, "1e5"), (Sfloat, "-1.5e-3"), (Int, "+5"), (Float, "-1.5")],
    );
    same(
        "http://example.com/a?b=1 https://x.org:80/",
        &[
            (Protocol, "http://"),
            (Url, "example.com/a?b=1"),
            (Host, "example.com"),
            (UrlPath, "/a?b=1"),
            (Protocol, "https://"),
            (Host, "x.org:80"),
        ],
    );
    same("ann@example.com. b@c", &[(Email, "ann@example.com"), (AsciiWord, "b"), (AsciiWord, "c")]);
    same(
        "<b>x</b> &amp; a < b <!-- c -->",
        &[
            (Tag, "<b>"),
            (AsciiWord, "x"),
            (Tag, "</b>"),
            (Entity, "&amp;"),
            (AsciiWord, "a"),
            (AsciiWord, "b"),
            (Tag, "<!-- c -->"),
        ],
    );
    same("über-cool", &[(Hword, "über-cool"), (HwordPart, "über"), (HwordAsciiPart, "cool")]);
    same(
        "foo-bar-1 -2",
        &[
            (AsciiHword, "foo-bar"),
            (HwordAsciiPart, "foo"),
            (HwordAsciiPart, "bar"),
            (Uint, "1"),
            (Int, "-2"),
        ],
    );
}

#[test]
fn every_configuration_has_a_name_and_an_oid_of_its_own() {
    let all: Vec<_> = Configuration::all().collect();
    assert_eq!(all.len(), 19);
    for configuration in all {
        let name = configuration.name();
        assert_eq!(Configuration::named(name).unwrap().name(), name);
        assert_eq!(Configuration::of_oid(configuration.oid()).unwrap().name(), name);
    }
    assert!(Configuration::named("klingon").is_none());
}

#[test]
fn a_long_text_takes_no_square_of_its_length() {
    let english = Configuration::named("english").unwrap();
    for part in ["a_", "1-", "a.", "1.a ", "a/", "<!--", "<a '", "a@", "-", "&a", "\"-"] {
        let text = part.repeat((1 << 17) / part.len()) + "é";
        let end = Tokens::of(&text).map(|token| token.start + token.text.len()).max();
        assert!(end.unwrap_or(0) <= text.len());
    }
    let cats = "cat ".repeat(20_000);
    let query = english.query("cat & !dog").unwrap();
    let shown = headline(english, &cats, &query, &Options::default());
    assert!(shown.starts_with("<b>cat</b> <b>cat</b>"), "{shown}");
}

proptest! {
    #[test]
    fn a_text_is_cut_without_fear(text in "\\PC{0,60}|[a-z0-9./:@<>&;~_+-]{0,40}") {
        let mut end = 0;
        for token in Tokens::of(&text) {
            prop_assert!(!token.text.is_empty());
            prop_assert_eq!(&text[token.start..token.start + token.text.len()], token.text);
            prop_assert!(token.start + token.text.len() >= end || token.start < end);
            end = end.max(token.start + token.text.len());
        }
    }

    #[test]
    fn what_is_written_is_read_again(text in "[a-zé'\\\\ :0-9,A-D&|!()<>*-]{0,40}") {
        if let Ok(document) = Document::parse(&text) {
            prop_assert_eq!(&Document::parse(&document.to_string()).unwrap(), &document);
            let mut bytes = Vec::new();
            document.write_binary(&mut bytes);
            prop_assert_eq!(Document::read_binary(&bytes).unwrap(), document);
        }
        if let Ok(document) = Document::parse(&text) {
            let written = document.to_string();
            let read = Written::of(&written).map(|lexeme| {
                let (word, written) = lexeme.unwrap();
                let places = Some(written).filter(|text| !text.is_empty()).map(places);
                (word.into_owned(), places.into_iter().flatten().map(Result::unwrap).collect())
            });
            prop_assert_eq!(Document::of(read).unwrap(), document);
        }
        if let Ok(query) = Query::parse(&text) {
            prop_assert_eq!(&Query::parse(&query.to_string()).unwrap(), &query);
            let mut bytes = Vec::new();
            query.write_binary(&mut bytes);
            prop_assert_eq!(Query::read_binary(&bytes).unwrap(), query);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Document::read_binary(&bytes);
        let _ = Query::read_binary(&bytes);
    }

    #[test]
    fn whoever_asks_for_all_words_of_a_text_finds_it(text in "[a-z -]{0,40}") {
        let configuration = Configuration::named("english").unwrap();
        let document = configuration.document(&text).unwrap();
        for query in [configuration.plain_query(&text), configuration.phrase_query(&text)] {
            let (query, written) = (query.unwrap(), document.to_string());
            let wanted = query.0.is_some();
            prop_assert_eq!(Matcher::new(query).matches(&written).unwrap(), wanted, "{}", written);
        }
    }
}
