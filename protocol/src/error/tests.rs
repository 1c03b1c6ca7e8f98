use super::Error;

#[test]
fn the_body_is_an_object_with_the_message() {
    let error = Error::BadRequest("input `\"x\"`: bad".into());
    assert_eq!(error.status(), 400);
    assert_eq!(error.body(), br#"{"error":"input `\"x\"`: bad"}"#);
}

#[test]
fn a_refused_method_says_which_are_allowed() {
    let error = Error::MethodNotAllowed { allow: "POST" };
    assert_eq!(error.status(), 405);
    assert_eq!(error.allow(), Some("POST"));
    assert!(error.message().contains("POST"));
}

#[test]
fn overload_says_when_to_try_again() {
    let message = "the queue is full".to_owned();
    let error = Error::Unavailable { message: message.clone(), retry_after: 3 };
    assert_eq!((error.status(), error.retry_after()), (503, Some(3)));
    let error = Error::TooManyRequests { message, retry_after: 1 };
    assert_eq!((error.status(), error.retry_after()), (429, Some(1)));
    assert_eq!(Error::DeadlineExceeded(String::new()).retry_after(), None);
}
