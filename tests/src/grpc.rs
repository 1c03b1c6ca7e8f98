//! gRPC as clients talk it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use samara_grpc::health::{HealthCheckRequest, HealthCheckResponse};
use samara_grpc::inference::infer_parameter::ParameterChoice;
use samara_grpc::inference::model_infer_request::InferInputTensor;
use samara_grpc::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::tensor::Tensor;

/// No call of any test takes as long, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The largest reply that a test asks for.
const MAX_REPLY_BYTES: usize = 256 << 20;

/// A connection.
pub struct Client {
    runtime: Runtime,
    channel: Channel,
}

/// HTTP/2 that a client of tonic's goes over.
#[derive(Clone)]
struct Channel {
    address: SocketAddr,
    sender: SendRequest<Body>,
}

// === impl Client ===

impl Client {
    /// Connects.
    #[must_use]
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        // A thread of its own, on which calls go on while nobody waits for them.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(driver);
            sender
        });
        Client { runtime, channel: Channel { address, sender } }
    }

    /// Calls a method, such as `/grpc.health.v1.Health/Check`, with a message.
    #[track_caller]
    pub fn call<M, R>(&self, method: &'static str, message: M) -> Result<R, Status>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        self.call_with(method, Request::new(message)).map(Response::into_inner)
    }

    /// Calls a method with a message and metadata.
    #[track_caller]
    pub fn call_with<M, R>(&self, method: &'static str, request: Request<M>) -> Result<Response<R>, Status>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        self.runtime.block_on(async { timeout(PATIENCE, self.channel.call(method, request)).await.expect("no reply") })
    }

    /// Calls a method, and goes on meanwhile. The call is cancelled when the task is.
    pub fn start<M, R>(&self, method: &'static str, request: Request<M>) -> JoinHandle<Result<Response<R>, Status>>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        let channel = self.channel.clone();
        self.runtime.spawn(async move { channel.call(method, request).await })
    }

    /// Waits for a call that was started.
    #[track_caller]
    pub fn join<R>(&self, call: JoinHandle<R>) -> R {
        self.runtime.block_on(async { timeout(PATIENCE, call).await.expect("no reply").unwrap() })
    }

    /// Runs a model on raw data.
    #[track_caller]
    pub fn infer(&self, model: &str, inputs: &[Tensor]) -> Result<Vec<Tensor>, Status> {
        self.call(INFER, raw(model, inputs)).map(|reply| outputs(&reply))
    }

    /// Sends messages in a stream, and reads all that comes back: replies, and how the stream ends.
    #[track_caller]
    pub fn stream(&self, messages: Vec<ModelInferRequest>) -> (Vec<ModelStreamInferResponse>, Result<(), Status>) {
        self.stream_slowly(messages, Duration::ZERO)
    }

    /// The same with a pause before each message.
    #[track_caller]
    pub fn stream_slowly(
        &self,
        messages: Vec<ModelInferRequest>,
        pause: Duration,
    ) -> (Vec<ModelStreamInferResponse>, Result<(), Status>) {
        let exchange = async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.unwrap();
            let path = STREAM_INFER.parse().unwrap();
            let codec = ProstCodec::<ModelInferRequest, ModelStreamInferResponse>::default();
            let requests = Request::new(stream::iter(messages).then(move |message| async move {
                tokio::time::sleep(pause).await;
                message
            }));
            let mut replies = match grpc.streaming(requests, path, codec).await {
                Ok(replies) => replies.into_inner(),
                Err(status) => return (Vec::new(), Err(status)),
            };
            let mut all = Vec::new();
            loop {
                match replies.message().await {
                    Ok(Some(reply)) => all.push(reply),
                    Ok(None) => return (all, Ok(())),
                    Err(status) => return (all, Err(status)),
                }
            }
        };
        self.runtime.block_on(async { timeout(PATIENCE, exchange).await.expect("no reply") })
    }
}

// === impl Client, calls that last ===

impl Client {
    /// Watches the server's health until the stream ends.
    pub fn watch(&self, request: HealthCheckRequest) -> JoinHandle<Vec<HealthCheckResponse>> {
        let mut grpc = Grpc::new(self.channel.clone());
        self.runtime.spawn(async move {
            grpc.ready().await.unwrap();
            let path = "/grpc.health.v1.Health/Watch".parse().unwrap();
            let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
            let mut statuses = grpc.server_streaming(Request::new(request), path, codec).await.unwrap().into_inner();
            let mut all = Vec::new();
            while let Some(status) = statuses.message().await.unwrap() {
                all.push(status);
            }
            all
        })
    }

