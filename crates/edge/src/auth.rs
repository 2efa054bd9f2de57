//! Reads the key that a client sends.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// Returns the key in the header `Authorization: Bearer KEY` or `Authorization: Token KEY`, if there is one. The scheme may be in upper or
/// lower case.
#[must_use]
pub fn key_of(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.trim().split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    let key = key.trim();
    (known && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_accepted() {
        let key = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            key_of(&headers).map(str::to_owned)
        };
        assert_eq!(key("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(key("token  abc ").as_deref(), Some("abc"));
        assert_eq!(key("Basic abc"), None);
        assert_eq!(key("abc"), None);
        assert_eq!(key("Bearer "), None);
        assert_eq!(key_of(&HeaderMap::new()), None);
    }
}
