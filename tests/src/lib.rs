//! What the end-to-end tests share.
//!
//! The tests drive the real command, `target/release/samara` or what `SAMARA_BIN` names, and know nothing of the code
//! inside it: requests are written and replies read here, by the text of the protocol.
//!
//! - [`samara`] runs the command to its end, [`server`] runs `samara serve` beside a test.
//! - [`http`] talks HTTP/1.1 and HTTP/2 as clients do, [`grpc`] gRPC, and [`raw`] as they should not.
//! - [`tensor`] is what goes into an inference and what comes out, [`npy`] the same in files.
//! - [`onnx`] writes small models, [`models`] compiles them and the zoo's once for all tests, [`guests`] makes components
//!   that misbehave.
//! - [`process`] looks at a running server from outside.
//!
//! Everything here panics when it cannot go on: that is how a test fails.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails, and where is all that is to be said")]

pub mod datatypes;
pub mod grpc;
pub mod guests;
pub mod http;
pub mod models;
pub mod npy;
pub mod onnx;
pub mod process;
pub mod raw;
pub mod samara;
pub mod server;
pub mod tensor;