    /// Sends a message in a stream, and nothing more without ending it; then waits for the end. Says how many replies there
    /// were.
    pub fn wait_in_a_stream(&self, message: ModelInferRequest) -> JoinHandle<(usize, Result<(), Status>)> {
        let mut grpc = Grpc::new(self.channel.clone());
        self.runtime.spawn(async move {
            grpc.ready().await.unwrap();
            let codec = ProstCodec::<ModelInferRequest, ModelStreamInferResponse>::default();
            let requests = Request::new(stream::iter([message]).chain(stream::pending()));
            let path = STREAM_INFER.parse().unwrap();
            let mut replies = grpc.streaming(requests, path, codec).await.unwrap().into_inner();
            let mut count = 0;
            loop {
                match replies.message().await {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => return (count, Ok(())),
                    Err(status) => return (count, Err(status)),
                }
            }
        })
    }
}

// === impl Channel ===

impl Channel {
    async fn call<M, R>(self: &Channel, method: &'static str, request: Request<M>) -> Result<Response<R>, Status>
    where
        M: Message + 'static,
        R: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.clone()).max_decoding_message_size(MAX_REPLY_BYTES);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        grpc.unary(request, method.parse().unwrap(), ProstCodec::<M, R>::default()).await
    }
}

impl tower_service::Service<hyper::Request<Body>> for Channel {
    type Response = hyper::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, mut request: hyper::Request<Body>) -> Self::Future {
        *request.uri_mut() = format!("http://{}{}", self.address, request.uri().path()).parse().unwrap();
        Box::pin(self.sender.send_request(request))
    }
}

// === requests and replies ===

/// Runs a model.
pub const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// Runs models, for one message after the other.
pub const STREAM_INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A parameter.
#[must_use]
pub fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

fn declared(model: &str, inputs: &[Tensor]) -> ModelInferRequest {
    let input = |input: &Tensor| InferInputTensor {
        name: input.name.clone(),
        datatype: input.datatype.clone(),
        shape: input.shape.iter().map(|&size| size.cast_signed()).collect(),
        ..InferInputTensor::default()
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: inputs.iter().map(input).collect(),
        ..ModelInferRequest::default()
    }
}

/// A request whose data is raw.
#[must_use]
pub fn raw(model: &str, inputs: &[Tensor]) -> ModelInferRequest {
    let raw_input_contents = inputs.iter().map(|input| input.data.clone().into()).collect();
    ModelInferRequest { raw_input_contents, ..declared(model, inputs) }
}

/// A request whose data is typed.
#[must_use]
pub fn typed(model: &str, inputs: &[Tensor]) -> ModelInferRequest {
    let mut request = declared(model, inputs);
    for (target, input) in request.inputs.iter_mut().zip(inputs) {
        target.contents = Some(contents(input));
    }
    request
}

fn contents(input: &Tensor) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    macro_rules! numbers {
        ($type:ty) => {
            input.data.as_chunks().0.iter().map(|bytes| <$type>::from_le_bytes(*bytes).into()).collect()
        };
    }
    match input.datatype.as_str() {
        "BOOL" => contents.bool_contents = input.data.iter().map(|&byte| byte == 1).collect(),
        "INT8" => contents.int_contents = numbers!(i8),
        "INT16" => contents.int_contents = numbers!(i16),
        "INT32" => contents.int_contents = numbers!(i32),
        "INT64" => contents.int64_contents = numbers!(i64),
        "UINT8" => contents.uint_contents = numbers!(u8),
        "UINT16" => contents.uint_contents = numbers!(u16),
        "UINT32" => contents.uint_contents = numbers!(u32),
        "UINT64" => contents.uint64_contents = numbers!(u64),
        "FP32" => contents.fp32_contents = numbers!(f32),
        "FP64" => contents.fp64_contents = numbers!(f64),
        "BYTES" => {
            let mut data = &input.data[..];
            while let Some((length, rest)) = data.split_first_chunk() {
                let (element, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
                contents.bytes_contents.push(element.to_vec());
                data = rest;
            }
        }
        other => panic!("{other} has no typed contents"),
    }
    contents
}

/// The outputs in a reply.
#[must_use]
#[track_caller]
pub fn outputs(reply: &ModelInferResponse) -> Vec<Tensor> {
    assert_eq!(reply.outputs.len(), reply.raw_output_contents.len());
    reply
        .outputs
        .iter()
        .zip(&reply.raw_output_contents)
        .map(|(output, data)| {
            assert_eq!(output.contents, None);
            let shape: Vec<u64> = output.shape.iter().map(|&size| u64::try_from(size).unwrap()).collect();
            Tensor::new(&output.name, &output.datatype, &shape, data.to_vec())
        })
        .collect()
}
