//! Shows the Markdown of descriptions. It was written by others, so what is left of it is text, its structure, and links to other sites.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::parts;

/// The most characters of a description that are shown.
const MAX_LENGTH: usize = 50_000;

/// How deep quotes, lists and emphasis are nested at most. What is deeper is shown without them, since much time would go into each level.
const MAX_DEPTH: usize = 20;

/// The elements that are left. There are no images: a page must not make requests to other hosts.
const ELEMENTS: [&str; 26] = [
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "li",
    "ol",
    "p",
    "pre",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
];

static SANITIZER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(ELEMENTS.into_iter().chain(["ul"]).collect())
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href"])),
            ("ol", HashSet::from(["start"])),
        ]))
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        // They would lead to pages of the console, or nowhere.
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("nofollow noopener noreferrer"));
    builder
});

/// The most that a description may cost. A short text can become a long page: cells that are missing in a table are added, and a link that
/// is defined once is written wherever it is named.
const MAX_COST: usize = 200_000;

/// The most characters of a description in a table.
const MAX_BRIEF_LENGTH: usize = 4_000;

/// The most that a description in a table may cost, and all of them.
const MAX_BRIEF_COST: usize = 20_000;
const MAX_COST_OF_BRIEFS: usize = 300_000;

/// What the elements of an event cost, in bytes, beside its text.
const COST_OF_EVENT: usize = 10;

/// Shows a description.
pub(crate) fn description(text: &str) -> Markup {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    limited(text, MAX_LENGTH, options, &mut { MAX_COST })
}

/// The descriptions in a table of a page, which share what they may cost.
pub(crate) struct Briefs {
    left: usize,
}

impl Briefs {
    pub(crate) fn new() -> Self {
        Self {
            left: MAX_COST_OF_BRIEFS,
        }
    }

    /// Shows one of them. There are no tables in it: already to read many wide ones would take long.
    pub(crate) fn show(&mut self, text: &str) -> Markup {
        if self.left == 0 {
            return html! { p.note { "Not shown, since the descriptions above are very long." } };
        }
        let most = self.left.min(MAX_BRIEF_COST);
        let mut left = most;
        let shown = limited(text, MAX_BRIEF_LENGTH, Options::ENABLE_STRIKETHROUGH, &mut left);
        self.left -= most - left;
        shown
    }
}

/// Shows the beginning of a text of this length, as far as its cost allows, which is subtracted from what is left.
fn limited(text: &str, length: usize, options: Options, left: &mut usize) -> Markup {
    let (shown, mut is_cut) = parts::beginning(text, length);
    let affordable = events(shown, options).take_while(|event| {
        let rest = left.checked_sub(cost(event));
        *left = rest.unwrap_or_default();
        is_cut |= rest.is_none();
        rest.is_some()
    });
    let mut unsafe_html = String::new();
    pulldown_cmark::html::push_html(&mut unsafe_html, affordable);
    // The sanitizer closes what is open where the text was cut.
    html! {
        div.prose dir="auto" { (PreEscaped(SANITIZER.clean(&unsafe_html).to_string())) }
        @if is_cut { p.note { "The rest of this text is too long to be shown." } }
    }
}

/// About how many bytes an event becomes.
fn cost(event: &Event<'_>) -> usize {
    let text = match event {
        Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => text.len(),
        Event::Start(Tag::Link { dest_url, title, .. }) => dest_url.len() + title.len(),
        _ => 0,
    };
    COST_OF_EVENT + text
}

/// The events of a text, without images, with HTML as text, and with headings that belong below those of the page.
fn events(text: &str, options: Options) -> impl Iterator<Item = Event<'_>> {
    let mut depth = 0;
    Parser::new_ext(text, options).filter_map(move |event| {
        let is_too_deep = match &event {
            Event::Start(_) => {
                depth += 1;
                depth > MAX_DEPTH
            }
            Event::End(_) => {
                depth -= 1;
                depth >= MAX_DEPTH
            }
            _ => false,
        };
        if is_too_deep { None } else { shown(event) }
    })
}

fn shown(event: Event<'_>) -> Option<Event<'_>> {
    Some(match event {
        // What describes the image stays.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => return None,
        Event::Start(Tag::Heading {
            level,
            id,
            classes,
            attrs,
        }) => Event::Start(Tag::Heading {
            level: lowered(level),
            id,
            classes,
            attrs,
        }),
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lowered(level))),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::InlineHtml(html) if ["<br>", "<br/>", "<br />"].contains(&html.as_ref()) => Event::HardBreak,
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        event => event,
    })
}

