//! Files that come and go while the server runs.
//!
//! The paths are looked at from time to time. The kernel could tell of changes instead, but not on network file systems and not
//! of what other hosts write there; and as a file that is being copied has to be seen twice before it is taken for whole, a
//! look costs no promptness. It costs a call of the system for each component.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::Service;

/// How many times as long as a look takes the next one is put off, at least.
const SHARE: u32 = 100;

/// Looks at the repository's paths as often as the configuration says, until it is dropped.
pub async fn watch(service: Arc<Service>) {
    let mut took = Duration::ZERO;
    while service.repository.has_paths() {
        let poll = service.config().repository_poll;
        let changed = service.changed.notified();
        match poll {
            None => {
                changed.await;
                continue;
            }
            Some(interval) => {
                // A look at very many components takes a while: it is not to be all that an idle server does.
                let pause = (took * SHARE).clamp(interval, interval * 10);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = changed => continue,
                }
            }
        }
        let began = Instant::now();
        let looking = Arc::clone(&service);
        if tokio::task::spawn_blocking(move || looking.repository.look(&*looking)).await.is_err() {
            tracing::error!("a look at the repository panicked");
        }
        took = began.elapsed();
    }
}
