//! Signed permissions in URLs: anyone who has the URL may do one particular thing until it expires.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use ring::hmac;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long a permission is valid.
const LIFETIME: TimeDelta = TimeDelta::minutes(15);

/// Signs and verifies permissions. Cheap to clone.
#[derive(Clone)]
pub struct Signer(hmac::Key);

/// Why a permission is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    /// This service did not sign it, or it was changed.
    #[error("this service did not issue the URL; request a new one")]
    Forged,
    /// The permission has expired.
    #[error("the URL has expired; request a new one")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Permission<T> {
    /// The kind of permission, so that one kind is never accepted for another.
    purpose: String,
    /// Seconds since 1970.
    expires: i64,
    what: T,
}

impl Signer {
    /// Creates a signer with this key. All processes with the same key accept each other's permissions.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Signs a permission. The result consists of hexadecimal digits and a dot, and fits into a path.
    ///
    /// # Errors
    /// If `what` cannot be written as JSON.
    pub fn sign<T: Serialize>(&self, purpose: &str, what: T, now: DateTime<Utc>) -> serde_json::Result<String> {
        let permission = Permission {
            purpose: purpose.to_owned(),
            expires: (now + LIFETIME).timestamp(),
            what,
        };
        let json = serde_json::to_vec(&permission)?;
        let tag = hmac::sign(&self.0, &json);
        Ok(format!("{}.{}", hex::encode(&json), hex::encode(tag.as_ref())))
    }

    /// Verifies a permission and returns its content.
    ///
    /// # Errors
    /// If the permission is forged, has another purpose, or has expired.
    pub fn open<T: DeserializeOwned>(
        &self,
        purpose: &str,
        signed: &str,
        now: DateTime<Utc>,
    ) -> Result<T, NotPermitted> {
        let (json, tag) = signed.split_once('.').ok_or(NotPermitted::Forged)?;
        let json = hex::decode(json).map_err(|_| NotPermitted::Forged)?;
        let tag = hex::decode(tag).map_err(|_| NotPermitted::Forged)?;
        hmac::verify(&self.0, &json, &tag).map_err(|_| NotPermitted::Forged)?;
        let permission: Permission<T> = serde_json::from_slice(&json).map_err(|_| NotPermitted::Forged)?;
        if permission.purpose != purpose {
            return Err(NotPermitted::Forged);
        }
        if permission.expires < now.timestamp() {
            return Err(NotPermitted::Expired);
        }
        Ok(permission.what)
    }
}

/// The key is never printed.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_permission_is_valid_only_for_its_purpose_and_lifetime() {
        let signer = Signer::new(&[7; 32]);
        let now = DateTime::UNIX_EPOCH;
        let signed = signer.sign("upload", 5, now).unwrap();
        assert_eq!(signer.open::<i64>("upload", &signed, now), Ok(5));
        let later = now + TimeDelta::minutes(16);
        assert_eq!(signer.open::<i64>("upload", &signed, later), Err(NotPermitted::Expired));
        assert_eq!(signer.open::<i64>("read", &signed, now), Err(NotPermitted::Forged));
        let other = Signer::new(&[8; 32]);
        assert_eq!(other.open::<i64>("upload", &signed, now), Err(NotPermitted::Forged));
        for index in 0..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[index] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                signer.open::<i64>("upload", &changed, now),
                Err(NotPermitted::Forged),
                "{index}"
            );
        }
    }

    proptest! {
        #[test]
        fn unsigned_text_is_forged(text in ".{0,20}", tag in prop::collection::vec(any::<u8>(), 0..40)) {
            let (signer, now) = (Signer::new(&[7; 32]), DateTime::UNIX_EPOCH);
            let signed = signer.sign("upload", 5, now).unwrap();
            let (json, _) = signed.split_once('.').unwrap();
            for forged in [text, format!("{json}.{}", hex::encode(tag)), json.to_owned()] {
                prop_assert_eq!(signer.open::<i64>("upload", &forged, now), Err(NotPermitted::Forged), "{}", forged);
            }
        }
    }
}