fn lowered(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let shown = description(text).into_string();
        let inside = shown.strip_prefix(r#"<div class="prose" dir="auto">"#).unwrap();
        inside.split_once("</div>").unwrap().0.trim().to_owned()
    }

    #[test]
    fn structure_is_kept() {
        assert_eq!(
            shown("A *b* `c`\n\n- d"),
            "<p>A <em>b</em> <code>c</code></p>\n<ul>\n<li>d</li>\n</ul>"
        );
        assert_eq!(shown("# Title"), "<h3>Title</h3>");
        assert!(shown("|a|\n|-|\n|b|").contains("<td>b</td>"));
    }

    #[test]
    fn links_lead_to_other_sites_only() {
        let rel = r#"rel="nofollow noopener noreferrer""#;
        assert_eq!(
            shown("[a](https://b.example)"),
            format!(r#"<p><a href="https://b.example" {rel}>a</a></p>"#)
        );
        for target in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "/console",
            "x.html",
            "#x",
            "//c.example",
        ] {
            assert_eq!(
                shown(&format!("[a]({target})")),
                format!("<p><a {rel}>a</a></p>"),
                "{target}"
            );
        }
    }

    #[test]
    fn html_is_text() {
        assert_eq!(shown("a <b>c</b>"), "<p>a &lt;b&gt;c&lt;/b&gt;</p>");
        assert_eq!(shown("a<br>b"), "<p>a<br>\nb</p>");
        for text in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<p onclick=alert(1)>x",
            "<style>*{color:red}</style>",
            "<iframe src=//c.example></iframe>",
            "<svg onload=alert(1)>",
            "</div></main>",
            "<math><mtext><script>x</script>",
            "<a href='javascript:alert(1)' onclick=alert(1)>x</a>",
            "x <script>alert(1)</script> y",
            "<!-- <img src=x> -->",
            "> - <img src=x>",
            "|<img src=x>|\n|-|\n|<b>|",
            "`<img src=x>`",
            "    <img src=x>",
        ] {
            let shown = shown(text);
            let mut left = shown.clone();
            for element in ELEMENTS.into_iter().chain(["ul"]) {
                left = left
                    .replace(&format!("<{element}>"), "")
                    .replace(&format!("</{element}>"), "");
            }
            assert!(!left.contains('<'), "{text}: {shown}");
        }
        assert_eq!(shown("![the image](https://c.example/x.png)"), "<p>the image</p>");
    }

    #[test]
    fn a_huge_text_is_cut() {
        let huge = description(&"é[".repeat(10_000_000)).into_string();
        assert!(huge.len() < 4 * MAX_LENGTH && huge.contains("too long to be shown"));
    }

    #[test]
    fn a_table_with_many_cells_is_cut() {
        let wide = format!("|{}\n|{}\n{}", "a|".repeat(500), "-|".repeat(500), "|b\n".repeat(1_000));
        let shown = description(&wide).into_string();
        assert!(
            shown.len() < MAX_COST && shown.contains("too long to be shown"),
            "{} bytes",
            shown.len()
        );
        assert!(shown.contains("<td>b</td>"), "its beginning is shown");
        let mut briefs = Briefs::new();
        let shown = briefs.show(&wide).into_string();
        assert!(
            shown.len() < 2 * MAX_BRIEF_LENGTH && !shown.contains("<td>"),
            "{} bytes",
            shown.len()
        );
    }

    #[test]
    fn links_that_are_repeated_are_cut() {
        let repeated = format!("[a]: https://b.example/{}\n\n{}", "x".repeat(1_000), "[a]".repeat(900));
        let one = Briefs::new().show(&repeated).into_string();
        assert!(
            one.len() < 2 * MAX_BRIEF_COST && one.contains("too long to be shown"),
            "{} bytes",
            one.len()
        );
        let mut briefs = Briefs::new();
        let all: String = (0..300).map(|_| briefs.show(&repeated).into_string()).collect();
        assert!(all.len() < 2 * MAX_COST_OF_BRIEFS, "{} bytes", all.len());
        assert!(all.ends_with("since the descriptions above are very long.</p>"));
    }

    #[test]
    fn what_is_open_where_a_text_is_cut_is_closed() {
        let mut left = 14 * COST_OF_EVENT;
        let options = Options::ENABLE_TABLES;
        let cut = limited("|a|b|\n|-|-|\n|c|d|", MAX_LENGTH, options, &mut left).into_string();
        assert!(cut.contains("<td>c</td></tr></tbody></table></div>"), "{cut}");
        assert!(cut.contains("too long to be shown"), "{cut}");
    }

    #[test]
    fn deep_nesting_is_flat() {
        for text in [
            ">".repeat(40_000),
            "- ".repeat(20_000),
            "*a **b ".repeat(3_000) + &"c** d* ".repeat(3_000),
            "<b>".repeat(10_000),
        ] {
            let shown = description(&(text + "end")).into_string();
            assert!(shown.contains("end"));
            assert!(
                shown.matches("<blockquote>").count() + shown.matches("<ul>").count() <= MAX_DEPTH,
                "{shown}"
            );
        }
    }
}
