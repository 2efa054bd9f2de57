//! Colours SQL with Jinja templates. Nothing is checked: any text is accepted, and all of it is shown.

use std::collections::HashSet;
use std::sync::LazyLock;

use maud::{Markup, html};

/// What a piece of code is. Each has a class in the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Keyword,
    Text,
    Number,
    Comment,
    Template,
}

impl Kind {
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Keyword => Some("k"),
            Self::Text => Some("s"),
            Self::Number => Some("n"),
            Self::Comment => Some("c"),
            Self::Template => Some("t"),
        }
    }
}

/// Shows SQL, for use in a `pre`. Its text is exactly `code`.
pub(crate) fn sql(code: &str) -> Markup {
    html! {
        @for (kind, text) in pieces(code) {
            @if let Some(class) = kind.class() { span class=(class) { (text) } } @else { (text) }
        }
    }
}

/// Splits code into pieces, which together are the code. Neighbours differ in kind.
fn pieces(code: &str) -> Vec<(Kind, &str)> {
    let mut reader = Reader {
        code,
        start: 0,
        at: 0,
        kind: Kind::Plain,
        pieces: Vec::new(),
    };
    while let Some(byte) = reader.byte(0) {
        reader.token(byte);
    }
    reader.cut();
    reader.pieces
}

/// Reads code from the start to the end.
struct Reader<'c> {
    code: &'c str,
    /// Where the current piece starts.
    start: usize,
    at: usize,
    /// The kind of the current piece.
    kind: Kind,
    pieces: Vec<(Kind, &'c str)>,
}

impl<'c> Reader<'c> {
    /// The byte at this distance.
    fn byte(&self, distance: usize) -> Option<u8> {
        self.code.as_bytes().get(self.at + distance).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        self.code.as_bytes()[self.at..].starts_with(text.as_bytes())
    }

    /// Ends the current piece.
    fn cut(&mut self) {
        if self.start < self.at {
            self.pieces.push((self.kind, &self.code[self.start..self.at]));
            self.start = self.at;
        }
    }

    /// Reads bytes as a kind. Only ASCII bytes end a token, so no character is split.
    fn take(&mut self, kind: Kind, bytes: usize) {
        if kind != self.kind {
            self.cut();
            self.kind = kind;
        }
        self.at += bytes;
    }

    fn token(&mut self, byte: u8) {
        match byte {
            b'{' if self.is_template() => self.template(),
            b'-' if self.byte(1) == Some(b'-') => {
                let length = self.code.as_bytes()[self.at..]
                    .iter()
                    .take_while(|byte| **byte != b'\n')
                    .count();
                self.take(Kind::Comment, length);
            }
            b'/' if self.byte(1) == Some(b'*') => self.until("*/", Kind::Comment),
            b'\'' => self.quoted(byte, Kind::Text),
            // Names in most dialects.
            b'"' | b'`' => self.quoted(byte, Kind::Plain),
            b'0'..=b'9' => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
                let length = self.code.as_bytes()[self.at..]
                    .iter()
                    .take_while(|byte| is_part(byte))
                    .count();
                self.take(Kind::Number, length);
            }
            _ if is_of_word(byte) => {
                let length = self.code.as_bytes()[self.at..]
                    .iter()
                    .take_while(|byte| is_of_word(**byte))
                    .count();
                let word = &self.code[self.at..self.at + length];
                self.take(if is_keyword(word) { Kind::Keyword } else { Kind::Plain }, length);
            }
            _ => self.take(Kind::Plain, 1),
        }
    }

    fn is_template(&self) -> bool {
        matches!(self.byte(1), Some(b'{' | b'%' | b'#'))
    }

    /// Reads to the end of this text, or of the code.
    fn until(&mut self, end: &str, kind: Kind) {
        // The start, such as `/*`, is not part of the end: `/*/` does not end there.
        let rest = self.code.get(self.at + 2..).and_then(|rest| rest.find(end));
        self.take(
            kind,
            rest.map_or(self.code.len() - self.at, |place| place + 2 + end.len()),
        );
    }

    /// Reads `{{ … }}`, `{% … %}` or `{# … #}`, with the texts in them.
    fn template(&mut self) {
        let end = match self.byte(1) {
            Some(b'#') => return self.until("#}", Kind::Comment),
            Some(b'%') => "%}",
            _ => "}}",
        };
        self.take(Kind::Template, 2);
        while let Some(byte) = self.byte(0) {
            if self.starts_with(end) {
                return self.take(Kind::Template, end.len());
            }
            match byte {
                b'\'' | b'"' => self.text_of_template(byte),
                _ => self.take(Kind::Template, 1),
            }
        }
    }

    fn text_of_template(&mut self, quote: u8) {
        self.take(Kind::Text, 1);
        while let Some(byte) = self.byte(0) {
            match byte {
                b'\\' => self.escaped(Kind::Text),
                _ => self.take(Kind::Text, 1),
            }
            if byte == quote {
                break;
            }
        }
    }

    /// Reads a text or a name of SQL, with the templates in it.
    fn quoted(&mut self, quote: u8, kind: Kind) {
        self.take(kind, 1);
        while let Some(byte) = self.byte(0) {
            match byte {
                b'{' if self.is_template() => self.template(),
                b'\\' => self.escaped(kind),
                _ => self.take(kind, 1),
            }
            if byte == quote {
                break;
            }
        }
    }

    /// Reads a backslash and the character after it.
    fn escaped(&mut self, kind: Kind) {
        let next = self.code.get(self.at + 1..).and_then(|rest| rest.chars().next());
        self.take(kind, 1 + next.map_or(0, char::len_utf8));
    }
}

