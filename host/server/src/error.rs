//! Why a server does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use samara_runtime::{InferError, LoadError};

use crate::admin::AdminListen;
use crate::functions::FunctionRoute;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}{}", hint(reason, option))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The option that says so.
        option: &'static str,
        /// What the system said.
        reason: io::Error,
    },
    /// Admin calls cannot be taken there.
    #[error("cannot listen on {listen} for admin calls: {reason}")]
    BindAdmin {
        /// Where.
        listen: AdminListen,
        /// What the system said.
        reason: io::Error,
    },
    /// Admin calls could be made from other machines by whoever likes.
    #[error(
        "admin_listen is {listen}, where other machines can connect: set admin_token_file, or listen on 127.0.0.1 or a \
         Unix socket"
    )]
    OpenAdmin {
        /// Where.
        listen: AdminListen,
    },
    /// A file has no token.
    #[error("{} holds no token: expected one word of visible ASCII characters", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
    },
    /// A socket that was open before cannot be used.
    #[error("cannot use the socket that was passed: {0}")]
    Socket(io::Error),
    /// The address that was bound cannot be told.
    #[error("cannot tell the server's address: {0}")]
    Address(io::Error),
    /// A worker cannot be started.
    #[error("cannot start a worker: {0}")]
    Thread(io::Error),
    /// A component, or a directory of components, cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A directory has no components.
    #[error("{} holds no component: no file in it ends in .wasm, and there is no NAME/VERSION/model.wasm", path.display())]
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory of a version has no component.
    #[error("{} holds no model.wasm", path.display())]
    NoComponent {
        /// The directory.
        path: PathBuf,
    },
    /// No instance of a component can be made.
    #[error("{}: no instance of it can be made: {reason}", path.display())]
    Instantiate {
        /// Its file.
        path: PathBuf,
        /// Why not.
        reason: InferError,
    },
    /// A component changed while it was read.
    #[error("{} changed while it was read", path.display())]
    Changing {
        /// Its file.
        path: PathBuf,
    },
    /// A component is listed twice.
    #[error("{} is listed twice", path.display())]
    DuplicatePath {
        /// Its file.
        path: PathBuf,
    },
    /// A component cannot be loaded.
    #[error("{}: {reason}", path.display())]
    Load {
        /// Its file.
        path: PathBuf,
        /// Why not.
        reason: LoadError,
    },
    /// Something is set up for a model that is not served.
    #[error("[model.{name}] sets up a model that is not served: there is {known}")]
    UnknownModel {
        /// The model's name.
        name: String,
        /// The names of those that are.
        known: String,
    },
    /// A split names a version that there is not.
    #[error("[model.{name}] splits requests with version {version:?}, which there is not: there is {known}")]
    UnknownVersion {
        /// The model's name.
        name: String,
        /// The version.
        version: String,
        /// The versions that there are.
        known: String,
    },
    /// A model is to run in batches, and cannot.
    #[error(
        "[model.{name}] sets max_batch_size, but {reason}: \
         only a model whose inputs and outputs all have an open first dimension, -1, can run in batches"
    )]
    NotBatchable {
        /// The model's name.
        name: String,
        /// Which tensor of which version is in the way.
        reason: String,
    },
    /// A function has the route of the metrics.
    #[error(
        "{name} is to be served at /metrics, where the metrics are: give it another --route, or them --metrics-listen"
    )]
    MetricsRoute {
        /// The function.
        name: String,
    },
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] samara_telemetry::TraceError),
    /// Two functions have the same route.
    #[error("{first} and {second} are both served at {route}: give one of them another --route")]
    DuplicateRoute {
        /// The route.
        route: FunctionRoute,
        /// The function that was added first.
        first: String,
        /// The other one.
        second: String,
    },
    /// Two components are the same version of the same model.
    #[error(
        "{} and {} are both version {version:?} of model {name:?}: \
         compile one of them again with another --name or --version",
        first.display(),
        second.display()
    )]
    Duplicate {
        /// The model's name.
        name: String,
        /// The version.
        version: String,
        /// The file that was loaded first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
}

fn hint(error: &io::Error, option: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("; another process does, choose another port with {option}"),
        io::ErrorKind::PermissionDenied => format!("; choose a port above 1023 with {option}"),
        _ => String::new(),
    }
}
