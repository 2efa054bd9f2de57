//! GraphiQL, the page in which people try queries. All its files are in the executable.

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub struct PageFile {
    /// The media type.
    pub content_type: &'static str,
    /// Whether the content is compressed with gzip.
    pub is_gzip: bool,
    /// The bytes to send, compressed where `is_gzip` says so.
    pub content: &'static [u8],
}

/// The page itself.
pub const PAGE: PageFile = PageFile {
    content_type: "text/html; charset=utf-8",
    is_gzip: false,
    content: include_bytes!("../graphiql/index.html"),
};

/// Returns a file that the page loads, by its name.
#[must_use]
pub fn page_file(name: &str) -> Option<PageFile> {
    let script = |content, is_gzip| PageFile {
        content_type: "text/javascript; charset=utf-8",
        is_gzip,
        content,
    };
    Some(match name {
        "graphiql.css" => PageFile {
            content_type: "text/css; charset=utf-8",
            is_gzip: true,
            content: include_bytes!("../graphiql/graphiql.css.gz"),
        },
        "graphiql.js" => script(include_bytes!("../graphiql/graphiql.js.gz"), true),
        "react.js" => script(include_bytes!("../graphiql/react.js.gz"), true),
        "react-dom.js" => script(include_bytes!("../graphiql/react-dom.js.gz"), true),
        "start.js" => script(include_bytes!("../graphiql/start.js"), false),
        _ => return None,
    })
}
