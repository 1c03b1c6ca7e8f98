//! What an admin call asks for.

use hyper::Method;
use percent_encoding::percent_decode_str;
use samara_protocol::Error;

/// The path below which admin calls are.
const MODELS: &str = "/v2/repository/models/";

/// What an admin call asks for, of a model.
#[derive(Debug, PartialEq, Eq)]
pub struct AdminRoute {
    pub name: String,
    pub action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Load,
    Unload,
    Split,
    SetSplit,
    ClearSplit,
    Rollback,
}

/// Whether a path is one of admin calls.
pub fn is_admin(path: &str) -> bool {
    path.starts_with(MODELS)
}

impl AdminRoute {
    /// Finds the route of a method and a path; `None` for a path that is no admin call's.
    pub fn parse(method: &Method, path: &str) -> Result<Option<AdminRoute>, Error> {
        let Some(rest) = path.strip_prefix(MODELS) else { return Ok(None) };
        let unknown = || Error::NotFound(format!("no such path: {path}"));
        let (name, action) = rest.strip_suffix('/').unwrap_or(rest).split_once('/').ok_or_else(unknown)?;
        let post = |action| if *method == Method::POST { Ok(action) } else { Err("POST") };
        let action = match action {
            "load" => post(Action::Load),
            "unload" => post(Action::Unload),
            "rollback" => post(Action::Rollback),
            "split" => match *method {
                Method::GET | Method::HEAD => Ok(Action::Split),
                Method::PUT | Method::POST => Ok(Action::SetSplit),
                Method::DELETE => Ok(Action::ClearSplit),
                _ => Err("GET, HEAD, PUT, POST, DELETE"),
            },
            _ => return Err(unknown()),
        };
        let action = action.map_err(|allow| Error::MethodNotAllowed { allow })?;
        let name = percent_decode_str(name).decode_utf8();
        let name = name.map_err(|_| Error::BadRequest("the model's name in the path is not UTF-8".to_owned()))?;
        if name.is_empty() { Err(unknown()) } else { Ok(Some(AdminRoute { name: name.into_owned(), action })) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_by_its_method_and_path() {
        let found = |method: Method, path: &str| AdminRoute::parse(&method, path).unwrap();
        let route = |name: &str, action| Some(AdminRoute { name: name.to_owned(), action });
        assert_eq!(found(Method::POST, "/v2/repository/models/m/load"), route("m", Action::Load));
        assert_eq!(found(Method::POST, "/v2/repository/models/a%20b%2Fc/unload/"), route("a b/c", Action::Unload));
        assert_eq!(found(Method::GET, "/v2/repository/models/m/split"), route("m", Action::Split));
        assert_eq!(found(Method::PUT, "/v2/repository/models/m/split"), route("m", Action::SetSplit));
        assert_eq!(found(Method::DELETE, "/v2/repository/models/m/split"), route("m", Action::ClearSplit));
        assert_eq!(found(Method::POST, "/v2/repository/index"), None);
        let refused = |method: Method, path: &str| AdminRoute::parse(&method, path).unwrap_err().status();
        assert_eq!(refused(Method::GET, "/v2/repository/models/m/load"), 405);
        assert_eq!(refused(Method::PATCH, "/v2/repository/models/m/split"), 405);
        for path in ["m", "m/frob", "/load", "m/load/x"] {
            assert_eq!(refused(Method::POST, &format!("{MODELS}{path}")), 404, "{path}");
        }
        assert_eq!(refused(Method::POST, "/v2/repository/models/%ff/load"), 400);
    }
}
