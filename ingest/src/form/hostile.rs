//! Tests with valid forms cut into pieces of any size, and with forms that no client sends.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use schemas::Sha256;

use super::tests::{MANIFEST, form};
use crate::hostile::{form_in_pieces, read};
use crate::mutate::damage;
use crate::parameters::Parameters;

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

/// The pieces into which a form is cut.
fn pieces<'a>(text: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut positions: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    positions.extend([0, text.len()]);
    positions.sort_unstable();
    positions.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect()
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
        let text = form(&parts);
        prop_assert_eq!(read(pieces(text.as_bytes(), &cuts).into_iter()), Ok((expected, file.0, file.1)));
    }

    #[test]
    fn damaged_forms_give_the_same_result_however_they_are_cut(damage in damage(WORDS), cuts in vec(any::<Index>(), 0..12)) {
        let whole = form(&[("run_id", "r-1"), ("file", MANIFEST), ("unknown", "x"), ("tag", "t")]);
        let other = form(&[("file", "{\"results\":[]}"), ("environment_slug", "dev123"), ("dag_id", "é")]);
        let text = damage.apply(&[whole.into_bytes(), other.into_bytes()]);
        form_in_pieces(&text, pieces(&text, &cuts).into_iter());
    }
}
