//! Why a server does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use samara_runtime::LoadError;

use crate::functions::FunctionRoute;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}{}", hint(reason))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// The address that was bound cannot be told.
    #[error("cannot tell the server's address: {0}")]
    Address(io::Error),
    /// A worker cannot be started.
    #[error("cannot start a worker: {0}")]
    Thread(io::Error),
    /// A directory of components cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A directory has no components.
    #[error("{} holds no component: no file in it ends in .wasm", path.display())]
    EmptyDirectory {
        /// The directory.
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

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process does, choose another port with --listen",
        io::ErrorKind::PermissionDenied => "; choose a port above 1023 with --listen",
        _ => "",
    }
}
