use super::*;
use crate::graph::tests::node;

/// The graph of these tests: two sources, staging models, marts, a model of a package, a versioned model, a test and an exposure.
///
///     source a ─ stg_a ─┬─ orders ─ revenue ─ exposure report
///     source b ─ stg_b ─┘     └ test
///     util (of another package) ─ revenue
///     model v1, v2
fn graph() -> (Graph, Vec<Attributes>) {
    let rows = [
        (
            "exposure.p.report",
            &["model.p.revenue"][..],
            "p.report",
            "models/e.yml",
            &[][..],
        ),
        ("model.p.dim.v1", &[], "p.dim.v1", "models/dim_v1.sql", &[]),
        ("model.p.dim.v2", &[], "p.dim.v2", "models/dim_v2.sql", &[]),
        (
            "model.p.orders",
            &["model.p.stg_a", "model.p.stg_b"],
            "p.marts.orders",
            "models/marts/orders.sql",
            &["daily", "core"],
        ),
        (
            "model.p.revenue",
            &["model.p.orders", "model.util.util"],
            "p.marts.finance.revenue",
            "models/marts/finance/revenue.sql",
            &["daily"],
        ),
        (
            "model.p.stg_a",
            &["source.p.raw.a"],
            "p.staging.stg_a",
            "models/staging/stg_a.sql",
            &["staging"],
        ),
        (
            "model.p.stg_b",
            &["source.p.raw.b"],
            "p.staging.stg_b",
            "models/staging/stg_b.sql",
            &["staging"],
        ),
        ("model.util.util", &[], "util.util", "models/util.sql", &[]),
        ("source.p.raw.a", &[], "p.raw.a", "models/s.yml", &[]),
        ("source.p.raw.b", &[], "p.raw.b", "models/s.yml", &[]),
        (
            "test.p.unique_orders.1",
            &["model.p.orders"],
            "p.marts.unique_orders",
            "models/t.yml",
            &[],
        ),
    ];
    let mut nodes: Vec<_> = rows.iter().map(|(id, parents, ..)| node(id, parents)).collect();
    nodes.push(node("macro.p.m", &[]));
    nodes.sort_by(|one, other| one.unique_id.cmp(&other.unique_id));
    let graph = Graph::new(nodes);
    let mut attributes = vec![Attributes::default(); graph.len()];
    for (id, _, fqn, path, tags) in rows {
        let of = &mut attributes[graph.find(id).unwrap() as usize];
        of.fqn = fqn.split('.').map(Box::from).collect();
        of.path = path.into();
        of.tags = tags.iter().copied().map(Box::from).collect();
        if id.starts_with("source") {
            of.source_name = Some("raw".into());
        }
        if let Some((_, version)) = id.split_once(".dim.v") {
            (of.version, of.latest_version) = (Some(version.into()), Some("2".into()));
        }
    }
    (graph, attributes)
}

/// The last words of the ids that are selected.
fn selected_of(select: Option<&str>, exclude: Option<&str>) -> String {
    let (graph, attributes) = graph();
    let selector = Selector::parse(select, exclude).unwrap();
    let config =
        serde_json::json!({"materialized": "table", "meta": {"owner": "me", "flags": ["x", "y"]}, "enabled": true});
    let configs = HashMap::from([(graph.find("model.p.orders").unwrap(), config)]);
    let nodes = Nodes {
        graph: &graph,
        attributes: &attributes,
        configs: &configs,
        project: Some("p"),
        until: Instant::now() + crate::answer::MAX_TIME,
    };
    let indices = selector.apply(&nodes).unwrap();
    let names: Vec<&str> = indices
        .into_iter()
        .map(|index| graph.id(index).splitn(3, '.').last().unwrap())
        .collect();
    names.join(" ")
}

fn selected(select: &str) -> String {
    selected_of(Some(select), None)
}

fn error(select: &str) -> String {
    Selector::parse(Some(select), None).unwrap_err().message
}

#[test]
fn graph_operators_follow_the_graph() {
    assert_eq!(selected("orders"), "orders");
    assert_eq!(selected("orders+"), "report orders revenue unique_orders.1");
    assert_eq!(selected("+orders"), "orders stg_a stg_b raw.a raw.b");
    assert_eq!(selected("1+orders"), "orders stg_a stg_b");
    assert_eq!(selected("2+revenue+1"), "report orders revenue stg_a stg_b util");
    assert_eq!(
        selected("+revenue+"),
        "report orders revenue stg_a stg_b util raw.a raw.b"
    );
    assert_eq!(selected("orders+0"), "orders");
    assert_eq!(
        selected("@stg_a"),
        "report orders revenue stg_a stg_b util raw.a raw.b unique_orders.1"
    );
}

#[test]
fn quotation_marks_do_not_keep_words_together() {
    for text in [
        "\"stg_a stg_b\"",
        "--select \"stg_a stg_b\"",
        "--select 'stg_a' \"stg_b\"",
        "--select='stg_a stg_b'",
    ] {
        assert_eq!(selected(text), "stg_a stg_b", "{text}");
    }
    assert_eq!(
        selected_of(Some("+orders"), Some("\"source:raw stg_a\"")),
        "orders stg_b"
    );
}