/// Whether a byte can be part of a word. All bytes of characters beyond ASCII can.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// The words that are coloured: the reserved ones that models use, and the common types.
const WORDS: &str = "\
    all alter and any array as asc begin between bigint boolean by case cast cluster collate commit \
    create cross current current_date current_timestamp cube date datetime decimal default delete desc \
    describe distinct drop else end escape except exclude exists explain extract false fetch filter \
    first flatten float following for from full function grant group grouping having if ignore ilike in \
    inner insert int integer intersect interval into is join last lateral left like limit matched \
    materialized merge minus natural not null nulls numeric of offset on or order outer over partition \
    pivot preceding primary qualify range recursive references rename replace respect returning returns \
    revoke right rlike rollback rollup row rows select set sets similar smallint some string struct \
    table temporary text then time timestamp to true truncate unbounded union unique unnest unpivot \
    update using values varchar variant view when where window with within";

static KEYWORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| WORDS.split(' ').collect());

fn is_keyword(word: &str) -> bool {
    word.len() <= LONGEST && KEYWORDS.contains(word.to_ascii_lowercase().as_str())
}

/// The length of the longest keyword.
const LONGEST: usize = 17;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_kind(code: &str, wanted: Kind) -> Vec<&str> {
        pieces(code)
            .into_iter()
            .filter(|(kind, _)| *kind == wanted)
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn pieces_have_their_kinds() {
        let code = "SELECT o.id, 'a ''b'' from' AS x, 1.5 -- from\nFROM {{ ref('orders') }} /* select */ {# where #} WHERE \"group\" = 'x{{ y }}'";
        assert_eq!(of_kind(code, Kind::Keyword), ["SELECT", "AS", "FROM", "WHERE"]);
        assert_eq!(of_kind(code, Kind::Text), ["'a ''b'' from'", "'orders'", "'x", "'"]);
        assert_eq!(of_kind(code, Kind::Number), ["1.5"]);
        assert_eq!(of_kind(code, Kind::Comment), ["-- from", "/* select */", "{# where #}"]);
        assert_eq!(of_kind(code, Kind::Template), ["{{ ref(", ") }}", "{{ y }}"]);
    }

    #[test]
    fn a_brace_in_a_text_does_not_end_a_template() {
        assert_eq!(
            of_kind(r#"{% set a = "%}\"" %} from"#, Kind::Template),
            ["{% set a = ", " %}"]
        );
        assert_eq!(of_kind(r#"{% set a = "%}\"" %} from"#, Kind::Keyword), ["from"]);
    }

    #[test]
    fn the_longest_keyword_is_known() {
        assert_eq!(KEYWORDS.iter().map(|word| word.len()).max(), Some(LONGEST));
    }

    #[test]
    fn markup_in_code_is_shown_as_text() {
        let shown = sql("select '<script>' -- <b>\nfrom \"<i>\"").into_string();
        assert_eq!(
            shown,
            "<span class=\"k\">select</span> <span class=\"s\">'&lt;script&gt;'</span> <span class=\"c\">-- &lt;b&gt;</span>\n\
             <span class=\"k\">from</span> &quot;&lt;i&gt;&quot;"
        );
    }

    proptest! {
        #[test]
        fn no_character_is_lost(code in r#"([a-z'"`\\{}%#*/ \n-]|select|\{\{|\}\}|\{%|%\}|\{#|#\}|/\*|\*/|--|.){0,60}"#) {
            let pieces = pieces(&code);
            prop_assert_eq!(pieces.iter().map(|(_, text)| *text).collect::<String>(), code.as_str());
            prop_assert!(pieces.windows(2).all(|two| two[0].0 != two[1].0));
            prop_assert!(pieces.iter().all(|(_, text)| !text.is_empty()));
        }
    }
}
