use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    CreatedAt,
}

impl Choice for Field {
    const ALL: &'static [(&'static str, Self)] = &[("id", Self::Id), ("created_at", Self::CreatedAt)];
}

#[test]
fn pages_have_limits() {
    let paging =
        |query: &str| Listing::<Field>::read(query).map(|listing| (listing.paging.limit, listing.paging.offset));
    assert_eq!(paging("").unwrap(), (100, 0));
    assert_eq!(paging("limit=5000&offset=7").unwrap(), (100, 7));
    for query in ["limit=0", "offset=-1", "limit=abc"] {
        assert!(paging(query).is_err(), "{query}");
    }
}

#[test]
fn lists_are_ordered_by_their_fields() {
    let order = |query: &str| Listing::<Field>::read(query).map(|listing| listing.order);
    assert_eq!(order("").unwrap().field, Field::Id);
    let descending = order("order_by=-created_at").unwrap();
    assert_eq!((descending.field, descending.descending), (Field::CreatedAt, true));
    assert_eq!(
        order("order_by=secret").unwrap_err().to_string(),
        "invalid `order_by`: expected `id`, `created_at`, or one of them with `-` in front, got `secret`"
    );
}

#[test]
fn documents_say_what_is_read() {
    let params = Listing::<Field>::into_params(|| None);
    let schema_of = |name: &str| {
        let param = params.iter().find(|param| param.name == name).unwrap();
        serde_json::to_value(&param.schema).unwrap()
    };
    let order = schema_of("order_by");
    assert_eq!(order["default"], "id");
    let values: Vec<&str> = order["enum"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(values, ["id", "-id", "created_at", "-created_at"]);
    for value in values {
        assert!(Listing::<Field>::read(&format!("order_by={value}")).is_ok(), "{value}");
    }
    let (limit, offset) = (schema_of("limit"), schema_of("offset"));
    assert_eq!(limit["default"], MAX_PAGE);
    assert_eq!(limit["maximum"], MAX_PAGE);
    assert_eq!(
        (limit["minimum"].as_i64(), offset["minimum"].as_i64()),
        (Some(1), Some(0))
    );
    assert_eq!(PageOnly::into_params(|| None).len(), 2);
    assert_ne!(OrderBy::<Field>::name(), OrderBy::<crate::records::RecordField>::name());
}

#[test]
fn related_things_are_named_in_many_ways() {
    for query in [
        "id,created_at",
        "[\"id\",\"created_at\"]",
        "['id', 'created_at']",
        "[created_at]",
        "id&include_related=created_at",
    ] {
        let related = Related::<Field>::read(&format!("include_related={query}&limit=1")).unwrap();
        assert!(related.has(Field::CreatedAt), "{query}");
    }
    for query in ["", "include_related=", "include_related=unknown"] {
        assert!(!Related::<Field>::read(query).unwrap().has(Field::Id), "{query}");
    }
}

#[derive(Deserialize, Serialize)]
#[expect(non_snake_case, reason = "these are dbt Cloud's names")]
struct Params {
    pk: Option<i64>,
    pk__in: Option<List<i64>>,
    created_at__range: Option<edge::TimeRange>,
    state: Option<StateFilter>,
}

#[test]
fn applied_filters_are_repeated() {
    let params: Params = read_query("pk__in=[7,8]&created_at__range=[2026-01-01,2026-02-01]&state=all").unwrap();
    assert_eq!(
        Value::from(applied(AccountId(1), &params)),
        serde_json::json!({
            "account_id": 1, "pk__in": [7, 8], "created_at__range": ["2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"],
        })
    );
    let params: Params = read_query("pk=7&pk__in=[7,8]&state=2").unwrap();
    assert_eq!(any_of(params.pk.as_ref(), params.pk__in.as_ref()), Some(vec![7]));
    assert!(
        params
            .state
            .is_some_and(|state| state.includes(2) && !state.includes(1))
    );
    assert!(read_query::<Params>("state=x").is_err());
}
