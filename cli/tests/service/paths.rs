//! The paths that the walks over all routes request.

use serde_json::Value;

/// What a walk puts into the paths.
pub(crate) struct PathValues<'a> {
    /// The number of an account.
    pub(crate) account: &'a str,
    /// The slug of an environment and of a project.
    pub(crate) slug: &'a str,
    /// The id of a step of run 1.
    pub(crate) step: &'a Value,
}

/// Fills the parameters of a path from the OpenAPI document with objects of account 1, and adds the parameters that its query needs.
///
/// # Panics
/// Panics if the path has a parameter that is not known here. A value that leads to no object would make the walk prove nothing.
pub(crate) fn filled(template: &str, values: &PathValues) -> String {
    let mut parts = Vec::new();
    let mut before = "";
    for part in template.split('/') {
        let parameter = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        parts.push(match parameter {
            Some(name) => value_of(name, before, template, values),
            None => part.to_owned(),
        });
        before = part;
    }
    let path = parts.join("/");
    match before {
        "lineage" => path + "?unique_id=model.shop.orders",
        "changes" => path + "?from=1",
        "compare" => path + "?run=1&with=1",
        _ => path,
    }
}

/// Returns the value of a parameter; `before` is the part of the path in front of it.
fn value_of(name: &str, before: &str, template: &str, values: &PathValues) -> String {
    match name {
        "account_id" => values.account.to_owned(),
        "id" if before == "steps" => values.step.to_string(),
        "id" | "environment_id" | "job_id" | "project_id" | "run_id" => "1".to_owned(),
        "slug" | "project_slug" => values.slug.to_owned(),
        "unique_id" => "model.shop.orders".to_owned(),
        "collection" if template.contains("project_id") => "repositories".to_owned(),
        "collection" => "users".to_owned(),
        "path" => "manifest.json".to_owned(),
        // A stored file, by its slug or its name, and a signed URL.
        "file" | "name" | "signed" => "1".to_owned(),
        unknown => panic!(
            "unknown path parameter `{unknown}` in `{template}`: add a value for it to `value_of` in cli/tests/service/paths.rs, and let \
             `no_route_shows_data_of_another_account` store the object that it leads to"
        ),
    }
}

#[test]
fn a_path_is_filled() {
    let step = Value::from(7);
    let values = PathValues {
        account: "2",
        slug: "shop",
        step: &step,
    };
    for (template, expected) in [
        ("/", "/"),
        ("/api/v2/accounts/{account_id}/steps/{id}", "/api/v2/accounts/2/steps/7"),
        (
            "/api/internal/projects/{project_slug}/latest-manifest",
            "/api/internal/projects/shop/latest-manifest",
        ),
        (
            "/api/v2/accounts/{account_id}/runs/{run_id}/changes",
            "/api/v2/accounts/2/runs/1/changes?from=1",
        ),
    ] {
        assert_eq!(filled(template, &values), expected);
    }
}

#[test]
#[should_panic(expected = "unknown path parameter `new_id`")]
fn an_unknown_parameter_is_not_filled() {
    let values = PathValues {
        account: "2",
        slug: "shop",
        step: &Value::Null,
    };
    let _ = filled("/api/v2/accounts/{account_id}/things/{new_id}", &values);
}
