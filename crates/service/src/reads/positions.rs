//! How long ago the primary was where the server for reads is now.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most positions that are kept: those of an hour.
const MAX_POSITIONS: usize = 3600;

/// The positions of the primary that the server for reads has not reached yet, each with the time at which the primary was there.
#[derive(Default)]
pub(super) struct Positions {
    ahead: VecDeque<(Instant, i64)>,
    /// When the primary last said its position. While it does not answer, nothing is written that one could be behind.
    last: Option<Instant>,
}

impl Positions {
    pub(super) fn write(&mut self, now: Instant, written: i64) {
        self.last = Some(now);
        match self.ahead.back() {
            // The primary is another server now, or was restored: what the former one wrote cannot be reached.
            Some((_, last)) if *last > written => self.ahead.clear(),
            Some((_, last)) if *last == written => return,
            _ => {}
        }
        if self.ahead.len() < MAX_POSITIONS {
            self.ahead.push_back((now, written));
        } else if let Some((_, last)) = self.ahead.back_mut() {
            // With its earlier time, so that the lag is shown too long, not too short.
            *last = written;
        }
    }

    /// How far the server is behind that has replayed this; none if the primary was never asked.
    pub(super) fn lag(&mut self, replayed: i64) -> Option<Duration> {
        let last = self.last?;
        while self.ahead.front().is_some_and(|(_, written)| *written <= replayed) {
            self.ahead.pop_front();
        }
        let oldest = self.ahead.front();
        Some(oldest.map_or(Duration::ZERO, |(written, _)| last.duration_since(*written)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_oldest_position_that_was_not_reached() {
        let mut positions = Positions::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(positions.lag(10), None);
        positions.write(at(0), 10);
        assert_eq!(positions.lag(10), Some(Duration::ZERO));
        positions.write(at(1), 20);
        positions.write(at(2), 30);
        assert_eq!(positions.lag(10), Some(Duration::from_secs(1)));
        positions.write(at(8), 30);
        assert_eq!(positions.lag(20), Some(Duration::from_secs(6)));
        // The primary does not answer any more.
        assert_eq!(positions.lag(20), Some(Duration::from_secs(6)));
        assert_eq!(positions.lag(30), Some(Duration::ZERO));
    }

    #[test]
    fn the_lag_is_not_too_short_after_more_than_an_hour() {
        let mut positions = Positions::default();
        let begin = Instant::now();
        for second in 0..5000_u32 {
            positions.write(begin + Duration::from_secs(second.into()), second.into());
        }
        assert_eq!(positions.lag(4000), Some(Duration::from_secs(4999 - 3599)));
        assert_eq!(positions.lag(4999), Some(Duration::ZERO));
    }

    #[test]
    fn a_primary_that_was_restored_is_followed() {
        let mut positions = Positions::default();
        let begin = Instant::now();
        positions.write(begin, 100);
        positions.write(begin + Duration::from_secs(60), 40);
        assert_eq!(positions.lag(30), Some(Duration::ZERO));
        positions.write(begin + Duration::from_secs(65), 50);
        assert_eq!(positions.lag(40), Some(Duration::ZERO));
        positions.write(begin + Duration::from_secs(70), 60);
        assert_eq!(positions.lag(40), Some(Duration::from_secs(5)));
    }
}
