//! The threads that run inferences, and the queue before them.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use flume::{Receiver, Sender, TrySendError};
use samara_protocol::Error;
use samara_runtime::Instance;
use tokio::runtime::Handle;

use crate::Config;
use crate::function_call::Call;
use crate::inference::{Job, Outcome, Places, Shop};
use crate::repository::Served;
use crate::statistics::ModelLimit;

/// When a client that was refused may try again, in seconds.
const RETRY_AFTER: u32 = 1;

/// The threads that run inferences, and the queue before them.
pub struct Workers {
    queue: Option<Sender<Work>>,
    capacity: usize,
    threads: Vec<JoinHandle<()>>,
}

/// What a worker does.
pub enum Work {
    Infer(Job),
    Call(Box<Call>),
}

impl Workers {
    /// Starts the workers. Functions that wait do so in the runtime that this is called in.
    pub fn start(config: &Config) -> io::Result<Workers> {
        let (queue, jobs) = flume::bounded(config.queue.max(1));
        let places = Arc::new(Places::new(config.instances));
        let threads = (0..config.workers.get())
            .map(|index| {
                let shop = Shop { retry_after: RETRY_AFTER, places: Arc::clone(&places) };
                let worker = Worker { jobs: jobs.clone(), shop, network: Handle::current() };
                thread::Builder::new().name(format!("samara-worker-{index}")).spawn(move || worker.run())
            })
            .collect::<io::Result<_>>()?;
        Ok(Workers { queue: Some(queue), capacity: config.queue.max(1), threads })
    }

    /// Puts an inference or a call into the queue, unless that is full.
    pub fn submit(&self, work: Work) -> Result<(), Error> {
        let stopping = || Error::Unavailable { message: "the server is stopping".to_owned(), retry_after: RETRY_AFTER };
        let queue = self.queue.as_ref().ok_or_else(stopping)?;
        queue.try_send(work).map_err(|refused| match refused {
            TrySendError::Full(work) => {
                let counters = match &work {
                    Work::Infer(job) => &job.served.counters,
                    Work::Call(call) => &call.function.counters,
                };
                counters.hit(ModelLimit::Queue);
                Error::Unavailable {
                    message: format!("overloaded: {} inferences are waiting already", self.capacity),
                    retry_after: RETRY_AFTER,
                }
            }
            TrySendError::Disconnected(_) => stopping(),
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Without a sender, the workers end when the queue is empty.
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A worker catches panics, so there is nothing to learn here.
            let _ = thread.join();
        }
    }
}

struct Worker {
    jobs: Receiver<Work>,
    shop: Shop,
    network: Handle,
}

impl Worker {
    fn run(self) {
        let mut ready: Option<(Arc<Served>, Instance)> = None;
        while let Ok(work) = self.jobs.recv() {
            let job = match work {
                Work::Infer(job) => job,
                Work::Call(call) => {
                    let name = call.function.name.clone();
                    let call = AssertUnwindSafe(|| call.run(&self.network, &self.shop));
                    if std::panic::catch_unwind(call).is_err() {
                        tracing::error!(function = name, "a worker panicked");
                    }
                    continue;
                }
            };
            let served = Arc::clone(&job.served);
            // An instance of another model would only hold a slot that this one may need.
            let instance = ready.take().filter(|(model, _)| Arc::ptr_eq(model, &served)).map(|(_, instance)| instance);
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(instance, &self.shop)));
            match outcome {
                Ok(Outcome::Done(instance)) => {
                    // The reply is on its way. This resets the slot.
                    drop(instance);
                    if self.jobs.is_empty() {
                        ready = served.model.instantiate().ok().map(|instance| (served, instance));
                    }
                }
                Ok(Outcome::Abandoned(instance)) => ready = instance.map(|instance| (served, instance)),
                // The reply's other end notices that nothing will come.
                Err(_) => tracing::error!(model = served.model.metadata().name, "a worker panicked"),
            }
        }
    }
}
