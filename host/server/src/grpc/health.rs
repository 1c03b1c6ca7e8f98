//! gRPC's standard health service, `grpc.health.v1`.
//!
//! Source: <https://grpc.io/docs/guides/health-checking/>

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use prost::Message;
use samara_grpc::health::health_check_response::ServingStatus;
use samara_grpc::health::{HealthCheckRequest, HealthCheckResponse};
use tonic::{Status, Streaming};

use super::Grpc;
use super::codec::Written;

/// The protocol's service.
pub const INFERENCE: &str = "inference.GRPCInferenceService";

/// This service.
pub const HEALTH: &str = "grpc.health.v1.Health";

/// How a service is: the server as a whole where it has no name.
pub fn check(message: &[u8], stopping: bool) -> Result<Vec<u8>, Status> {
    match serving(message, stopping)? {
        ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
        status => Ok(HealthCheckResponse { status: status.into() }.encode_to_vec()),
    }
}

/// How a service is, and that it serves no more once the server is about to stop.
pub async fn watch(
    grpc: Grpc,
    mut messages: Streaming<Bytes>,
) -> Result<impl Stream<Item = Result<Written, Status>> + Send, Status> {
    let message = grpc.message(&mut messages).await?;
    let mut stopping = grpc.stopping.clone();
    let now = serving(&message, *stopping.borrow())?;
    let later = stream::once(async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
        match now {
            ServingStatus::Serving => ServingStatus::NotServing,
            unchanged => unchanged,
        }
    });
    let statuses = stream::iter([now]).chain(later);
    Ok(statuses.map(|status| Ok(Written::of(&HealthCheckResponse { status: status.into() }))))
}

fn serving(message: &[u8], stopping: bool) -> Result<ServingStatus, Status> {
    let HealthCheckRequest { service } = HealthCheckRequest::decode(message)
        .map_err(|error| Status::invalid_argument(format!("the message is no HealthCheckRequest: {error}")))?;
    Ok(match &*service {
        "" | INFERENCE | HEALTH if stopping => ServingStatus::NotServing,
        "" | INFERENCE | HEALTH => ServingStatus::Serving,
        _ => ServingStatus::ServiceUnknown,
    })
}
