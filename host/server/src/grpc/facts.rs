//! What is answered from facts: health in the protocol's words, metadata, configuration, statistics, the index.

use prost::Message;
use samara_grpc::inference::repository_index_response::ModelIndex;
use samara_grpc::inference::{
    ModelConfigRequest, ModelMetadataRequest, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveResponse, ServerMetadataResponse, ServerReadyResponse,
};
use samara_grpc::status::status;
use samara_protocol::Error;
use tonic::Status;

use crate::admin;
use crate::graphs::Described;
use crate::http::{EXTENSIONS, NAME, Service, VERSION};
use crate::repository::State;

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    ServerLive,
    ServerReady,
    ServerMetadata,
    ModelReady,
    ModelMetadata,
    ModelConfig,
    ModelStatistics,
    RepositoryIndex,
    /// `RepositoryModelLoad` and `RepositoryModelUnload`, which ask for a change and are refused.
    Change,
}

impl Fact {
    /// The one that a method of the protocol asks for.
    pub fn named(method: &str) -> Option<Fact> {
        Some(match method {
            "ServerLive" => Fact::ServerLive,
            "ServerReady" => Fact::ServerReady,
            "ServerMetadata" => Fact::ServerMetadata,
            "ModelReady" => Fact::ModelReady,
            "ModelMetadata" => Fact::ModelMetadata,
            "ModelConfig" => Fact::ModelConfig,
            "ModelStatistics" => Fact::ModelStatistics,
            "RepositoryIndex" => Fact::RepositoryIndex,
            "RepositoryModelLoad" | "RepositoryModelUnload" => Fact::Change,
            _ => return None,
        })
    }
}

/// Answers what is asked for.
pub fn tell(service: &Service, fact: Fact, message: &[u8]) -> Result<Vec<u8>, Status> {
    let find =
        |name: &str, version: &str| service.repository.find(name, given(version)).map_err(|error| status(&error));
    Ok(match fact {
        Fact::ServerLive => ServerLiveResponse { live: true }.encode_to_vec(),
        Fact::ServerReady => ServerReadyResponse { ready: true }.encode_to_vec(),
        Fact::ServerMetadata => ServerMetadataResponse {
            name: NAME.to_owned(),
            version: VERSION.to_owned(),
            extensions: EXTENSIONS.concat().into_iter().map(str::to_owned).collect(),
        }
        .encode_to_vec(),
        Fact::ModelReady => {
            let ModelReadyRequest { name, version } = read(message)?;
            // As Triton does: a model that there is not is not ready, and no error.
            ModelReadyResponse { ready: find(&name, &version).is_ok() }.encode_to_vec()
        }
        Fact::ModelMetadata => {
            let ModelMetadataRequest { name, version } = read(message)?;
            let served = find(&name, &version)?;
            let versions = match given(&version) {
                Some(_) => vec![served.clone()],
                None => service.repository.versions(&name).map_err(|error| status(&error))?,
            };
            let versions: Vec<_> = versions.iter().map(|served| &*served.metadata().version).collect();
            let graph = served.model.graph().map(|graph| Described::new(graph));
            let graph = graph.as_ref().map(Described::metadata);
            samara_grpc::model_metadata(served.metadata(), &versions, graph.as_ref(), served.dynamic_batching())
                .encode_to_vec()
        }
        Fact::ModelConfig => {
            let ModelConfigRequest { name, version } = read(message)?;
            let served = find(&name, &version)?;
            samara_grpc::model_config(served.metadata(), served.dynamic_batching()).encode_to_vec()
        }
        Fact::ModelStatistics => {
            let ModelStatisticsRequest { name, version } = read(message)?;
            let all = name.is_empty();
            let models = if all {
                service.repository.models()
            } else if version.is_empty() {
                service.repository.versions(&name).map_err(|error| status(&error))?
            } else {
                vec![find(&name, &version)?]
            };
            let batches: Vec<_> = models.iter().map(|served| served.counters.batches.read()).collect();
            let rows: Vec<_> = models
                .iter()
                .zip(&batches)
                .map(|(served, batches)| {
                    let metadata = served.metadata();
                    served.counters.read(&metadata.name, &metadata.version, batches, &[])
                })
                .collect();
            samara_grpc::statistics(&rows).encode_to_vec()
        }
        Fact::RepositoryIndex => {
            let RepositoryIndexRequest { ready, .. } = read(message)?;
            let catalog = service.repository.catalog();
            let wanted = catalog.index().iter().filter(|entry| !ready || entry.state == State::Ready);
            let rows = wanted.map(|entry| ModelIndex {
                name: entry.name.clone(),
                version: entry.version.clone(),
                state: entry.state.name().to_owned(),
                reason: entry.reason.clone(),
            });
            RepositoryIndexResponse { models: rows.collect() }.encode_to_vec()
        }
        Fact::Change => {
            return Err(Status::permission_denied(admin::ELSEWHERE));
        }
    })
}

fn given(version: &str) -> Option<&str> {
    Some(version).filter(|version| !version.is_empty())
}

/// Reads a message.
fn read<M: Message + Default>(message: &[u8]) -> Result<M, Status> {
    M::decode(message)
        .map_err(|error| status(&Error::BadRequest(format!("the message is none of this method: {error}"))))
}
