//! URLs in settings.

use url::Url;

/// What [`base_url`] expects, for messages.
pub const BASE_URL: &str =
    "http://HOST or https://HOST, with or without a path, and without a login, query or fragment";

/// Reads a URL to which paths are appended, as [`BASE_URL`] says. Returns `None` if the text is anything else.
#[must_use]
pub fn base_url(text: &str) -> Option<Url> {
    http_url(text).filter(|url| url.query().is_none() && url.fragment().is_none())
}

/// Reads the URL of an HTTP server, without a login.
pub(crate) fn http_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host() && !has_login(&url)).then_some(url)
}

/// The longest part of a host name that is shown. A token has at least 32 characters.
const MAX_LABEL_LEN: usize = 31;

fn has_login(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Shows what was given in place of a URL: without the login, the path, the query and the fragment, which may contain secrets. A text that
/// cannot be split into these parts is shown only if it is the name of a host, with or without a port.
#[must_use]
pub fn shown(text: &str) -> String {
    let parsed = Url::parse(text).ok().filter(Url::has_host);
    // If there is an `@` but no login, a part of the password may have been read as the host or the port.
    if let Some(url) = parsed.filter(|url| has_login(url) || !text.contains('@')) {
        let hidden = |is_there: bool, marked: &'static str| if is_there { marked } else { "" };
        let login = hidden(has_login(&url), "…@");
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = hidden(!matches!(url.path(), "" | "/"), "/…");
        let query = hidden(url.query().is_some(), "?…");
        let fragment = hidden(url.fragment().is_some(), "#…");
        let host = url.host_str().unwrap_or_default();
        return format!("`{}://{login}{host}{port}{path}{query}{fragment}`", url.scheme());
    }
    if is_host(text) {
        return format!("`{text}`");
    }
    "a text that is not shown, because it may contain a secret".to_owned()
}

/// Whether a text is a host name in lower case, with or without a port.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=MAX_LABEL_LEN).contains(&label.len()) && label.bytes().all(allowed)
    };
    name.split('.').all(is_label) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (text, expected) in [
            ("nowhere", "`nowhere`"),
            ("host:80", "`host:80`"),
            ("db-1.example.com", "`db-1.example.com`"),
            ("ftp://host", "`ftp://host`"),
            (
                "https://me:pa55@host:8443/pa55?key=pa55#pa55",
                "`https://…@host:8443/…?…#…`",
            ),
        ] {
            assert_eq!(shown(text), expected);
        }
        for text in [
            "me:pa55@host",
            "host/pa55",
            "host?key=pa55",
            "https://me:pa55@",
            "me:pa55",
            "me:pa55,word@host",
            "https://pa55:1/2@host",
            "dbtc_pa55",
            "pa55 word",
            "pa55pa55pa55pa55pa55pa55pa55pa55",
        ] {
            assert!(!shown(text).contains("pa55"), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn logins_are_refused_and_base_urls_have_no_query() {
        for good in ["http://host", "https://host:8443/path/"] {
            assert!(http_url(good).is_some() && base_url(good).is_some(), "{good}");
        }
        for bad in [
            "host",
            "host:80",
            "ftp://host",
            "https://me@host",
            "https://me:pa55@host",
            "http://",
        ] {
            assert!(http_url(bad).is_none() && base_url(bad).is_none(), "{bad}");
        }
        for with_more in ["https://host/?key=1", "https://host/#part"] {
            assert!(
                http_url(with_more).is_some() && base_url(with_more).is_none(),
                "{with_more}"
            );
        }
    }
}
