//! The key that signs URLs, `keys/signing`. It is created once and shared by all processes.

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};

use crate::{Bucket, Error};

const KEY: &str = "keys/signing";

impl Bucket {
    /// Reads the key that signs URLs, and creates it if it is missing.
    ///
    /// # Errors
    /// Fails if the bucket is unavailable, the key does not have 32 bytes, or the system has no random numbers.
    pub async fn signing_key(&self) -> Result<[u8; 32], Error> {
        let bytes = match self.read(KEY).await {
            Err(Error::NotFound { .. }) => {
                let mut key = [0; 32];
                let random = SystemRandom::new().fill(&mut key);
                random.map_err(|_| Error::corrupt(KEY, "the system has no random numbers for a new key"))?;
                self.create(KEY, Bytes::copy_from_slice(&key)).await?;
                // Another process may have been faster. Then its key counts.
                self.read(KEY).await?
            }
            read => read?,
        };
        <[u8; 32]>::try_from(bytes.as_ref())
            .map_err(|_| Error::corrupt(KEY, format_args!("it has {} bytes, not 32", bytes.len())))
    }
}
