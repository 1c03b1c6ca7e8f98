//! Inference: one message after the other, each a request like one over HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, stream};
use hyper::http::request::Parts;
use samara_grpc::inference::{ModelInferResponse, ModelStreamInferResponse};
use samara_grpc::status::{code, name};
use samara_grpc::{request, response};
use samara_protocol::Error;
use tonic::{Code, Status, Streaming};

use super::codec::Written;
use super::{Call, Grpc};
use crate::ask::Told;
use crate::deadline;
use crate::http::Service;
use crate::message::Message;

/// Has a model run. Of a stream's deadline, `elapsed` has passed when the message comes.
pub async fn infer(
    service: &Arc<Service>,
    call: &Call,
    message: Bytes,
    elapsed: Option<Duration>,
) -> Result<Vec<u8>, Error> {
    let began = if elapsed.is_some() { Instant::now() } else { call.began };
    let head = request::head(&message)?;
    let served = service.repository.route(head.model_name, head.version(), &call.head.headers)?;
    let parameter = head.timeout.map(deadline::from_microseconds);
    let model = head.model_name.to_owned();
    let run = async |tags, head: Parts| {
        let header = deadline::of_headers(&head.headers)?;
        let header = header.map(|waits| waits.saturating_sub(elapsed.unwrap_or_default()));
        let waits = header.into_iter().chain(parameter).min();
        service.run(&served, tags, Message::Grpc(message), waits).await.map(|reply| reply.body)
    };
    service.tell(Some(served.series(&service.metrics)), began, &call.id, Some(&model), call.head.clone(), run).await
}

impl Told for Result<Vec<u8>, Error> {
    fn status(&self) -> u16 {
        self.as_ref().map_or_else(Error::status, |_| 200)
    }

    fn code(&self) -> Option<&'static str> {
        Some(name(self.as_ref().map_or_else(code, |_| Code::Ok)))
    }
}

/// Has models run, for one message after the other.
pub fn stream(
    grpc: Grpc,
    call: Call,
    messages: Streaming<Bytes>,
) -> impl Stream<Item = Result<Written, Status>> + Send {
    stream::unfold(Some((grpc, call, messages)), async |state| {
        let (grpc, call, mut messages) = state?;
        let message = tokio::select! {
            // What has come is answered first.
            biased;
            message = grpc.next_message(&mut messages) => message,
            () = super::stopping(grpc.stopping.clone()) => {
                Err(Status::unavailable("the server is about to stop: open another stream"))
            }
        };
        let message = match message {
            Ok(message) => message?,
            Err(status) => return Some((Err(status), None)),
        };
        let id = request::head(&message).map(|head| head.id.to_owned()).unwrap_or_default();
        let reply = infer(&grpc.service, &call, message, Some(call.began.elapsed())).await;
        let written = match reply {
            Ok(reply) => Written { beginning: response::streamed(reply.len()), rest: reply },
            Err(error) => Written::of(&ModelStreamInferResponse {
                error_message: error.to_string(),
                infer_response: Some(ModelInferResponse { id, ..ModelInferResponse::default() }),
            }),
        };
        Some((Ok(written), Some((grpc, call, messages))))
    })
}
