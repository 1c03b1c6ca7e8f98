use std::borrow::Cow;

use super::Route;
use crate::Error;

fn get(path: &str) -> Route<'_> {
    Route::parse("GET", path).unwrap()
}

#[test]
fn finds_the_routes_of_the_server() {
    assert_eq!(get("/v2"), Route::Server);
    assert_eq!(get("/v2/"), Route::Server);
    assert_eq!(get("/v2?verbose=1"), Route::Server);
    assert_eq!(get("/v2/health/live"), Route::Live);
    assert_eq!(get("/v2/health/ready"), Route::Ready);
    assert_eq!(get("/v2/models/stats"), Route::AllStats);
    assert_eq!(Route::parse("POST", "/v2/repository/index"), Ok(Route::RepositoryIndex));
}

#[test]
fn finds_the_routes_of_a_model_with_and_without_a_version() {
    let name = Cow::Borrowed("m");
    for (infix, version) in [("", None), ("/versions/2", Some(Cow::Borrowed("2")))] {
        let path = |action: &str| format!("/v2/models/m{infix}{action}");
        let (name, version) = (name.clone(), version.clone());
        assert_eq!(get(&path("")), Route::Model { name: name.clone(), version: version.clone() });
        assert_eq!(get(&path("/ready")), Route::ModelReady { name: name.clone(), version: version.clone() });
        assert_eq!(get(&path("/config")), Route::ModelConfig { name: name.clone(), version: version.clone() });
        assert_eq!(get(&path("/stats")), Route::ModelStats { name: name.clone(), version: version.clone() });
        assert_eq!(Route::parse("POST", &path("/infer?trace=1")), Ok(Route::Infer { name, version }));
    }
}

#[test]
fn names_are_percent_decoded() {
    let Route::Model { name, version } = get("/v2/models/a%2Fb%20%C3%A9/versions/%31") else {
        panic!("not a model's route");
    };
    assert_eq!((name.as_ref(), version.as_deref()), ("a/b é", Some("1")));
}

#[test]
fn broken_percent_encoding_is_a_bad_request() {
    for path in ["/v2/models/a%2", "/v2/models/%zz", "/v2/models/%ff/ready"] {
        let error = Route::parse("GET", path).unwrap_err();
        assert_eq!(error.status(), 400, "{path}");
        assert!(error.message().contains("percent-encoded"), "{error}");
    }
}

#[test]
fn unknown_paths_are_not_found_and_named() {
    for path in [
        "",
        "/",
        "v2",
        "/v1/models",
        "/v2/models",
        "/v2/models/",
        "/v2//",
        "/v2/models//infer",
        "/v2/models/m/versions",
        "/v2/models/m/versions//infer",
        "/v2/models/m/predict",
        "/v2/models/m/versions/1/infer/x",
        "/v2/health",
        "/v2/repository/models/m/load",
        "/V2",
    ] {
        let error = Route::parse("GET", path).unwrap_err();
        assert_eq!(error.status(), 404, "{path}");
        assert!(error.message().contains(path), "{error}");
    }
}

#[test]
fn a_wrong_method_says_which_is_right() {
    for (method, path, allow) in [
        ("GET", "/v2/models/m/infer", "POST"),
        ("HEAD", "/v2/models/m/infer", "POST"),
        ("GET", "/v2/repository/index", "POST"),
        ("POST", "/v2", "GET, HEAD"),
        ("DELETE", "/v2/models/m/ready", "GET, HEAD"),
        ("get", "/v2", "GET, HEAD"),
        ("GET,", "/v2", "GET, HEAD"),
    ] {
        assert_eq!(Route::parse(method, path), Err(Error::MethodNotAllowed { allow }), "{method} {path}");
    }
}

#[test]
fn head_is_taken_as_get() {
    assert_eq!(Route::parse("HEAD", "/v2/health/live"), Ok(Route::Live));
}
