//! `samara serve`: what it serves, how it starts and stops, and what it keeps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

mod code_cache;
mod components;
mod configuration;
mod copy_on_write;
mod huge_pages;
mod nonsense;
mod start;
mod statistics;
mod stop;
