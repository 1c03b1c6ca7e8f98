//! The code that goes with each refusal.
//!
//! | what | over HTTP | over gRPC |
//! |---|---|---|
//! | the request is malformed, or does not fit the model | 400, 415 | `INVALID_ARGUMENT` |
//! | no such model or version | 404 | `NOT_FOUND` |
//! | no such method | 404, 405 | `UNIMPLEMENTED` |
//! | the message did not come in time | 408 | `DEADLINE_EXCEEDED` |
//! | the message, a tensor in it or the metadata is larger than allowed | 413, 431 | `RESOURCE_EXHAUSTED` |
//! | too many requests of this client or model | 429 | `RESOURCE_EXHAUSTED`, and when to try again |
//! | the server or the model failed | 500 | `INTERNAL` |
//! | too much to do, or no instance or memory left | 503 | `UNAVAILABLE`, and when to try again |
//! | the deadline passed | 504 | `DEADLINE_EXCEEDED` |
//!
//! When to try again is told as `google.rpc.RetryInfo` in `grpc-status-details-bin`, and as `grpc-retry-pushback-ms`.
//!
//! Sources: <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>, <https://google.aip.dev/193>, and gRPC's proposal A6 for
//! the pushback.

use prost::Message;
use samara_protocol::Error;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// gRPC's proposal A6: a client that tries again by itself waits for so many milliseconds.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The code of a refusal.
#[must_use]
pub fn code(error: &Error) -> Code {
    match error {
        Error::BadRequest(_) | Error::UnsupportedMediaType(_) => Code::InvalidArgument,
        Error::NotFound(_) => Code::NotFound,
        Error::MethodNotAllowed { .. } => Code::Unimplemented,
        Error::PayloadTooLarge(_) | Error::TensorTooLarge(_) | Error::HeadersTooLarge(_) => Code::ResourceExhausted,
        Error::TooManyRequests { .. } => Code::ResourceExhausted,
        Error::Unavailable { .. } => Code::Unavailable,
        Error::RequestTimeout(_) | Error::DeadlineExceeded(_) => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

/// The name of a code, as the specification has it.
#[must_use]
pub const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What a client is told whose request is refused.
#[must_use]
pub fn status(error: &Error) -> Status {
    let (code, message) = (code(error), error.message());
    let Some(seconds) = error.retry_after() else {
        return Status::new(code, message);
    };
    let retry = RetryInfo { retry_delay: Some(Duration { seconds: seconds.into(), nanos: 0 }) };
    let details = RpcStatus {
        code: code.into(),
        message: message.clone().into_owned(),
        details: vec![Any { type_url: RetryInfo::URL.to_owned(), value: retry.encode_to_vec() }],
    };
    let mut metadata = MetadataMap::new();
    metadata.insert(PUSHBACK, MetadataValue::from(u64::from(seconds) * 1000));
    Status::with_details_and_metadata(code, message, details.encode_to_vec().into(), metadata)
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, Copy, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Duration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl RetryInfo {
    const URL: &'static str = "type.googleapis.com/google.rpc.RetryInfo";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_try_again_is_told_when() {
        let status = status(&Error::Unavailable { message: "full".to_owned(), retry_after: 3 });
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "full"));
        assert_eq!(status.metadata().get(PUSHBACK).unwrap(), "3000");
        let details = RpcStatus::decode(status.details()).unwrap();
        assert_eq!((details.code, &*details.message), (14, "full"));
        assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        let retry = RetryInfo::decode(&*details.details[0].value).unwrap();
        assert_eq!(retry.retry_delay, Some(Duration { seconds: 3, nanos: 0 }));
    }

    #[test]
    fn others_are_told_what_is_wrong() {
        let text = || "why".to_owned();
        for (error, expected) in [
            (Error::BadRequest(text()), Code::InvalidArgument),
            (Error::NotFound(text()), Code::NotFound),
            (Error::PayloadTooLarge(text()), Code::ResourceExhausted),
            (Error::TensorTooLarge(text()), Code::ResourceExhausted),
            (Error::RequestTimeout(text()), Code::DeadlineExceeded),
            (Error::DeadlineExceeded(text()), Code::DeadlineExceeded),
            (Error::Internal(text()), Code::Internal),
        ] {
            let status = status(&error);
            assert_eq!((status.code(), status.message()), (expected, "why"));
            assert!(status.details().is_empty());
        }
    }
}
