//! How long a message may take to come: from its first bytes, which need not come at once in a stream, to its last.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

/// Whether a message is on its way.
pub struct Pace(AtomicBool);

/// A body whose messages may take so long.
pub struct Paced {
    body: Incoming,
    pace: Arc<Pace>,
    allowed: Duration,
    end: Pin<Box<Sleep>>,
}

impl Pace {
    /// Whether the first message is due now.
    pub fn new(due: bool) -> Pace {
        Pace(AtomicBool::new(due))
    }

    /// Notes that a message is there.
    pub fn ended(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Paced {
    /// A body whose messages may take no longer than this.
    pub fn new(body: Incoming, pace: Arc<Pace>, allowed: Duration) -> Paced {
        Paced { body, pace, allowed, end: Box::pin(sleep(allowed)) }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                if !this.pace.0.swap(true, Ordering::Relaxed) {
                    this.end.as_mut().reset(Instant::now() + this.allowed);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|error| Status::from_error(error.into()))))
            }
            Poll::Pending if this.pace.0.load(Ordering::Relaxed) => {
                ready!(this.end.as_mut().poll(context));
                let allowed = this.allowed.as_millis();
                let message = format!("the message did not come within the {allowed} ms that are allowed");
                Poll::Ready(Some(Err(Status::deadline_exceeded(message))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
