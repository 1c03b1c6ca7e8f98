//! Makes the tests of the guests take the dependencies that the host's build leaves.
//!
//! Both are built in one directory with one profile, and what they have in common is compiled once where its features are the
//! same, and those of all it depends on. No guest depends on this crate: it is there for the commands that take the whole
//! workspace.
