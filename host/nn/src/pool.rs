//! A bounded pool of contexts.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// At most so many of a thing, made when they are first needed, each used by one thread at a time.
///
/// Its lock is held while a thing is taken or given back, never while one is used.
pub struct Pool<T> {
    state: Mutex<State<T>>,
    freed: Condvar,
    limit: usize,
}

struct State<T> {
    idle: Vec<T>,
    /// Those in use included.
    made: usize,
}

/// A thing that was taken from a [`Pool`]. It goes back when this is dropped.
pub struct Lease<'a, T> {
    pool: &'a Pool<T>,
    /// Absent while it is made or used.
    thing: Option<T>,
}

/// Why nothing was taken.
#[derive(Debug, PartialEq, Eq)]
pub enum TakeError<E> {
    /// All are in use, and none came back in time.
    Busy,
    /// A new one could not be made.
    Make(E),
}

impl<T> Pool<T> {
    pub fn new(limit: usize) -> Pool<T> {
        Pool { state: Mutex::new(State { idle: Vec::new(), made: 0 }), freed: Condvar::new(), limit }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes one that is idle, or a new one if there are not as many as may be, or waits for one until `deadline`.
    pub fn take<E>(
        &self,
        deadline: Option<Instant>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Lease<'_, T>, TakeError<E>> {
        let mut state = self.lock();
        loop {
            if let Some(thing) = state.idle.pop() {
                return Ok(Lease { pool: self, thing: Some(thing) });
            }
            if state.made < self.limit {
                state.made += 1;
                break;
            }
            state = match deadline {
                None => self.freed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
                    else {
                        return Err(TakeError::Busy);
                    };
                    self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        drop(state);
        // Dropping the lease gives the place back, also if `make` panics.
        let mut lease = Lease { pool: self, thing: None };
        lease.thing = Some(make().map_err(TakeError::Make)?);
        Ok(lease)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lease<'_, T> {
    /// Uses the thing. If `f` panics, the thing is lost, and its place in the pool free for a new one.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut thing = self.thing.take()?;
        let result = f(&mut thing);
        self.thing = Some(thing);
        Some(result)
    }
}

impl<T> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match self.thing.take() {
            Some(thing) => state.idle.push(thing),
            None => state.made -= 1,
        }
        drop(state);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn take(pool: &Pool<u32>) -> Result<Lease<'_, u32>, TakeError<()>> {
        pool.take(Some(Instant::now()), || Ok(7))
    }

    #[test]
    fn no_more_are_made_than_may_be_and_one_that_comes_back_is_used_again() {
        let pool = Pool::new(2);
        let first = take(&pool).unwrap();
        let _second = take(&pool).unwrap();
        assert_eq!(take(&pool).err(), Some(TakeError::Busy));
        drop(first);
        let again = pool.take(Some(Instant::now()), || -> Result<u32, ()> { panic!("made a third") });
        assert!(again.is_ok());
    }

    #[test]
    fn whoever_waits_gets_what_comes_back() {
        let pool = Pool::new(1);
        let lease = take(&pool).unwrap();
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| pool.take::<()>(Some(Instant::now() + Duration::from_secs(60)), || Ok(8)).is_ok());
            drop(lease);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn a_failure_and_a_panic_leave_the_place_free() {
        let pool: Pool<u32> = Pool::new(1);
        assert_eq!(pool.take(None, || Err("no")).err(), Some(TakeError::Make("no")));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            take(&pool).unwrap().with(|_| std::panic::resume_unwind(Box::new(())))
        }));
        assert!(panicked.is_err());
        let lease = pool.take::<()>(Some(Instant::now()), || Ok(9));
        assert_eq!(lease.ok().and_then(|mut lease| lease.with(|thing| *thing)), Some(9));
    }
}
