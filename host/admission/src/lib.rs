//! Which request runs next, which waits, and which is refused at once.
//!
//! Each model, and each function, has a lane: a queue of its own, in the order of arrival. As many requests run at once as
//! there are workers. When one is free, the lane goes first that has had least of their time for its weight, by start-time
//! fair queueing ([Goyal, Vin and Cheng, 1996](https://doi.org/10.1145/248157.248171)), so that a hot model takes what
//! others leave and no more. What a request costs is the time that its lane's have taken, as measured.
//!
//! Waiting is bounded: by a lane's queue, and by the node's. When the node's is full, the lane that has most waiting for its
//! weight loses its youngest, so that a hot model cannot keep others out
//! ([Suter et al., 1998](https://doi.org/10.1109/INFCOM.1998.659666)). A request that would wait for longer than it may, by an
//! estimate from measured times, is refused when it comes, and told when to come again.
//!
//! [`Scheduler`] decides and has no clock; [`Admission`] is it with the clock, for the threads of a server.

#![forbid(unsafe_code)]

mod admission;
mod limits;
mod refusal;
mod scheduler;

pub use admission::{Admission, Depth, Permit, Submitted, Ticket};
pub use limits::{LaneLimits, NodeLimits};
pub use refusal::Refusal;
pub use scheduler::{LaneId, Refused, Scheduler, Taken, WorkId};
