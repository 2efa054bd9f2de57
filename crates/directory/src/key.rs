//! Keys of tokens.

use schemas::Sha256;
use secrecy::SecretString;

/// With it, people and secret scanners recognise a key.
const PREFIX: &str = "dbtapi_";

/// The key of a new token: a prefix and 256 random bits in hexadecimal digits. Shown once and stored nowhere.
pub struct Key(SecretString);

/// The system gave no random bits.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed: {0}")]
pub struct InvalidKey(rand::rand_core::OsError);

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// When the system gives no random bits.
    pub fn generate() -> Result<Self, InvalidKey> {
        use rand::TryRngCore;
        let mut bits = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut bits).map_err(InvalidKey)?;
        Ok(Self(format!("{PREFIX}{}", hex::encode(bits)).into()))
    }

    /// What is stored of it.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        use secrecy::ExposeSecret;
        hash_of_key(self.0.expose_secret())
    }

    /// The text, to be shown to the one who asked for the token.
    #[must_use]
    pub fn expose(&self) -> &str {
        use secrecy::ExposeSecret;
        self.0.expose_secret()
    }
}

/// What is stored of a key that a client sent. Keys are random, so a plain hash is enough, and comparing hashes tells nothing of the key.
#[must_use]
pub fn hash_of_key(key: &str) -> Sha256 {
    Sha256::of(key.as_bytes())
}

/// Has it the form of our keys? Such a key is shown to nobody else.
#[must_use]
pub fn is_own_key(key: &str) -> bool {
    key.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_recognisable_and_never_the_same() {
        let (one, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert!(one.expose().starts_with("dbtapi_"));
        assert_eq!(one.expose().len(), "dbtapi_".len() + 64);
        assert_ne!(one.sha256(), other.sha256());
        assert_eq!(one.sha256(), hash_of_key(one.expose()));
    }
}
