//! Creates, hashes and recognizes keys of tokens.

use schemas::Sha256;
use secrecy::SecretString;

/// The prefix by which people and secret scanners recognize a key.
const PREFIX: &str = "dbtapi_";

/// The key of a new token: a prefix and 256 random bits in hexadecimal. It is shown once and never stored.
pub struct Key(SecretString);

/// The system's random generator failed.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed: {0}")]
pub struct InvalidKey(rand::rand_core::OsError);

impl Key {
    /// Generates a new key.
    ///
    /// # Errors
    /// Fails if the system's random generator fails.
    pub fn generate() -> Result<Self, InvalidKey> {
        use rand::TryRngCore;
        let mut bits = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut bits).map_err(InvalidKey)?;
        Ok(Self(format!("{PREFIX}{}", hex::encode(bits)).into()))
    }

    /// Returns the hash of the key, which is stored.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        use secrecy::ExposeSecret;
        hash_of_key(self.0.expose_secret())
    }

    /// Returns the text of the key, to show it to the person who creates the token.
    #[must_use]
    pub fn expose(&self) -> &str {
        use secrecy::ExposeSecret;
        self.0.expose_secret()
    }
}

/// Hashes a key as it is stored. Keys are random, so a plain hash is enough, and comparing hashes reveals nothing about the key.
#[must_use]
pub fn hash_of_key(key: &str) -> Sha256 {
    Sha256::of(key.as_bytes())
}

/// Whether this service issued the key, according to its prefix. Such a key is never sent to anyone else.
#[must_use]
pub fn is_own_key(key: &str) -> bool {
    key.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_recognizable_and_unique() {
        let (one, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert!(one.expose().starts_with("dbtapi_"));
        assert_eq!(one.expose().len(), "dbtapi_".len() + 64);
        assert_ne!(one.sha256(), other.sha256());
        assert_eq!(one.sha256(), hash_of_key(one.expose()));
    }
}
