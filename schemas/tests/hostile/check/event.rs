//! The invariants for an event with any bytes. A fuzz target checks them too.

use schemas::Event;

/// Checks an event in the form of the journal.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(event) = Event::from_json(bytes) else { return };
    let written = event.to_json().unwrap();
    assert_eq!(Event::from_json(&written).unwrap().to_json().unwrap(), written);
    let Ok(data) = event.data() else { return };
    let made = Event::new(event.id, event.time, &data).unwrap();
    let again = Event::from_json(&made.to_json().unwrap()).unwrap();
    assert_eq!(again.data().unwrap(), data);
    assert_eq!((again.id, again.time, again.kind), (event.id, event.time, event.kind));
}
