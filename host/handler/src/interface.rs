//! Which interface a component answers requests by.

use std::fmt;

use samara_artifact::Inspection;
use samara_nn::wit::provides;

use crate::LoadError;

/// The interface that a component answers requests by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `wasi:http/incoming-handler@0.2`: one call a request.
    IncomingHandler,
    /// `wasi:http/handler@0.3`: an asynchronous function.
    Handler,
}

const INCOMING_HANDLER: &str = "wasi:http/incoming-handler@0.2.";
const HANDLER: &str = "wasi:http/handler@0.3.";

/// What guests are given, as the beginnings of interfaces' names.
const GRANTED: [&str; 10] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/types@0.2.",
    "wasi:http/types@0.3.",
    "wasi:http/outgoing-handler@0.2.",
    "wasi:http/client@0.3.",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// How the names of interfaces begin that guests are given where there are graphs.
pub const NN: &str = "wasi:nn/";

// === impl Interface ===

impl Interface {
    /// The one that a component exports, whose imports have to be such that there are; `wasi:nn` is there if there are graphs.
    pub fn of(component: &Inspection, has_graphs: bool) -> Result<Interface, LoadError> {
        let exports = |prefix: &str| component.exports.iter().any(|export| export.starts_with(prefix));
        let interface = match (exports(INCOMING_HANDLER), exports(HANDLER)) {
            (true, false) => Interface::IncomingHandler,
            (false, true) => Interface::Handler,
            (true, true) => return Err(LoadError::TwoHandlers),
            (false, false) => return Err(LoadError::NoHandler { exports: component.exports.clone() }),
        };
        let granted = |import: &String| {
            GRANTED.iter().any(|prefix| import.starts_with(prefix)) || (has_graphs && provides(import))
        };
        let missing: Vec<String> = component.imports.iter().filter(|import| !granted(import)).cloned().collect();
        if missing.is_empty() { Ok(interface) } else { Err(LoadError::Imports { missing }) }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Interface::IncomingHandler => "wasi:http/incoming-handler@0.2",
            Interface::Handler => "wasi:http/handler@0.3",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(imports: &[&str], exports: &[&str]) -> Inspection {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Inspection { imports: own(imports), exports: own(exports), ..Inspection::default() }
    }

    #[test]
    fn a_component_has_one_handler() {
        let old = "wasi:http/incoming-handler@0.2.3";
        let new = "wasi:http/handler@0.3.0";
        let of = |exports: &[&str]| Interface::of(&component(&[], exports), false);
        assert_eq!(of(&[old]).unwrap(), Interface::IncomingHandler);
        assert_eq!(of(&[new, "samara:inference/model@0.1.0"]).unwrap(), Interface::Handler);
        assert!(matches!(of(&[old, new]), Err(LoadError::TwoHandlers)));
        assert!(matches!(of(&["a:b/c"]), Err(LoadError::NoHandler { .. })));
    }

    #[test]
    fn what_is_not_granted_is_listed() {
        let imports = ["wasi:io/streams@0.2.0", "wasi:nn/graph@0.2.0", "samara:inference/model@0.1.0"];
        let error = Interface::of(&component(&imports, &["wasi:http/incoming-handler@0.2.0"]), true).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("wasi:nn/graph@0.2.0") && message.contains("samara:inference/model@0.1.0"),
            "{message}"
        );
        assert!(!message.contains("wasi:io"), "{message}");
    }

    #[test]
    fn graphs_are_granted_where_there_are_any() {
        let asks = component(&["wasi:nn/graph@0.2.0-rc-2024-10-28"], &["wasi:http/incoming-handler@0.2.0"]);
        assert!(Interface::of(&asks, true).is_ok());
        let message = Interface::of(&asks, false).unwrap_err().to_string();
        assert!(message.contains("wasi:nn/graph@0.2.0-rc-2024-10-28; name the graph with --nn"), "{message}");
    }
}
