//! A browser without JavaScript: it keeps cookies, follows redirects, and sends the forms of pages.

use std::collections::BTreeMap;
use std::sync::Mutex;

use reqwest::header::{ACCEPT, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

pub(super) struct Browser {
    client: Client,
    url: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// A page, and the path at which it was found in the end.
pub(super) struct Shown {
    pub(super) status: StatusCode,
    pub(super) path: String,
    pub(super) text: String,
}

impl Browser {
    pub(super) fn new(url: &str) -> Self {
        Self {
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            url: url.to_owned(),
            cookies: Mutex::default(),
        }
    }

    /// Opens a page.
    pub(super) async fn open(&self, path: &str) -> Shown {
        self.follow(Method::GET, path, |request| request.header(ACCEPT, "text/html"))
            .await
    }

    /// The same facts as JSON.
    pub(super) async fn json(&self, path: &str) -> Value {
        let accept = |request: RequestBuilder| request.header(ACCEPT, "application/json");
        let shown = self.follow(Method::GET, path, accept).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}: {}", shown.text);
        serde_json::from_str(&shown.text).unwrap_or_else(|error| panic!("{path}: {error}: {}", shown.text))
    }

    /// Sends a form of a page that was opened, as the page would.
    pub(super) async fn send(&self, page: &Shown, action: &str, fields: &[(&str, &str)]) -> Shown {
        let token = form_token(page);
        let fields: Vec<_> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        self.post(action, &self.url, &fields).await
    }

    /// Sends a form from a page of this origin.
    pub(super) async fn post(&self, action: &str, origin: &str, fields: &[(&str, &str)]) -> Shown {
        let encoded: Vec<String> = fields
            .iter()
            .map(|(name, value)| {
                let bytes = value.bytes().map(|byte| format!("%{byte:02X}"));
                format!("{name}={}", bytes.collect::<String>())
            })
            .collect();
        let body = encoded.join("&");
        let form = |request: RequestBuilder| {
            let request = request.header(ACCEPT, "text/html").header(ORIGIN, origin);
            request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body)
        };
        self.follow(Method::POST, action, form).await
    }

    /// Signs in with a key, and returns the page that follows.
    pub(super) async fn sign_in(&self, key: &str, wanted: &str) -> Shown {
        let form = self.open(wanted).await;
        assert!(form.path.starts_with("/console/sign-in"), "{}", form.path);
        self.send(&form, "/console/sign-in", &[("key", key), ("next", wanted)])
            .await
    }

    async fn follow(&self, method: Method, path: &str, with: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Shown {
        let request = with(self.request(method, path));
        let mut answer = request.send().await.unwrap();
        let mut path = path.to_owned();
        self.keep(&answer);
        while let Some(next) = answer.headers().get(LOCATION) {
            path = next.to_str().unwrap().to_owned();
            answer = self
                .request(Method::GET, &path)
                .header(ACCEPT, "text/html")
                .send()
                .await
                .unwrap();
            self.keep(&answer);
        }
        Shown {
            status: answer.status(),
            path,
            text: answer.text().await.unwrap(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies.lock().unwrap();
        let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.header(COOKIE, cookies.join("; "))
    }

    fn keep(&self, answer: &reqwest::Response) {
        for line in answer.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap_or_default();
            let mut cookies = self.cookies.lock().unwrap();
            match line.contains("Max-Age=0") {
                true => cookies.remove(name),
                false => cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
    }
}

/// The token in the forms of a page.
pub(super) fn form_token(page: &Shown) -> String {
    let (_, rest) = page.text.split_once("name=\"form_token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}
