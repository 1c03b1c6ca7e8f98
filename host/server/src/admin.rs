//! The admin listener: where models are loaded, unloaded, and their requests divided, apart from where these are taken.
//!
//! Its routes are those of Triton's
//! [model repository extension](https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md),
//! and beside them
//!
//! ```text
//! GET, PUT, POST, DELETE  /v2/repository/models/NAME/split      {"split": {"1": 90, "2": 10}}
//! POST                    /v2/repository/models/NAME/rollback
//! ```
//!
//! What asks for nothing but facts is answered as on the inference listener; inferences are not.

mod call;
mod listen;
mod route;
mod token;

pub use listen::{AdminListen, InvalidAdminListen, Listener};
pub use route::is_admin;
pub use token::Token;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use samara_protocol::{Error, Route};
use serde_json::{Map, json};
use tokio::io::{AsyncRead, AsyncWrite};

use self::call::{split, version};
use self::route::{Action, AdminRoute};
use crate::ServeError;
use crate::http::{Reply, Service, json, refuse};
use crate::repository::RepositoryError;

/// What is told of admin calls where inferences are asked for.
pub const ELSEWHERE: &str =
    "models are loaded, unloaded and split by admin calls, which have a listener of their own: see admin_listen";

/// Whether admin calls may be taken there.
///
/// # Errors
///
/// Other machines could make them, and there is no token.
pub fn check_open(listen: Option<&AdminListen>, token: Option<&Token>) -> Result<(), ServeError> {
    match listen {
        Some(listen) if token.is_none() && !listen.is_local() => Err(ServeError::OpenAdmin { listen: listen.clone() }),
        _ => Ok(()),
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Takes admin calls, until it is dropped.
pub async fn serve(listener: Listener, service: Arc<Service>) {
    loop {
        match listener.accept().await {
            Ok(listen::Stream::Tcp(stream)) => drop(tokio::spawn(hold(stream, Arc::clone(&service)))),
            Ok(listen::Stream::Unix(stream)) => drop(tokio::spawn(hold(stream, Arc::clone(&service)))),
            Err(error) => {
                tracing::warn!(%error, "a connection for an admin call was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn hold(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: Arc<Service>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(service.config().header_timeout);
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(answer(&service, request).await) }
    });
    // A client that breaks off does so at its own cost.
    let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(service: &Arc<Service>, request: Request<Incoming>) -> Reply {
    let version = request.version();
    let (head, body) = request.into_parts();
    if let Err(reply) = admit(service, &head.headers) {
        return *reply;
    }
    let reply = match AdminRoute::parse(&head.method, head.uri.path()) {
        Ok(Some(route)) => act(service, route, &head, body).await,
        Ok(None) => tell(service, &head, body).await,
        Err(error) => Err(error),
    };
    reply.unwrap_or_else(|error| refuse(&error, version))
}

/// Whether whoever calls may.
///
/// Where there is no token, whoever can connect may, but for a browser: it connects to wherever the page that it shows wants it to.
fn admit(service: &Service, headers: &HeaderMap) -> Result<(), Box<Reply>> {
    match &service.config().admin_token {
        Some(token) if token.is_in(headers) => Ok(()),
        Some(_) => {
            let mut reply =
                refused(StatusCode::UNAUTHORIZED, "admin calls need the token, as `Authorization: Bearer …`");
            reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            Err(Box::new(reply))
        }
        None if headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE) => {
            let message = "admin calls of a browser are not taken without a token: set admin_token_file";
            Err(Box::new(refused(StatusCode::FORBIDDEN, message)))
        }
        None => Ok(()),
    }
}

fn refused(status: StatusCode, message: &str) -> Reply {
    let mut reply = json(json!({ "error": message }).to_string().into_bytes());
    *reply.status_mut() = status;
    reply
}

/// What changes nothing.
async fn tell(service: &Arc<Service>, head: &Parts, body: Incoming) -> Result<Reply, Error> {
    match Route::parse(head.method.as_str(), head.uri.path())? {
        Route::RepositoryIndex => service.index(&head.headers, body).await,
        Route::Infer { .. } => {
            Err(Error::NotFound("inferences are not run here, but where the server listens for them".to_owned()))
        }
        route => service.describe(&route).map(json),
    }
}

async fn act(service: &Arc<Service>, route: AdminRoute, head: &Parts, body: Incoming) -> Result<Reply, Error> {
    let AdminRoute { name, action } = route;
    let body = service.read(&head.headers, body, None).await?;
    let service = Arc::clone(service);
    // It reads files, and may compile what it finds.
    let done = tokio::task::spawn_blocking(move || act_blocking(&service, &name, action, &body)).await;
    done.map_err(|error| Error::Internal(format!("the call was lost: {error}")))?
}

fn act_blocking(service: &Service, name: &str, action: Action, body: &[u8]) -> Result<Reply, Error> {
    let repository = &service.repository;
    match action {
        Action::Load => {
            let version = version(name, body, &[])?;
            let entries = repository.load_model(name, version.as_deref(), service).map_err(told)?;
            Ok(json(to_body(&entries)))
        }
        Action::Unload => {
            // Triton's parameter for what a model has brought with it: none does here.
            let version = version(name, body, &["unload_dependents"])?;
            let entries = repository.unload_model(name, version.as_deref()).map_err(told)?;
            Ok(json(to_body(&entries)))
        }
        Action::Split => division(service, name),
        Action::SetSplit => {
            repository.set_split(name, Some(split(body)?)).map_err(told)?;
            tracing::info!(model = name, "its requests are divided anew");
            division(service, name)
        }
        Action::ClearSplit => {
            repository.set_split(name, None).map_err(told)?;
            tracing::info!(model = name, "its requests go to the newest version");
            division(service, name)
        }
        Action::Rollback => {
            repository.roll_back(name).map_err(told)?;
            tracing::info!(model = name, "its requests are divided as before");
            division(service, name)
        }
    }
}

/// How the requests to a model are divided.
fn division(service: &Service, name: &str) -> Result<Reply, Error> {
    let division = service.repository.division(name).map_err(told)?;
    let split = division.split.map(|split| {
        split.iter().map(|(version, percentage)| (version.to_owned(), percentage.into())).collect::<Map<_, _>>()
    });
    let effective: Map<_, _> = division.effective.into_iter().map(|(version, share)| (version, share.into())).collect();
    let body = json!({ "name": name, "split": split, "effective": effective, "sticky": division.sticky });
    Ok(json(body.to_string().into_bytes()))
}

/// What a client is told of what cannot be done.
fn told(error: RepositoryError) -> Error {
    let message = error.to_string();
    match error {
        RepositoryError::UnknownModel { .. } | RepositoryError::UnknownVersion { .. } => Error::NotFound(message),
        RepositoryError::NotLoaded { .. }
        | RepositoryError::SplitToAbsent { .. }
        | RepositoryError::NothingBefore { .. } => Error::BadRequest(message),
    }
}

/// Nothing that is written here can fail to be.
pub fn to_body<T: serde::Serialize + ?Sized>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
