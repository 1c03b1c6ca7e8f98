//! What cannot be done with a repository.

/// Why something cannot be done with a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// There is no such model.
    #[error("unknown model {name:?}: there is {known}")]
    UnknownModel { name: String, known: String },
    /// There is no such version of the model.
    #[error("unknown version {version:?} of model {name:?}: there is {known}")]
    UnknownVersion { name: String, version: String, known: String },
    /// Something of the model cannot be loaded.
    #[error("model {name:?} cannot be loaded: {reasons}")]
    NotLoaded { name: String, reasons: String },
    /// A split gives requests to a version that is not loaded.
    #[error("version {version:?} of model {name:?} is not loaded, so that it can have no requests: loaded is {loaded}")]
    SplitToAbsent { name: String, version: String, loaded: String },
    /// There is nothing to go back to.
    #[error("model {name:?} has no earlier split and no earlier version to go back to")]
    NothingBefore { name: String },
}
