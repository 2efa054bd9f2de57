//! The settings of traces.

use std::collections::HashMap;

use reqwest::Url;

/// The collector to which spans are sent.
pub struct Settings {
    endpoint: Url,
    /// What each request to the collector contains, with values in percent encoding. They may be secret.
    pub(crate) headers: HashMap<String, String>,
    /// The name of the service in traces.
    pub(crate) service_name: Option<String>,
}

impl Settings {
    /// The environment variables that [`Settings::read`] reads.
    pub const VARIABLES: &[&str] = &[
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_SERVICE_NAME",
    ];

    /// Reads the settings. `lookup` returns the value of a variable. Returns `None` if `OTEL_EXPORTER_OTLP_ENDPOINT` is not set, so there
    /// are no traces.
    ///
    /// # Errors
    /// A list of all problems.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Vec<String>> {
        let Some(endpoint) = lookup("OTEL_EXPORTER_OTLP_ENDPOINT") else {
            return Ok(None);
        };
        let mut problems = Vec::new();
        let endpoint = Url::parse(&endpoint)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        if endpoint.is_none() {
            // The value is not shown, because it may contain a password.
            let rule = "expected http://HOST:PORT or https://HOST:PORT";
            problems.push(format!("invalid OTEL_EXPORTER_OTLP_ENDPOINT: {rule}"));
        }
        let headers = lookup("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
        let headers = read_headers(&headers);
        if headers.is_none() {
            // Nor is this one, because it usually contains a key.
            problems.push("invalid OTEL_EXPORTER_OTLP_HEADERS: expected NAME=VALUE,NAME=VALUE".to_owned());
        }
        match (endpoint, headers) {
            (Some(endpoint), Some(headers)) => Ok(Some(Self {
                endpoint,
                headers,
                service_name: lookup("OTEL_SERVICE_NAME"),
            })),
            _ => Err(problems),
        }
    }

    /// Returns the URL that receives spans, which is below the endpoint.
    pub(crate) fn url(&self) -> String {
        format!("{}/v1/traces", self.endpoint.as_str().trim_end_matches('/'))
    }
}

fn read_headers(text: &str) -> Option<HashMap<String, String>> {
    let headers = text.split(',').filter(|header| !header.trim().is_empty());
    headers
        .map(|header| {
            let (name, value) = header.split_once('=')?;
            let name = name.trim();
            let is_name = reqwest::header::HeaderName::try_from(name).is_ok();
            is_name.then(|| (name.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: &str, headers: &str) -> Result<Option<Settings>, Vec<String>> {
        Settings::read(&|name| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.to_owned()),
            "OTEL_EXPORTER_OTLP_HEADERS" => Some(headers.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn only_the_endpoint_turns_traces_on() {
        let all_but_endpoint = |name: &str| (name != "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "a=b".to_owned());
        assert!(Settings::read(&all_but_endpoint).unwrap().is_none());
        let settings = read("http://collector:4318", "").unwrap().unwrap();
        assert_eq!(settings.url(), "http://collector:4318/v1/traces");
        let settings = read("https://collector/otlp/", "api-key=a%3D=, b = c")
            .unwrap()
            .unwrap();
        assert_eq!(settings.url(), "https://collector/otlp/v1/traces");
        assert_eq!(settings.headers["api-key"], "a%3D=");
        assert_eq!(settings.headers["b"], "c");
    }

    #[test]
    fn all_problems_are_reported_without_secrets() {
        let problems = read("collector:4318", "pa55").err().unwrap();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(!problems.concat().contains("pa55"), "{problems:?}");
        assert_eq!(read("http://collector", "a b=c").err().unwrap().len(), 1);
    }
}
