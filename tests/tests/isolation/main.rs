//! Isolation: what goes wrong in one request is no concern of another's, and nothing of it is left for the next.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod failures;
mod guest;
mod reused;
mod state;
