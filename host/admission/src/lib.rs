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
//! The requests of a lane may run together, in batches ([Crankshaw et al., 2017](https://www.usenix.org/conference/nsdi17/technical-sessions/presentation/crankshaw)).
//! Its turn then comes when there are enough for a full one, or when one has waited for others as long as it may, or as long as
//! it can spare: half of the time that is left to it beside its run. A batch is one run. Each of its requests costs its share
//! of it, so that a lane has no more of the workers' time for being run in batches, but more of its requests in that time.
//!
//! [`Scheduler`] decides and has no clock; [`Admission`] is it with the clock, for the threads of a server.

#![forbid(unsafe_code)]

mod admission;
mod limits;
mod refusal;
mod scheduler;

pub use admission::{Admission, Depth, Permit, Submitted, Ticket};
pub use limits::{Batching, LaneLimits, NodeLimits};
pub use refusal::Refusal;
pub use scheduler::{Joined, LaneId, Place, Refused, Scheduler, Taken, WorkId};
