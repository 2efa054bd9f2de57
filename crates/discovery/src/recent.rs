//! What was used last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// Values that were used last, each by its key, until their sizes together exceed a limit. Cheap to clone.
#[derive(Debug)]
pub struct Recent<K, T> {
    kept: Arc<Mutex<VecDeque<Kept<K, T>>>>,
    /// The size of a value, in any unit.
    size: fn(&T) -> usize,
    /// The sum of the sizes, in the same unit.
    limit: usize,
}

#[derive(Debug)]
struct Kept<K, T> {
    key: K,
    /// Empty until the first request that needs the value has made it.
    value: Arc<OnceCell<Arc<T>>>,
}

impl<K, T> Clone for Recent<K, T> {
    fn clone(&self) -> Self {
        Self {
            kept: Arc::clone(&self.kept),
            ..*self
        }
    }
}

impl<K: PartialEq, T> Recent<K, T> {
    /// Keeps no value yet.
    #[must_use]
    pub fn new(limit: usize, size: fn(&T) -> usize) -> Self {
        Self {
            kept: Arc::default(),
            size,
            limit,
        }
    }

    /// Returns the value with a key. If it is not kept, one request makes it, and the others wait for it: each would need much memory.
    ///
    /// # Errors
    /// Returns the error of `make`, which is not kept.
    pub async fn get<E>(&self, key: K, make: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, E> {
        let cell = self.cell(key);
        let made = cell.get_or_try_init(|| async move { make.await.map(Arc::new) }).await;
        let made = made.cloned();
        drop(cell);
        self.forget();
        made
    }

    /// Forgets what was not used for the longest time, what is too large by itself, and what could not be made.
    fn forget(&self) {
        let mut sum = 0;
        self.lock().retain(|kept| {
            let Some(value) = kept.value.get() else {
                // Others may be making it.
                return Arc::strong_count(&kept.value) > 1;
            };
            let size = (self.size)(value);
            if size > self.limit {
                return false;
            }
            sum += size;
            sum <= self.limit
        });
    }

    fn cell(&self, key: K) -> Arc<OnceCell<Arc<T>>> {
        let mut kept = self.lock();
        let found = kept.iter().position(|kept| kept.key == key);
        let found = found.and_then(|at| kept.remove(at)).unwrap_or_else(|| Kept {
            key,
            value: Arc::default(),
        });
        let value = Arc::clone(&found.value);
        kept.push_front(found);
        value
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept<K, T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_are_kept_by_their_keys_up_to_a_size() {
        let texts = Recent::new(10, String::len);
        let get = async |key: u8, text: &str| {
            let made = async { Ok::<_, ()>(text.to_owned()) };
            texts.get(key, made).await.unwrap().to_string()
        };
        assert_eq!(get(1, "a").await, "a");
        assert_eq!(get(1, "b").await, "a", "the kept one");
        assert_eq!(get(2, "b").await, "b");
        assert_eq!(get(3, "123456789").await, "123456789");
        assert_eq!(get(1, "c").await, "c", "there was no room for it");
        assert_eq!(get(5, "12345678901").await, "12345678901");
        assert_eq!(
            get(1, "d").await,
            "c",
            "what is too large by itself takes the place of nothing"
        );
        assert_eq!(get(5, "1").await, "1", "but it is not kept");
        assert_eq!(texts.get(4, async { Err("failed") }).await.unwrap_err(), "failed");
        assert_eq!(texts.lock().iter().filter(|kept| kept.key == 4).count(), 0);
        assert_eq!(get(4, "d").await, "d", "errors are not kept");
    }
}
