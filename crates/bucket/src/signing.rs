//! The key that signs URLs: `keys/signing`, made once and the same for all processes.

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};

use crate::{Bucket, Error};

const KEY: &str = "keys/signing";

impl Bucket {
    /// The key that signs URLs; made if there is none.
    ///
    /// # Errors
    /// Unavailable; corrupt when what is there is no key of 32 bytes, or when the system has no random numbers.
    pub async fn signing_key(&self) -> Result<[u8; 32], Error> {
        let bytes = match self.read(KEY).await {
            Err(Error::NotFound { .. }) => {
                let mut key = [0; 32];
                let random = SystemRandom::new().fill(&mut key);
                random.map_err(|_| Error::corrupt(KEY, "the system has no random numbers for a new key"))?;
                self.create(KEY, Bytes::copy_from_slice(&key)).await?;
                // Another process may have been faster: its key is the one that counts.
                self.read(KEY).await?
            }
            read => read?,
        };
        <[u8; 32]>::try_from(bytes.as_ref())
            .map_err(|_| Error::corrupt(KEY, format_args!("it has {} bytes, not 32", bytes.len())))
    }
}
