//! What a request line asks for.

use std::borrow::Cow;

use crate::Error;
use crate::excerpt::excerpt;

/// `v2/models/{name}/versions/{version}/{action}`.
const MAX_SEGMENTS: usize = 6;

/// What a request asks for, from its method and path.
///
/// Names and versions are percent-decoded. `version` is `None` where the path leaves it to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `GET /v2`: see [`crate::repository::server_metadata`].
    Server,
    /// `GET /v2/health/live`: see [`crate::repository::health`].
    Live,
    /// `GET /v2/health/ready`: see [`crate::repository::health`].
    Ready,
    /// `GET /v2/models/{name}[/versions/{version}]`: see [`crate::repository::model_metadata`].
    Model {
        /// The model's name.
        name: Cow<'a, str>,
        /// The version asked for.
        version: Option<Cow<'a, str>>,
    },
    /// `GET /v2/models/{name}[/versions/{version}]/ready`: see [`crate::repository::model_ready`].
    ModelReady {
        /// The model's name.
        name: Cow<'a, str>,
        /// The version asked for.
        version: Option<Cow<'a, str>>,
    },
    /// `GET /v2/models/{name}[/versions/{version}]/config`: see [`crate::repository::model_config`].
    ModelConfig {
        /// The model's name.
        name: Cow<'a, str>,
        /// The version asked for.
        version: Option<Cow<'a, str>>,
    },
    /// `GET /v2/models/{name}[/versions/{version}]/stats`: see [`crate::repository::statistics`].
    ModelStats {
        /// The model's name.
        name: Cow<'a, str>,
        /// The version asked for.
        version: Option<Cow<'a, str>>,
    },
    /// `GET /v2/models/stats`: the statistics of every model.
    AllStats,
    /// `POST /v2/models/{name}[/versions/{version}]/infer`: see [`crate::decode`].
    Infer {
        /// The model's name.
        name: Cow<'a, str>,
        /// The version asked for.
        version: Option<Cow<'a, str>>,
    },
    /// `POST /v2/repository/index`: see [`crate::repository::index`].
    RepositoryIndex,
}

impl<'a> Route<'a> {
    /// Finds the route of a method and a path such as `/v2/models/m/infer?x=y`; a query is ignored.
    ///
    /// `/v2/models/stats` is [`Route::AllStats`], so a model of that name shows its metadata only under a
    /// version.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a path that the protocol does not have, [`Error::MethodNotAllowed`] for a
    /// known path with another method (`HEAD` is taken as `GET`), and [`Error::BadRequest`] for a name
    /// whose percent-encoding is broken or not UTF-8.
    pub fn parse(method: &str, path: &'a str) -> Result<Self, Error> {
        let target = path.split(['?', '#']).next().unwrap_or_default();
        let unknown = || Error::NotFound(format!("no such path: {}", excerpt(target)));
        let mut segments = [""; MAX_SEGMENTS];
        let mut count = 0;
        let trimmed = target.strip_prefix('/').ok_or_else(unknown)?;
        for segment in trimmed.strip_suffix('/').unwrap_or(trimmed).split('/') {
            *segments.get_mut(count).ok_or_else(unknown)? = segment;
            count += 1;
        }
        let route = match segments.get(..count).unwrap_or_default() {
            ["v2"] => Self::Server,
            ["v2", "health", "live"] => Self::Live,
            ["v2", "health", "ready"] => Self::Ready,
            ["v2", "repository", "index"] => Self::RepositoryIndex,
            ["v2", "models", "stats"] => Self::AllStats,
            ["v2", "models", name] => Self::of_model(name, None, "").ok_or_else(unknown)??,
            ["v2", "models", name, "versions", version] => {
                Self::of_model(name, Some(version), "").ok_or_else(unknown)??
            }
            ["v2", "models", name, action] => Self::of_model(name, None, action).ok_or_else(unknown)??,
            ["v2", "models", name, "versions", version, action] => {
                Self::of_model(name, Some(version), action).ok_or_else(unknown)??
            }
            _ => return Err(unknown()),
        };
        let allow = route.allow();
        if allow.split(", ").any(|allowed| allowed == method) {
            Ok(route)
        } else {
            Err(Error::MethodNotAllowed { allow })
        }
    }

    /// The route of a model, or `None` where there is no such action or the name or version is empty.
    fn of_model(name: &'a str, version: Option<&'a str>, action: &str) -> Option<Result<Self, Error>> {
        let make: fn(Cow<'a, str>, Option<Cow<'a, str>>) -> Self = match action {
            "" => |name, version| Self::Model { name, version },
            "ready" => |name, version| Self::ModelReady { name, version },
            "config" => |name, version| Self::ModelConfig { name, version },
            "stats" => |name, version| Self::ModelStats { name, version },
            "infer" => |name, version| Self::Infer { name, version },
            _ => return None,
        };
        if name.is_empty() || version == Some("") {
            return None;
        }
        let decoded = percent_decode(name).and_then(|name| Ok(make(name, version.map(percent_decode).transpose()?)));
        Some(decoded)
    }

    const fn allow(&self) -> &'static str {
        match self {
            Self::Infer { .. } | Self::RepositoryIndex => "POST",
            _ => "GET, HEAD",
        }
    }
}

fn percent_decode(segment: &str) -> Result<Cow<'_, str>, Error> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    let broken = || Error::BadRequest(format!("`{}` in the path is not percent-encoded UTF-8", excerpt(segment)));
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let high = bytes.next().and_then(hex_digit).ok_or_else(broken)?;
            let low = bytes.next().and_then(hex_digit).ok_or_else(broken)?;
            high << 4 | low
        } else {
            byte
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| broken())
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
