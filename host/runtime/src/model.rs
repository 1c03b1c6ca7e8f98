//! A loaded model.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use samara_artifact::{MODEL_INTERFACE, Manifest, ManifestError, served};
use samara_nn::Graph;
use samara_nn::wit::provides;
use samara_protocol::{InputTensor, ModelMetadata};
use wasmtime::component::{Component, InstancePre};

use crate::abi::ServedIndices;
use crate::cache::{About, CodeKey};
use crate::graph::graph_of;
use crate::guest::{self, Guest};
use crate::identity::Identity;
use crate::{Cancellation, DirtyPages, InferError, Instance, LoadError, Runtime, Shared, dirty, slots};

/// A model that instances can be made of. Cloning it is cheap.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
    /// The component's own, unless it is served as something else.
    metadata: Arc<ModelMetadata>,
    origin: CodeOrigin,
}

/// What all models share that have the same component.
pub(crate) struct Inner {
    runtime: Runtime,
    component: InstancePre<Guest>,
    exports: ServedIndices,
    metadata: Arc<ModelMetadata>,
    manifest: Option<Manifest>,
    graph: Option<Arc<Graph>>,
}

/// Where a model's machine code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOrigin {
    /// From the code cache, mapped.
    Cache,
    /// It was compiled, which took this long.
    Compiled(Duration),
}

/// How the names of the interfaces begin by which a host runs models.
const NN: &str = "wasi:nn/";

impl Model {
    /// What is known of the component in the file at `path` without its being read or its machine code mapped: what the code
    /// cache has noted of both.
    pub(crate) fn about(runtime: &Runtime, path: &Path) -> Option<About> {
        let cache = runtime.shared.cache.as_ref()?;
        let key = cache.key_of_file(&runtime.shared.engine, path, &Identity::of(path).ok()?)?;
        cache.about(&key)
    }

    pub(crate) fn from_file(runtime: &Runtime, path: &Path) -> Result<Model, LoadError> {
        let read = |reason| LoadError::Read { path: path.to_owned(), reason };
        let identity = Identity::of(path).map_err(read)?;
        let cache = runtime.shared.cache.as_ref();
        if let Some(cache) = cache
            && let Some(key) = cache.key_of_file(&runtime.shared.engine, path, &identity)
        {
            if let Some(inner) = runtime.shared.models.get(&key) {
                return Ok(Model::of(inner, CodeOrigin::Cache));
            }
            if let Some((component, Some(about))) = cache.component(&runtime.shared.engine, &key) {
                let model = Model::new(runtime, &component, Some(about), CodeOrigin::Cache, path.parent())?;
                runtime.shared.models.insert(key, &model.inner);
                return Ok(model);
            }
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let (model, key) = Model::with_key(runtime, &bytes, path.parent())?;
        drop(bytes);
        if let CodeOrigin::Compiled(_) = model.origin {
            // That takes many times the memory that its result does, and allocators keep it.
            slots::trim_heap();
        }
        if let Some(cache) = cache {
            cache.remember_file(path, identity, &key);
        }
        runtime.shared.models.insert(key, &model.inner);
        Ok(model)
    }

    fn of(inner: Arc<Inner>, origin: CodeOrigin) -> Model {
        Model { metadata: Arc::clone(&inner.metadata), inner, origin }
    }

    /// The same model under another name and version. The two share the component: its machine code is mapped once.
    #[must_use]
    pub fn served_as(&self, name: &str, version: &str) -> Model {
        let metadata = ModelMetadata { name: name.to_owned(), version: version.to_owned(), ..(*self.metadata).clone() };
        Model { inner: Arc::clone(&self.inner), metadata: Arc::new(metadata), origin: self.origin }
    }

    pub(crate) fn from_bytes(runtime: &Runtime, bytes: &[u8]) -> Result<Model, LoadError> {
        Ok(Model::with_key(runtime, bytes, None)?.0)
    }

    fn with_key(runtime: &Runtime, bytes: &[u8], directory: Option<&Path>) -> Result<(Model, CodeKey), LoadError> {
        let manifest = match Manifest::read_from(bytes) {
            Ok(manifest) => Some(manifest),
            Err(ManifestError::Missing) => None,
            Err(error) => return Err(error.into()),
        };
        let engine = &runtime.shared.engine;
        let key = CodeKey::of_content(engine, bytes);
        if let Some(inner) = runtime.shared.models.get(&key) {
            return Ok((Model::of(inner, CodeOrigin::Cache), key));
        }
        let cache = runtime.shared.cache.as_ref();
        if let Some((component, Some(about))) = cache.and_then(|cache| cache.component(engine, &key)) {
            return Ok((Model::new(runtime, &component, Some(about), CodeOrigin::Cache, directory)?, key));
        }
        let start = Instant::now();
        let served = served(bytes).unwrap_or_else(|error| {
            tracing::debug!(%error, "a component is compiled as it is");
            Cow::Borrowed(bytes)
        });
        let bytes = &*served;
        let about = manifest.map(|manifest| About { metadata: manifest.metadata(), manifest: Some(manifest) });
        let Some(cache) = cache else {
            let component = Component::new(engine, bytes).map_err(LoadError::Compile)?;
            let model = Model::new(runtime, &component, about, CodeOrigin::Compiled(start.elapsed()), directory)?;
            return Ok((model, key));
        };
        let compile = || engine.precompile_component(bytes);
        let code = match &runtime.shared.functions {
            Some(functions) => functions.during(compile),
            None => compile(),
        };
        let code = code.map_err(LoadError::Compile)?;
        let origin = CodeOrigin::Compiled(start.elapsed());
        if about.is_some() {
            cache.put(&key, &code, about.as_ref());
        }
        let component = match cache.component(engine, &key) {
            Some((component, _)) => component,
            // SAFETY: Wasmtime has serialised this just now.
            None => unsafe { Component::deserialize(engine, &code) }.map_err(LoadError::Compile)?,
        };
        let model = Model::new(runtime, &component, about, origin, directory)?;
        if model.inner.manifest.is_none() {
            let about = About { metadata: (*model.metadata).clone(), manifest: None };
            cache.put(&key, &code, Some(&about));
        }
        Ok((model, key))
    }

    fn new(
        runtime: &Runtime,
        component: &Component,
        about: Option<About>,
        origin: CodeOrigin,
        directory: Option<&Path>,
    ) -> Result<Model, LoadError> {
        let graph = match about.as_ref().and_then(|about| about.manifest.as_ref()) {
            Some(manifest) => graph_of(manifest, directory, &runtime.shared.graphs)?,
            None => None,
        };
        let imports = component.component_type();
        let mut imports = imports.imports(&runtime.shared.engine).map(|(name, _)| name);
        if let Some(import) = imports.find(|name| name.starts_with(NN) && !provides(name)) {
            return Err(LoadError::OtherNn { import: import.to_owned() });
        }
        // Of its other imports the typed export calls none: they serve the HTTP export beside it.
        let mut linker = runtime.shared.linker.clone();
        linker.define_unknown_imports_as_traps(component).map_err(LoadError::Compile)?;
        let component: InstancePre<Guest> = linker.instantiate_pre(component).map_err(LoadError::Compile)?;
        let exports = ServedIndices::new(&component)
            .map_err(|error| LoadError::MissingExport { interface: MODEL_INTERFACE, reason: format!("{error:#}") })?;
        let mut inner = Inner {
            runtime: runtime.clone(),
            component,
            exports,
            metadata: Arc::new(ModelMetadata {
                name: String::new(),
                version: String::new(),
                platform: String::new(),
                inputs: Vec::new(),
                outputs: Vec::new(),
            }),
            manifest: None,
            graph,
        };
        match about {
            Some(about) => (inner.metadata, inner.manifest) = (Arc::new(about.metadata), about.manifest),
            None => {
                inner.metadata =
                    Arc::new(inner.instantiate().and_then(|mut i| i.metadata()).map_err(LoadError::Metadata)?)
            }
        }
        Ok(Model::of(Arc::new(inner), origin))
    }

    /// What the model is, takes and gives.
    pub fn metadata(&self) -> &ModelMetadata {
        &self.metadata
    }

    /// What its component tells, if `samara compile` made it.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.inner.manifest.as_ref()
    }

