//! The addresses of a lineage.

use api::lineage::LineageQuery;
use schemas::{AccountId, EnvironmentId};

use crate::links::{self, encoded};

/// What a lineage shows, from which the addresses of similar ones are made.
pub(super) struct Address {
    account: AccountId,
    environment: i64,
    query: LineageQuery,
    find: Option<String>,
}

impl Address {
    pub(super) fn new(
        account: AccountId,
        EnvironmentId(environment): EnvironmentId,
        query: LineageQuery,
        find: Option<String>,
    ) -> Self {
        Self {
            account,
            environment,
            query,
            find: find.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        }
    }

    pub(super) fn select(&self) -> &str {
        self.query.select.as_deref().unwrap_or_default()
    }

    pub(super) fn find(&self) -> Option<&str> {
        self.find.as_deref()
    }

    pub(super) fn has_tests(&self) -> bool {
        self.query.tests == Some(true)
    }

    /// The lineage of all nodes.
    pub(super) fn path(&self) -> String {
        format!("{}/lineage", links::environment(self.account, self.environment))
    }

    /// The lineage of another selection.
    pub(super) fn selecting(&self, select: &str) -> String {
        links::lineage(self.account, self.environment, select)
    }

    /// The same selection with other numbers of levels.
    pub(super) fn levels(&self, up: u32, down: u32) -> String {
        let levels = |levels: u32| {
            if levels == u32::MAX {
                "all".to_owned()
            } else {
                levels.to_string()
            }
        };
        let mut address = format!(
            "{}&up={}&down={}",
            self.selecting(self.select()),
            levels(up),
            levels(down)
        );
        if self.has_tests() {
            address.push_str("&tests=true");
        }
        if let Some(find) = &self.find {
            address.push_str("&find=");
            address.push_str(&encoded(find));
        }
        address
    }

    /// Where JavaScript asks which node is near a place. The place is to be added.
    pub(super) fn near(&self) -> String {
        format!("{}/near?{}", self.path(), self.parameters())
    }

    /// The same as JSON.
    pub(super) fn twin(&self) -> String {
        let environment = self.environment;
        links::twin(
            self.account,
            &format!("environments/{environment}/lineage?{}", self.parameters()),
        )
    }

    fn parameters(&self) -> String {
        let mut parameters = format!("select={}", encoded(self.select()));
        for (name, value) in [("up", &self.query.up), ("down", &self.query.down)] {
            if let Some(value) = value {
                parameters.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        if let Some(tests) = self.query.tests {
            parameters.push_str(&format!("&tests={tests}"));
        }
        parameters
    }
}
