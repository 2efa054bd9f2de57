//! The settings for queries of Datacoves' database.

use ::settings::Reader;

/// The queries of Datacoves' database. The schema belongs to another product and may change, so the queries can be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queries {
    /// Selects the columns `id`, `name`, `slug` and `deactivated_at` of accounts. The last one is null while the account is active.
    pub accounts: String,
    /// Selects the columns `id`, `account_id`, `name` and `slug` of projects.
    pub projects: String,
    /// Selects the columns `id`, `project_id`, `name`, `slug` and `type` of environments.
    pub environments: String,
}

impl Queries {
    /// Reads the settings. The defaults are queries of Datacoves' own tables. The queries are not checked before they are run.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let mut query = |name: &str, default: &str| {
            let text = reader.text(name).unwrap_or_else(|| default.to_owned());
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
    use ::settings::Source;

    use super::*;

    #[test]
    fn each_query_can_be_replaced() {
        let source = Source::of(&[("DATACOVES_PROJECTS_QUERY", "SELECT 1 ; \n")]);
        let queries = source.read(Queries::read).unwrap();
        assert_eq!(queries.projects, "SELECT 1");
        assert!(queries.accounts.contains("users_account") && queries.environments.contains("projects_environment"));
    }
}
