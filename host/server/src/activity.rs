//! Whether anybody is being served: what tells a server that may end when nobody is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep_until;

/// Who is being served, and when the last one was.
pub struct Activity {
    busy: AtomicUsize,
    last: Mutex<Instant>,
    /// How long it may be quiet has changed.
    changed: Notify,
}

/// Somebody is being served, until this is dropped.
pub struct Busy(Arc<Activity>);

// === impl Activity ===

impl Activity {
    pub fn new() -> Arc<Activity> {
        Arc::new(Activity { busy: AtomicUsize::new(0), last: Mutex::new(Instant::now()), changed: Notify::new() })
    }

    /// Notes that somebody is being served.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(Arc::clone(self))
    }

    /// Has [`Activity::quiet`] ask again how long it may be quiet.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits until nobody has been served for as long as `allowed` says, and nothing works on; for ever while it says nothing.
    pub async fn quiet(&self, allowed: impl Fn() -> Option<Duration>, works: impl Fn() -> bool) -> Duration {
        loop {
            let Some(allowed) = allowed() else {
                self.changed.notified().await;
                continue;
            };
            let now = Instant::now();
            let since = if self.busy.load(Ordering::SeqCst) > 0 || works() { now } else { self.last() };
            let end = since + allowed;
            if end <= now {
                return allowed;
            }
            tokio::select! {
                () = sleep_until(end.into()) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const ALLOWED: Duration = Duration::from_millis(20);
    const LONGER: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn it_is_quiet_when_nobody_has_been_served_for_a_while() {
        let activity = Activity::new();
        let began = Instant::now();
        assert_eq!(activity.quiet(|| Some(ALLOWED), || false).await, ALLOWED);
        assert!(began.elapsed() >= ALLOWED);
    }

    #[tokio::test]
    async fn it_is_not_while_somebody_is_served_or_something_works_on() {
        let activity = Activity::new();
        let busy = activity.begin();
        assert!(timeout(LONGER, activity.quiet(|| Some(ALLOWED), || false)).await.is_err());
        drop(busy);
        assert!(timeout(LONGER, activity.quiet(|| Some(ALLOWED), || true)).await.is_err());
        assert!(timeout(LONGER, activity.quiet(|| Some(ALLOWED), || false)).await.is_ok());
    }

    #[tokio::test]
    async fn how_long_it_may_be_can_change() {
        let activity = Activity::new();
        let allowed = Mutex::new(None);
        let read = || *allowed.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(timeout(LONGER, activity.quiet(read, || false)).await.is_err());
        let (quiet, ()) = tokio::join!(activity.quiet(read, || false), async {
            *allowed.lock().unwrap_or_else(PoisonError::into_inner) = Some(ALLOWED);
            activity.changed();
        });
        assert_eq!(quiet, ALLOWED);
    }
}