#[test]
fn methods_select_by_attributes() {
    assert_eq!(selected("tag:daily"), "orders revenue");
    assert_eq!(selected("tag:d*"), "orders revenue");
    assert_eq!(selected("path:models/marts"), "orders revenue");
    assert_eq!(selected("path:models/marts/"), "orders revenue");
    assert_eq!(selected("path:models/*/finance"), "revenue");
    assert_eq!(selected("path:models/**/revenue.sql"), "revenue");
    assert_eq!(selected("models/staging/stg_a.sql"), "stg_a");
    assert_eq!(selected("stg_a.sql"), "stg_a");
    assert_eq!(selected("file:stg_*"), "stg_a stg_b");
    assert_eq!(selected("package:util"), "util");
    assert_eq!(selected("package:this,tag:core"), "orders");
    assert_eq!(selected("source:raw"), "raw.a raw.b");
    assert_eq!(selected("source:raw.a+1"), "stg_a raw.a");
    assert_eq!(selected("source:p.raw.b"), "raw.b");
    assert_eq!(selected("+exposure:report,resource_type:source"), "raw.a raw.b");
    assert_eq!(selected("exposure:*"), "report");
    assert_eq!(selected("resource_type:test"), "unique_orders.1");
    assert_eq!(selected("test_type:singular"), "unique_orders.1");
    assert_eq!(selected("config.materialized:table"), "orders");
    assert_eq!(selected("config.meta.owner:me"), "orders");
    assert_eq!(selected("config.meta.flags:y"), "orders");
    assert_eq!(selected("config.enabled:true config.meta.owner:you"), "orders");
}

#[test]
fn ids_are_names_too() {
    assert_eq!(selected("1+model.p.revenue"), "orders revenue util");
    assert_eq!(selected("model.p.dim.v1 source.p.raw.a"), "dim.v1 raw.a");
    assert_eq!(selected("model.p.dim"), "");
}

#[test]
fn names_may_be_qualified_and_have_wildcards() {
    assert_eq!(selected("raw"), "", "sources are not selected by name");
    assert_eq!(selected("p.raw.*"), "");
    assert_eq!(selected("p.marts.orders"), "orders");
    assert_eq!(selected("marts.orders"), "orders");
    assert_eq!(selected("marts"), "orders revenue unique_orders.1");
    assert_eq!(selected("marts.*"), "orders revenue unique_orders.1");
    assert_eq!(selected("p.*.stg_?"), "stg_a stg_b");
    assert_eq!(selected("fqn:stg_[a]"), "stg_a");
    assert_eq!(selected("fqn:*.stg_[!b]"), "stg_a");
    assert_eq!(selected("util"), "util");
    assert_eq!(selected("dim"), "dim.v1 dim.v2");
    assert_eq!(selected("dim.v2"), "dim.v2");
    assert_eq!(selected("dim_v1"), "dim.v1");
    assert_eq!(selected("version:latest"), "dim.v2");
    assert_eq!(selected("version:old"), "dim.v1");
}

#[test]
fn spaces_are_unions_and_commas_intersections() {
    assert_eq!(selected("stg_a stg_b"), "stg_a stg_b");
    assert_eq!(selected("tag:daily,path:models/marts/finance"), "revenue");
    assert_eq!(selected("+revenue,tag:staging orders"), "orders stg_a stg_b");
    assert_eq!(selected("  \"stg_a\"  'stg_b' "), "stg_a stg_b");
}

#[test]
fn command_lines_are_understood() {
    assert_eq!(selected("--select stg_a orders"), "orders stg_a");
    assert_eq!(selected("--select stg_a stg_b --exclude stg_b"), "stg_a");
    assert_eq!(selected("-s stg_a"), "stg_a");
    assert_eq!(selected("--select=stg_a"), "stg_a");
    assert_eq!(selected_of(Some("stg_a stg_b"), Some("--exclude stg_a")), "stg_b");
    assert_eq!(selected_of(Some("tag:staging"), Some("stg_b")), "stg_a");
    assert_eq!(
        selected_of(
            None,
            Some("resource_type:model resource_type:source resource_type:test")
        ),
        "report"
    );
    assert_eq!(
        selected_of(Some(" "), None).split(' ').count(),
        11,
        "everything but macros"
    );
    assert_eq!(selected("nothing_has_this_name"), "");
}

#[test]
fn errors_name_what_is_not_understood() {
    for (text, expected) in [
        ("state:modified", "`state` needs files"),
        ("tags:daily", "got `tags`"),
        ("tag:", "has no value"),
        ("config:table", "only `config` has keys"),
        ("resource_type:modle", "got `modle`"),
        ("+", "expected the name of a node"),
        ("@a+", "`@` cannot be combined"),
        ("--selector nightly", "got the option `--selector`"),
        ("99999999999+a", "expected a depth"),
    ] {
        let message = error(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn patterns_do_not_take_exponential_time() {
    let pattern = format!("{}b", "*a".repeat(50));
    assert!(!matching::matches(&pattern, &"a".repeat(5_000)));
    assert!(!matching::path_matches(
        &format!("{}y", "**/".repeat(50)),
        &"x/".repeat(500)
    ));
}

#[test]
fn selections_have_an_end() {
    assert!(Selector::parse(Some(&"a ".repeat(250)), Some(&["a"; 250].join(","))).is_ok());
    let error = Selector::parse(Some(&"a ".repeat(250)), Some(&"b ".repeat(251))).unwrap_err();
    assert_eq!(error.code, "QUERY_TOO_LARGE");
    assert_eq!(error.message, "invalid `exclude`: expected at most 500 parts, got more");
    let (graph, attributes) = graph();
    let nodes = Nodes {
        graph: &graph,
        attributes: &attributes,
        configs: &HashMap::new(),
        project: None,
        until: Instant::now(),
    };
    let late = Selector::parse(Some("orders"), None).unwrap().apply(&nodes);
    assert!(matches!(late, Err(Error::Late)), "{late:?}");
}
