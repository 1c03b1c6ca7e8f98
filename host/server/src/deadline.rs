//! How long a client waits, where it says so.
//!
//! In a header: `grpc-timeout`, of [gRPC's protocol](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), which
//! gateways from HTTP to gRPC take too, or `x-envoy-expected-rq-timeout-ms`, which
//! [Envoy](https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter) sends, and with it Istio
//! and KServe. In the body: the parameter `timeout`, in microseconds, of Triton's schedule policy extension.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use samara_protocol::Error;

use crate::message::INFERENCE_HEADER_CONTENT_LENGTH;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const ENVOY_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// How much of a body is looked at before its turn. The parameter of a larger one is met when that is decoded.
const LOOKED_AT_BYTES: usize = 64 << 10;

/// What the headers say: the least, if there are several.
///
/// # Errors
///
/// A header is none of its kind.
pub fn of_headers(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let read = |name: &HeaderName, parse: fn(&str) -> Option<Duration>, expected: &str| match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().ok().and_then(|text| parse(text.trim())).map(Some).ok_or_else(|| {
            let found = String::from_utf8_lossy(value.as_bytes());
            Error::BadRequest(format!("the header {name} is {found:?}, expected {expected}"))
        }),
    };
    let grpc = read(&GRPC_TIMEOUT, grpc_timeout, "a number of up to 8 digits and a unit, one of H, M, S, m, u and n")?;
    let envoy = read(&ENVOY_TIMEOUT_MS, milliseconds, "a number of milliseconds")?;
    Ok(grpc.into_iter().chain(envoy).min())
}

/// What the parameter of a body says, as far as it can be told at little cost.
pub fn of_body(headers: &HeaderMap, body: &[u8]) -> Option<Duration> {
    let header_length = headers.get(INFERENCE_HEADER_CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let json = match header_length {
        None => body.len(),
        Some(length) => length.trim().parse().ok()?,
    };
    if json > LOOKED_AT_BYTES.min(body.len()) {
        return None;
    }
    memchr::memmem::find(&body[..json], b"\"timeout\"")?;
    samara_protocol::timeout(header_length, body).map(from_microseconds)
}

/// The time of the parameter `timeout`. What is less than zero has passed, as zero has.
pub fn from_microseconds(timeout: i64) -> Duration {
    Duration::from_micros(u64::try_from(timeout).unwrap_or(0))
}

fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number = number(digits)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn milliseconds(text: &str) -> Option<Duration> {
    number(text).map(Duration::from_millis)
}

/// Digits only: `str::parse` would let a sign pass.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Result<Option<Duration>, Error> {
        let pairs =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        of_headers(&pairs.collect())
    }

    #[test]
    fn headers_of_grpc_and_envoy_are_read() {
        for (value, wanted) in [("0S", 0), ("2M", 120_000), ("1H", 3_600_000), ("99999999m", 99_999_999), ("5000u", 5)]
        {
            assert_eq!(of(&[("grpc-timeout", value)]).unwrap(), Some(Duration::from_millis(wanted)), "{value}");
        }
        assert_eq!(of(&[("x-envoy-expected-rq-timeout-ms", "15")]).unwrap(), Some(Duration::from_millis(15)));
        let both = [("x-envoy-expected-rq-timeout-ms", "15"), ("grpc-timeout", "3m")];
        assert_eq!(of(&both).unwrap(), Some(Duration::from_millis(3)));
        assert_eq!(of(&[]).unwrap(), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for value in ["", "m", "5", "-5m", "5s", "123456789m", "1.5S", "+5m"] {
            assert!(matches!(of(&[("grpc-timeout", value)]), Err(Error::BadRequest(_))), "{value}");
        }
        for value in ["", "-1", "soon", "99999999999999999999"] {
            assert!(matches!(of(&[("x-envoy-expected-rq-timeout-ms", value)]), Err(Error::BadRequest(_))), "{value}");
        }
    }

    #[test]
    fn the_parameter_of_a_body_is_read_in_microseconds() {
        let of = |body: &[u8]| of_body(&HeaderMap::new(), body);
        let body = br#"{"inputs": [], "parameters": {"timeout": 1500, "other": "x"}}"#;
        assert_eq!(of(body), Some(Duration::from_micros(1500)));
        assert_eq!(of(br#"{"parameters": {"timeout": -1}}"#), Some(Duration::ZERO));
        assert_eq!(of(br#"{"inputs": [{"name": "\"timeout\""}]}"#), None);
        assert_eq!(of(b"no request with a \"timeout\""), None);
        let mut headers = HeaderMap::new();
        headers.insert(INFERENCE_HEADER_CONTENT_LENGTH, HeaderValue::from(body.len()));
        let with_data = [&body[..], &[0; 100]].concat();
        assert_eq!(of_body(&headers, &with_data), Some(Duration::from_micros(1500)));
        headers.insert(INFERENCE_HEADER_CONTENT_LENGTH, HeaderValue::from(u64::MAX));
        assert_eq!(of_body(&headers, &with_data), None);
    }
}
