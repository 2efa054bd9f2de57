use std::num::NonZeroU32;

use secrecy::ExposeSecret;

use super::*;
use crate::source::File;

/// Reads with a function that has problems, and returns them.
fn problems<T: std::fmt::Debug>(variables: &[(&str, &str)], read: impl FnOnce(&mut Reader<'_>) -> T) -> Vec<String> {
    Source::of(variables).read(read).unwrap_err().problems().to_vec()
}

#[test]
fn settings_that_are_not_set_or_empty_have_their_defaults() {
    for variables in [&[][..], &[("A", ""), ("B", " ")]] {
        let read = |reader: &mut Reader<'_>| {
            assert_eq!(reader.number("A", 1..=9, 3), 3);
            assert!(reader.flag("A", true) && !reader.flag("B", false));
            assert_eq!(reader.choice("B", &[("one", 1), ("two", 2)], 2), 2);
            assert_eq!(
                (reader.text("A"), reader.url("B"), reader.path("A")),
                (None, None, None)
            );
            assert!(reader.secret("A").is_none());
        };
        Source::of(variables).read(read).unwrap();
    }
}

#[test]
fn values_are_read() {
    let file = existing_file();
    let variables = [
        ("NUMBER", " 9 "),
        ("FLAG", "Yes"),
        ("CHOICE", "TWO"),
        ("URL", "https://host/path?x=1"),
        ("SECRET", "0123"),
        ("FILE", file),
    ];
    let read = |reader: &mut Reader<'_>| {
        assert_eq!(
            reader
                .number("NUMBER", NonZeroU32::MIN..=NonZeroU32::MAX, NonZeroU32::MIN)
                .get(),
            9
        );
        assert!(reader.flag("FLAG", false));
        assert_eq!(reader.choice("CHOICE", &[("one", 1), ("two", 2)], 1), 2);
        assert_eq!(reader.url("URL").unwrap().as_str(), "https://host/path?x=1");
        assert_eq!(reader.secret("SECRET").unwrap().expose_secret(), "0123");
        assert_eq!(reader.file("FILE").unwrap(), Path::new(file));
    };
    Source::of(&variables).read(read).unwrap();
}

fn existing_file() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")
}

#[test]
fn all_problems_are_reported_at_once_in_one_form() {
    let variables = [
        ("PORT", "x"),
        ("SECONDS", "10"),
        ("FLAG", "maybe"),
        ("CHOICE", "four"),
        ("FILE", "/no/such/file"),
        ("FOLDER", existing_file()),
    ];
    let found = problems(&variables, |reader| {
        reader.number("PORT", 0..=u16::MAX, 8080);
        reader.number("SECONDS", 1..=9, 1);
        reader.flag("FLAG", false);
        reader.choice("CHOICE", &[("one", 1), ("two", 2), ("three", 3)], 1);
        reader.file("FILE");
        reader.folder("FOLDER");
        reader.required("NAME", "set it");
    });
    let expected = [
        "invalid `PORT`: expected a number from 0 to 65535, got `x`",
        "invalid `SECONDS`: expected a number from 1 to 9, got `10`",
        "invalid `FLAG`: expected true or false, got `maybe`",
        "invalid `CHOICE`: expected one, two or three, got `four`",
        "invalid `FILE`: expected a file that exists, got `/no/such/file`",
        &format!(
            "invalid `FOLDER`: expected a folder that exists, got `{}`",
            existing_file()
        ),
        "missing `NAME`: set it",
    ];
    assert_eq!(found, expected);
}

#[test]
fn secrets_and_urls_are_not_shown() {
    let found = problems(
        &[
            ("URL", "https://me:pa55@host"),
            ("BASE", "https://host?pa55"),
            ("KEY", "pa55"),
        ],
        |reader| {
            reader.url("URL");
            reader.base_url("BASE");
            reader
                .secret("KEY")
                .and_then(|_| reader.valid("KEY", "base64", None::<()>));
        },
    );
    assert!(found.len() == 3 && !found.concat().contains("pa55"), "{found:?}");
    assert!(
        found[0].starts_with("invalid `URL`: expected http://HOST or https://HOST"),
        "{found:?}"
    );
    assert_eq!(
        found[2],
        "invalid `KEY`: expected base64; the value is not shown, because it may contain a secret"
    );
}

#[test]
fn settings_that_do_not_count_are_recorded_without_their_problems() {
    let source = Source::of(&[("A", "x")]);
    let mut reader = Reader::new(&source);
    assert_eq!(reader.when(false, |reader| reader.number("A", 1..=9, 1)), None);
    assert_eq!(reader.when_any_is_set(|reader| reader.required("B", "set it")), None);
    assert_eq!(reader.names(), ["DBT_API_CONFIG", "A", "B"]);
    assert_eq!(reader.finish(7), Ok(7));

    let found = problems(&[("A", "x")], |reader| {
        reader.when(true, |reader| reader.number("A", 1..=9, 1));
        reader.when_any_is_set(|reader| (reader.text("A"), reader.required("B", "set it")));
    });
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn unknown_keys_of_the_file_are_problems_and_misspelled_variables_are_warnings() {
    let file = "db_host = 'db'\ndb_hots = 'pa55'\nempty = ''";
    let source = Source {
        file: Some(File::parse("dbt-api.toml".into(), file).unwrap()),
        ..Source::of(&[("DB_HSOT", "pa55"), ("DB_PATH", "/var"), ("DB_HOST", "db")])
    };
    let mut reader = Reader::new(&source);
    reader.text("DB_HOST");
    assert_eq!(reader.warnings(), ["unknown variable DB_HSOT: did you mean DB_HOST?"]);
    let invalid = reader.finish(()).unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "invalid settings:\
         \n  - unknown setting `db_hots` in dbt-api.toml: did you mean DB_HOST?\
         \n  - unknown setting `empty` in dbt-api.toml: `dbt-api config variables` lists all settings\
         \n  - warning: unknown variable DB_HSOT: did you mean DB_HOST?"
    );
}
