use async_graphql::parser::types::Selection;

use super::*;

fn prepared(query: &str, variables: serde_json::Value) -> Result<ExecutableDocument, QueryError> {
    let body = serde_json::json!({ "query": query, "variables": variables });
    prepare(&Request::read(body.to_string().as_bytes())?, Api::Discovery)
}

fn error(query: &str) -> String {
    prepared(query, serde_json::Value::Null).unwrap_err().message
}

fn arguments(document: &ExecutableDocument) -> String {
    let (_, operation) = document.operations.iter().next().unwrap();
    let Selection::Field(field) = &operation.node.selection_set.node.items[0].node else {
        panic!("not a field");
    };
    let arguments = field.node.arguments.iter();
    let texts: Vec<String> = arguments
        .map(|(name, value)| format!("{}:{}", name.node, value.node))
        .collect();
    texts.join(" ")
}

#[test]
fn variables_are_replaced_and_missing_ones_are_left_out() {
    let query = "query Q($a: Int, $b: Int = 3, $c: Int, $unused: Int) { f(a: $a, b: $b, c: {d: $c, e: [$c]}) }";
    let document = prepared(query, serde_json::json!({"a": null, "undeclared": 1})).unwrap();
    assert_eq!(arguments(&document), "a:null b:3 c:{e: [null]}");
    assert!(prepared("query($a: Int!) { f(a: $a) }", serde_json::json!({})).is_err());
    assert!(error("{ f(a: $a) }").contains("is not declared"));
}

#[test]
fn one_operation_is_chosen() {
    assert!(error("query A { f } query B { f }").contains("missing `operationName`"));
    assert!(error("mutation { f }").contains("read-only"));
    assert!(prepared("query A { f }", serde_json::Value::Null).is_ok());
}

#[test]
fn fragments_that_multiply_are_counted_without_expanding_them() {
    let mut query = String::from("{ ...f0 } fragment f13 on Query { a }");
    for number in 0..13 {
        query.push_str(&format!(
            " fragment f{number} on Query {{ ...f{0} ...f{0} }}",
            number + 1
        ));
    }
    assert!(error(&query).contains("too many fields"));
    assert!(error("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }").contains("contains itself"));
    let aliases: String = (0..6_000).map(|number| format!(" a{number}: b")).collect();
    assert!(error(&format!("{{ x {{ {aliases} }} }}")).contains("too many fields"));
    let directives = "@skip(if: false) ".repeat(6_000);
    assert!(error(&format!("{{ x {directives} }}")).contains("too many fields"));
}

#[test]
fn depth_is_limited_before_parsing() {
    assert!(error(&"{a".repeat(100)).contains("nested too deep"));
    assert!(error(&format!("{{ f(a: {}) }}", "[".repeat(100))).contains("nested too deep"));
    let deep = format!("{}{}", "{ a ".repeat(30), "}".repeat(30));
    assert!(error(&deep).contains("nested too deep"));
    let text = format!(
        "{{ f(a: \"{}\\\"\", b: \"\"\"{}\"\"\") # {}\n }}",
        "{".repeat(99),
        "[".repeat(99),
        "(".repeat(99)
    );
    assert!(prepared(&text, serde_json::Value::Null).is_ok());
}

#[test]
fn variables_are_counted_at_each_place() {
    let query = |uses: usize| {
        let uses: String = (0..uses).map(|number| format!(" a{number}: f(a: $a)")).collect();
        format!("query ($a: [String]) {{ x {{ {uses} }} }}")
    };
    let many = serde_json::json!({ "a": vec!["b"; 999] });
    assert!(prepared(&query(100), many.clone()).is_ok());
    let error = prepared(&query(101), many).unwrap_err();
    assert_eq!(error.code, "QUERY_TOO_LARGE", "{}", error.message);
    let long = serde_json::json!({ "a": ["b".repeat(64_000)] });
    assert!(prepared(&query(90), long.clone()).is_ok());
    assert_eq!(prepared(&query(101), long).unwrap_err().code, "QUERY_TOO_LARGE");
}
