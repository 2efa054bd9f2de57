//! Checks that hold for any query. A fuzz target uses them too.

use chrono::Datelike;
use edge::{OrderBy, Paging, Params};

/// The longest error message, in characters: it shows a value, but not all of it.
const MAX_REFUSAL_LEN: usize = 500;

/// Reads a query in every way.
pub(crate) fn check(query: &str) {
    let params = Params::read(query);
    for name in ["a", "id", "limit", "offset", "order_by"] {
        check_texts(&params, name);
        let refusals = [
            params.number(name).err(),
            params.numbers(name).err(),
            params.truth(name).err(),
            params.required(name).err(),
            params.one_of(name, &["id", "name"]).err(),
            params.times(name).err(),
        ];
        for refusal in refusals.into_iter().flatten() {
            assert!(refusal.to_string().chars().count() <= MAX_REFUSAL_LEN, "{refusal}");
        }
        // PostgreSQL cannot store all times that can be written.
        if let Ok(Some((from, to))) = params.times(name) {
            assert!([from, to].iter().all(|time| (0..=9999).contains(&time.year())));
        }
    }
    if let Ok(paging) = Paging::read(&params) {
        assert!((1..=100).contains(&paging.limit) && paging.offset >= 0);
    }
    if let Ok(order) = OrderBy::read(&params, &["id", "name"]) {
        assert!(["id", "name"].contains(&order.field));
    }
}

fn check_texts(params: &Params, name: &'static str) {
    let text = params.text(name);
    assert!(text != Some(""));
    assert!(params.all(name).all(|value| !value.is_empty()));
    assert!(text.is_none_or(|text| params.all(name).last() == Some(text)));
    assert_eq!(params.texts(name).is_some(), text.is_some());
    assert!(params.texts(name).into_iter().flatten().all(|item| !item.is_empty()));
    if let Ok(Some(number)) = params.number(name) {
        assert_eq!(text.and_then(|text| text.trim().parse().ok()), Some(number));
    }
}
