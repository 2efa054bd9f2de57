//! The names of buckets and containers.

use ::settings::Reader;

/// What [`is_bucket_name`] allows, for messages.
pub(super) const BUCKET_NAME: &str = "3 to 63 letters, digits, `-`, `.` or `_`";

/// Reads the name of a bucket or container from this variable.
pub(super) fn bucket_name(reader: &mut Reader<'_>, variable: &str, advice: &str) -> Option<String> {
    let name = reader.required(variable, advice)?;
    if !is_bucket_name(&name) {
        reader.invalid(variable, BUCKET_NAME);
    }
    Some(name)
}

/// Checks the name of a bucket or container.
pub(super) fn is_bucket_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (3..=63).contains(&name.len()) && name.bytes().all(allowed)
}
