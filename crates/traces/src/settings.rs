//! The settings of traces.

use std::collections::HashMap;

use ::settings::Reader;
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
    /// Reads the settings. Returns `None` if `OTEL_EXPORTER_OTLP_ENDPOINT` is not set, so there are no traces.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let is_on = reader.text("OTEL_EXPORTER_OTLP_ENDPOINT").is_some();
        let endpoint = reader.base_url("OTEL_EXPORTER_OTLP_ENDPOINT");
        // Without an endpoint, these may be meant for other programs.
        let headers = reader.when(is_on, |reader| {
            let text = reader.text("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default();
            let headers = read_headers(&text);
            reader.valid("OTEL_EXPORTER_OTLP_HEADERS", "NAME=VALUE,NAME=VALUE", headers)
        });
        let service_name = reader.text("OTEL_SERVICE_NAME");
        Some(Self {
            endpoint: endpoint?,
            headers: headers??,
            service_name,
        })
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
    use ::settings::{Invalid, Source};

    use super::*;

    fn read(endpoint: &str, headers: &str) -> Result<Option<Settings>, Invalid> {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", headers),
        ];
        Source::of(&variables).read(Settings::read)
    }

    #[test]
    fn only_the_endpoint_turns_traces_on() {
        assert!(read("", "meant for others").unwrap().is_none());
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
        let invalid = read("collector:4318", "pa55").err().unwrap();
        assert_eq!(invalid.problems().len(), 2, "{invalid}");
        assert!(!invalid.to_string().contains("pa55"), "{invalid}");
        assert_eq!(read("http://collector", "a b=c").err().unwrap().problems().len(), 1);
    }
}
