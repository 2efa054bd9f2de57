//! Encrypts what a cookie holds, and signs what a form holds, with keys that are derived from the service's signing key.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// The length of both keys together: they are derived as one text of bytes.
const LENGTH: usize = 64;

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        LENGTH
    }
}

/// The derivation, the encryption or the source of random numbers failed. None of them depends on what a client sends.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a key of the console could not be used")]
pub(crate) struct Unusable;

/// Seals cookies and signs forms. All processes with the same bucket have the same keys.
pub(crate) struct Seal {
    cookies: LessSafeKey,
    forms: hmac::Key,
}

impl Seal {
    /// Derives the keys (RFC 5869). They differ from those of other purposes of the same signing key.
    pub(crate) fn derive(signing_key: &[u8; 32]) -> Result<Self, Unusable> {
        let secret = Salt::new(HKDF_SHA256, b"dbt-api").extract(signing_key);
        let mut keys = [0; LENGTH];
        secret
            .expand(&[b"console"], Length)
            .and_then(|derived| derived.fill(&mut keys))
            .map_err(|_| Unusable)?;
        let (cookies, forms) = keys.split_at(LENGTH / 2);
        let cookies = UnboundKey::new(&AES_256_GCM, cookies).map_err(|_| Unusable)?;
        Ok(Self {
            cookies: LessSafeKey::new(cookies),
            forms: hmac::Key::new(hmac::HMAC_SHA256, forms),
        })
    }

    /// Encrypts the value of the cookie with this name. The result consists of hexadecimal digits.
    pub(crate) fn close(&self, name: &str, value: &[u8]) -> Result<String, Unusable> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = value.to_vec();
        self.cookies
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| Unusable)?;
        Ok(hex::encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Returns the value of the cookie with this name; none if this service did not encrypt it.
    pub(crate) fn open(&self, name: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = hex::decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let value = self
            .cookies
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed)
            .ok()?;
        Some(value.to_vec())
    }

    /// Returns the token for the forms of the browser that has this cookie.
    pub(crate) fn form_token(&self, cookie: &str) -> String {
        hex::encode(hmac::sign(&self.forms, cookie.as_bytes()))
    }

    /// Whether a form was made for the browser that has this cookie.
    pub(crate) fn is_form_token(&self, cookie: &str, token: &str) -> bool {
        hex::decode(token).is_ok_and(|token| hmac::verify(&self.forms, cookie.as_bytes(), &token).is_ok())
    }
}

/// Returns random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Unusable> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Unusable)?;
    Ok(bytes)
}

/// The keys are never printed.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_for_the_same_name_is_opened() {
        let seal = Seal::derive(&[7; 32]).unwrap();
        let sealed = seal.close("session", b"key").unwrap();
        assert_ne!(sealed, seal.close("session", b"key").unwrap());
        assert_eq!(seal.open("session", &sealed).as_deref(), Some(b"key".as_slice()));
        assert_eq!(seal.open("form", &sealed), None);
        assert_eq!(Seal::derive(&[8; 32]).unwrap().open("session", &sealed), None);
        for changed in [
            String::new(),
            "abc".to_owned(),
            sealed.replacen(&sealed[..2], "00", 1) + "00",
        ] {
            assert_eq!(seal.open("session", &changed), None);
        }
    }

    #[test]
    fn a_form_token_belongs_to_its_cookie() {
        let seal = Seal::derive(&[7; 32]).unwrap();
        let token = seal.form_token("one");
        assert!(seal.is_form_token("one", &token));
        assert!(!seal.is_form_token("other", &token));
        assert!(!seal.is_form_token("one", "not a token"));
    }
}
