//! Ignores trailing and doubled slashes in paths.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use tower::Layer;
use tower::util::MapRequestLayer;

/// Lets a router whose routes have no trailing slash also answer paths with a trailing or doubled slash. It does not redirect, because some
/// clients lose their token or their upload on a redirect.
pub fn absorb_slashes(router: Router) -> Router {
    let absorbing = MapRequestLayer::new(|mut request: Request| {
        if let Some(uri) = plain(request.uri()) {
            *request.uri_mut() = uri;
        }
        request
    });
    Router::new().fallback_service(absorbing.layer(router))
}

/// Returns the URI without the extra slashes, or `None` if there are none.
fn plain(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if path == "/" || !(path.ends_with('/') || path.contains("//")) {
        return None;
    }
    let mut plain = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        plain.push('/');
        plain.push_str(part);
    }
    if plain.is_empty() {
        plain.push('/');
    }
    if let Some(query) = uri.query() {
        plain.push('?');
        plain.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(plain).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_extra_slashes_are_removed() {
        let of = |uri: &str| plain(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(
            of("/api//v2/accounts/?a=/b/").as_deref(),
            Some("/api/v2/accounts?a=/b/")
        );
        assert_eq!(of("//").as_deref(), Some("/"));
        assert_eq!(of("/"), None);
        assert_eq!(of("/a%2F/b"), None);
    }

    proptest! {
        #[test]
        fn the_parts_and_the_query_stay_the_same(path in "(/{0,3}(a|[.]{1,2}|%2[Ff]|%00|\\\\|é|:){0,2}){0,5}/{0,2}", query in "([?][a/?%&]{0,5})?") {
            let Ok(uri) = format!("/{path}{query}").parse::<Uri>() else { return Ok(()) };
            let Some(plain) = plain(&uri) else {
                prop_assert!(uri.path() == "/" || !(uri.path().contains("//") || uri.path().ends_with('/')));
                return Ok(());
            };
            let parts = |uri: &Uri| uri.path().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(parts(&plain), parts(&uri));
            prop_assert_eq!(plain.query(), uri.query());
            prop_assert_eq!(super::plain(&plain), None);
        }
    }
}
