//! Which queries are asked.

/// What is read from Datacoves' database. Its schema is another product's and may change, so the queries can be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queries {
    /// Columns `id`, `name`, `slug`, and `deactivated_at`, which is null while the account is in use.
    pub accounts: String,
    /// Columns `id`, `account_id`, `name`, `slug`.
    pub projects: String,
    /// Columns `id`, `project_id`, `name`, `slug`, `type`.
    pub environments: String,
}

impl Queries {
    /// The names of the settings.
    pub const VARIABLES: &[&str] = &[
        "DATACOVES_ACCOUNTS_QUERY",
        "DATACOVES_PROJECTS_QUERY",
        "DATACOVES_ENVIRONMENTS_QUERY",
    ];

    /// Reads the settings; a query that is not set is the one for Datacoves' own tables. Whether one can be run, the database tells.
    #[must_use]
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let query = |name: &str, usual: &str| {
            let text = lookup(name).unwrap_or_else(|| usual.to_owned());
            text.trim_end_matches(|last: char| last == ';' || last.is_whitespace())
                .to_owned()
        };
        Self {
            accounts: query(
                "DATACOVES_ACCOUNTS_QUERY",
                "SELECT id, name, slug, deactivated_at FROM users_account",
            ),
            projects: query(
                "DATACOVES_PROJECTS_QUERY",
                "SELECT id, account_id, name, slug FROM projects_project",
            ),
            environments: query(
                "DATACOVES_ENVIRONMENTS_QUERY",
                "SELECT id, project_id, name, slug, type FROM projects_environment",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_can_be_replaced() {
        let read = Queries::read(&|name| (name == "DATACOVES_PROJECTS_QUERY").then(|| "SELECT 1 ; \n".to_owned()));
        assert_eq!(read.projects, "SELECT 1");
        assert!(read.accounts.contains("users_account") && read.environments.contains("projects_environment"));
    }
}
