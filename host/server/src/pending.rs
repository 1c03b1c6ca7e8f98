//! A request that has been taken in, as the network sees it: it waits, it runs, or its client goes away.

use std::time::{Duration, Instant};

use samara_admission::{Refusal, Ticket};
use samara_runtime::Cancellation;
use tokio::sync::oneshot;

use crate::workers::Workers;

/// A request that has been taken in. When this is dropped before the request is answered, its client has gone: it loses its
/// place in the queue, or it is stopped.
pub struct Pending<'a> {
    workers: &'a Workers,
    ticket: Ticket,
    cancellation: Cancellation,
    accepted: Instant,
    answered: bool,
}

/// How long a request may wait, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub queue: Option<Duration>,
    pub deadline: Duration,
    /// Whether the client is told of its deadline here once the request runs: a batch goes on for the others.
    pub tells_deadline: bool,
}

/// What becomes of a request.
pub enum Answer<R> {
    /// What the worker says.
    Given(R),
    /// It has waited for too long.
    Refused(Refusal),
    /// Its deadline has passed while it ran with others.
    Overdue,
    /// The worker was lost.
    Lost,
}

impl<'a> Pending<'a> {
    pub fn new(workers: &'a Workers, ticket: Ticket, cancellation: Cancellation, accepted: Instant) -> Pending<'a> {
        Pending { workers, ticket, cancellation, accepted, answered: false }
    }

    /// Waits for the answer, in the queue for no longer than it may.
    pub async fn answer<R>(mut self, mut answer: oneshot::Receiver<R>, patience: Patience) -> Answer<R> {
        let most = patience.queue.map_or(patience.deadline, |queue| queue.min(patience.deadline));
        let end = self.accepted + most;
        let given = match tokio::time::timeout_at(end.into(), &mut answer).await {
            Ok(given) => given,
            Err(_) if self.workers.admission.cancel(self.ticket).is_some() => {
                self.answered = true;
                return Answer::Refused(if most < patience.deadline {
                    let wait = self.accepted.elapsed();
                    Refusal::TooLate { wait, allowed: most, retry_after: wait.saturating_sub(most) }
                } else {
                    Refusal::Expired
                });
            }
            Err(_) if patience.tells_deadline => {
                let end = self.accepted + patience.deadline;
                match tokio::time::timeout_at(end.into(), answer).await {
                    Ok(given) => given,
                    // Dropping this says that it has left the batch.
                    Err(_) => return Answer::Overdue,
                }
            }
            // It runs, and is held to its deadline there.
            Err(_) => answer.await,
        };
        self.answered = true;
        given.map_or(Answer::Lost, Answer::Given)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.cancellation.cancel();
            drop(self.workers.admission.cancel(self.ticket));
        }
    }
}
