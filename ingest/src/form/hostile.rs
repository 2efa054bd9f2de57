//! Tests with valid forms cut into pieces of any size, and with forms that no client sends.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use schemas::Sha256;
use tokio::runtime::Runtime;

use super::Form;
use super::tests::{MANIFEST, form, read};
use crate::Settings;
use crate::mutate::damage;
use crate::parameters::Parameters;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// How long reading a small form may take before the test counts it as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

const WORDS: &[&str] = &[
    "\r\n",
    "--b0",
    "--b0--",
    "\r\n--b0\r\n",
    "\r\n\r\n",
    "Content-Disposition: form-data; name=\"file\"\r\n",
    "; name=\"tag\"",
    "; filename*=UTF-8''%ff",
    "\"",
    "\0",
    "{",
    "é",
];

/// Returns the contents of a form, or the status of the refusal. Both must not depend on how the form is cut.
fn outcome(text: &[u8], cuts: &[Index]) -> Result<(Parameters, Sha256, u64), u16> {
    let mut positions: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    positions.extend([0, text.len()]);
    positions.sort_unstable();
    let pieces: Vec<_> = positions
        .windows(2)
        .map(|ends| Ok::<_, std::io::Error>(Bytes::copy_from_slice(&text[ends[0]..ends[1]])))
        .collect();
    let settings = Settings::default();
    let reading = read(Body::from_stream(stream::iter(pieces)), &settings);
    let form = RUNTIME.block_on(async { tokio::time::timeout(PATIENCE, reading).await });
    match form.expect("reading a form hangs").and_then(Form::into_file) {
        Ok((parameters, file)) => Ok((parameters, file.spooled.sha256, file.spooled.size)),
        Err(error) => Err(error.status().as_u16()),
    }
}

proptest! {
    #[test]
    fn the_order_of_parts_and_the_cuts_make_no_difference(
        values in (option::of("[^\0]{0,40}"), option::of("[^\0]{0,40}"), option::of("[^\0]{0,40}"), option::of("[^\0]{0,40}")),
        turn in any::<Index>(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let given = [("environment_slug", &values.0), ("dag_id", &values.1), ("run_id", &values.2), ("tag", &values.3)];
        let mut parts = vec![("file", MANIFEST)];
        parts.extend(given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        let turn = turn.index(parts.len());
        parts.rotate_left(turn);
        let mut expected = Parameters::default();
        for (name, value) in given {
            expected.set(name, value.as_deref().unwrap_or_default().as_bytes()).unwrap();
        }
        let file = (Sha256::of(MANIFEST.as_bytes()), MANIFEST.len() as u64);
        prop_assert_eq!(outcome(form(&parts).as_bytes(), &cuts), Ok((expected, file.0, file.1)));
    }

    #[test]
    fn damaged_forms_give_the_same_result_however_they_are_cut(damage in damage(WORDS), cuts in vec(any::<Index>(), 0..12)) {
        let whole = form(&[("run_id", "r-1"), ("file", MANIFEST), ("unknown", "x"), ("tag", "t")]);
        let other = form(&[("file", "{\"results\":[]}"), ("environment_slug", "dev123"), ("dag_id", "é")]);
        let text = damage.apply(&[whole.into_bytes(), other.into_bytes()]);
        match (outcome(&text, &[]), outcome(&text, &cuts)) {
            (Ok(whole), Ok(cut)) => prop_assert_eq!(whole, cut),
            // If two things are wrong, which of them is found first depends on the cuts.
            (Err(whole), Err(cut)) => prop_assert!((400..500).contains(&whole) && (400..500).contains(&cut), "{} {}", whole, cut),
            (whole, cut) => prop_assert!(false, "whole: {:?}, cut: {:?}", whole, cut),
        }
    }
}