    /// The graph that the host runs for it, where its manifest names one.
    pub fn graph(&self) -> Option<&Arc<Graph>> {
        self.inner.graph.as_ref()
    }

    /// Where its machine code came from.
    pub fn origin(&self) -> CodeOrigin {
        self.origin
    }

    /// Where its machine code is mapped, as addresses.
    pub fn image(&self) -> Range<usize> {
        let image = self.inner.component.component().image_range();
        image.start.addr()..image.end.addr()
    }

    /// Bytes that its machine code and memory image take when all of them are resident, and those of its graph.
    pub fn bytes(&self) -> u64 {
        let graph = self.inner.graph.as_ref().map_or(0, |graph| graph.info().bytes);
        self.image().len() as u64 + graph
    }

    /// Unmaps it, and gives back what the slots of the pool keep of it. Other clones, and instances that exist, keep it mapped
    /// until they are gone.
    pub fn unmap(self) {
        if Arc::strong_count(&self.inner) == 1 {
            slots::give_back(&self.inner.runtime.shared, &self.inner.component);
        }
    }

    /// The pages of its memory that a request on these inputs writes to, in an instance of its own; none where the system does
    /// not tell (it is Linux that does). What its slots keep for later requests is given back before.
    pub fn dirty_pages(&self, inputs: &[InputTensor<'_>]) -> Result<Option<DirtyPages>, InferError> {
        dirty::measure(&self.inner.runtime, &self.inner.component, inputs)
    }

    /// Makes a fresh instance, whose memory is as it was when the model was compiled.
    pub fn instantiate(&self) -> Result<Instance, InferError> {
        self.inner.instantiate()
    }

    /// The same, and stops it when `deadline` has passed, or when it is cancelled.
    pub fn instantiate_within(&self, deadline: Duration, cancellation: &Cancellation) -> Result<Instance, InferError> {
        self.inner.instantiate_within(deadline, cancellation)
    }
}

impl Inner {
    fn instantiate(&self) -> Result<Instance, InferError> {
        self.instantiate_within(self.runtime.shared.limits.deadline, &Cancellation::default())
    }

    fn instantiate_within(&self, deadline: Duration, cancellation: &Cancellation) -> Result<Instance, InferError> {
        let Shared { engine, limits, graphs, .. } = &*self.runtime.shared;
        let store = guest::store(engine, limits, graphs);
        let (runtime, metadata) = (self.runtime.clone(), Arc::clone(&self.metadata));
        Instance::new(runtime, metadata, store, (&self.component, &self.exports), deadline, cancellation)
    }
}
