//! The functions that a server serves, by route.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use samara_admission::LaneId;
use samara_handler::Handler;
use samara_telemetry::{Series, Subject};

use crate::statistics::ModelCounters;
use crate::{ServeError, Terms};

/// The functions that a server serves, by route.
#[derive(Default)]
pub struct Functions {
    /// The most specific route first.
    routes: Vec<Arc<Function>>,
}

/// A function, and what has happened to it.
pub struct Function {
    /// Where it is served.
    pub route: FunctionRoute,
    /// What it is called in the log.
    pub name: String,
    /// The component.
    pub handler: Handler,
    pub(crate) terms: ArcSwap<Terms>,
    /// Where its requests wait; set when the server starts.
    pub(crate) lane: OnceLock<LaneId>,
    /// What is measured of its requests; set when the server starts.
    pub(crate) series: OnceLock<Series>,
    pub(crate) counters: ModelCounters,
}

/// Paths that a function answers: `/classify` is that path alone, `/classify/...` is it with everything below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRoute {
    path: String,
    below: bool,
}

/// Why a route is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the route {0:?} is none: expected a path such as /classify, or /classify/... for everything below it too")]
pub struct InvalidRoute(String);

// === impl Functions ===

impl Functions {
    /// Adds a function, with what holds for it alone.
    ///
    /// # Errors
    ///
    /// Another one has the same route.
    pub fn add(&mut self, route: FunctionRoute, name: &str, handler: Handler, terms: Terms) -> Result<(), ServeError> {
        if let Some(first) = self.routes.iter().find(|function| function.route == route) {
            let (first, second) = (first.name.clone(), name.to_owned());
            return Err(ServeError::DuplicateRoute { route, first, second });
        }
        let terms = ArcSwap::from_pointee(terms);
        let (lane, series, counters) = Default::default();
        let function = Function { route, name: name.to_owned(), handler, terms, lane, series, counters };
        self.routes.push(Arc::new(function));
        self.routes.sort_by_key(|function| {
            let FunctionRoute { path, below } = &function.route;
            (std::cmp::Reverse(path.len()), *below)
        });
        Ok(())
    }

    /// All functions.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.routes.iter()
    }

    /// The function that answers a path.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<Function>> {
        self.routes.iter().find(|function| function.route.matches(path))
    }
}

// === impl Function ===

impl Function {
    /// What it is in metrics.
    pub(crate) fn subject(&self) -> Subject {
        Subject::Function(self.name.clone())
    }
}

// === impl FunctionRoute ===

impl FunctionRoute {
    /// The path, without what says that everything below it is served too.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn matches(&self, path: &str) -> bool {
        match path.strip_prefix(&self.path) {
            Some("") => true,
            Some(rest) => self.below && (rest.starts_with('/') || self.path.ends_with('/')),
            None => false,
        }
    }
}

impl FromStr for FunctionRoute {
    type Err = InvalidRoute;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, below) = match text.strip_suffix("/...") {
            Some("") => ("/", true),
            Some(path) => (path, true),
            None => (text, false),
        };
        let is_path = path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#'));
        if is_path { Ok(FunctionRoute { path: path.to_owned(), below }) } else { Err(InvalidRoute(text.to_owned())) }
    }
}

impl fmt::Display for FunctionRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.path, self.below) {
            ("/", true) => f.write_str("/..."),
            (path, true) => write!(f, "{path}/..."),
            (path, false) => f.write_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> FunctionRoute {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn routes_come_back() {
        for text in ["/", "/...", "/classify", "/a/b/..."] {
            assert_eq!(route(text).to_string(), text);
        }
        for text in ["", "classify", "/a?b", "/a b", "...", "/a#b"] {
            assert!(text.parse::<FunctionRoute>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_route_is_a_path_or_all_below_it() {
        for (text, path, wanted) in [
            ("/classify", "/classify", true),
            ("/classify", "/classify/", false),
            ("/classify", "/classifyx", false),
            ("/classify/...", "/classify", true),
            ("/classify/...", "/classify/a/b", true),
            ("/classify/...", "/classifyx", false),
            ("/...", "/", true),
            ("/...", "/anything", true),
            ("/", "/anything", false),
        ] {
            assert_eq!(route(text).matches(path), wanted, "{text} {path}");
        }
    }
}
