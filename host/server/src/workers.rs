//! The threads that run inferences and calls, in the order that admission gives.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use samara_admission::{Admission, LaneId, NodeLimits, Refusal, Submitted, Ticket};
use samara_telemetry::Stage;
use tokio::runtime::Handle;

use crate::Config;
use crate::batch::{self, Ended};
use crate::function_call::Call;
use crate::inference::{Counted, Job, Outcome};
use crate::places::Places;
use crate::ready::{Place, Ready};
use crate::repository::Served;
use crate::residency::Lease;

/// When a client that found no memory or no instance may try again, in seconds.
pub const RETRY_AFTER: u32 = 1;

/// The threads that run inferences and calls, and what waits for them.
pub struct Workers {
    pub admission: Arc<Admission<Work>>,
    /// The instances that are ready.
    pub ready: Ready,
    threads: Vec<JoinHandle<()>>,
}

/// What a worker does.
pub enum Work {
    Infer(Box<Job>),
    Call(Box<Call>),
}

/// What every worker has.
pub struct Context {
    pub places: Arc<Places>,
    /// Where functions wait.
    network: Handle,
}

// === impl Workers ===

impl Workers {
    /// Starts the workers. Functions that wait do so in the runtime that this is called in.
    pub fn start(config: &Config) -> io::Result<Workers> {
        let limits = NodeLimits { workers: config.workers, queue: config.queue };
        let admission = Arc::new(Admission::new(limits));
        let places = Arc::new(Places::new(config.instances));
        let ready = Ready::new(config.workers.get());
        let threads = ready
            .places()
            .enumerate()
            .map(|(index, ready)| {
                let context = Context { places: Arc::clone(&places), network: Handle::current() };
                let worker = Worker { admission: Arc::clone(&admission), ready: ready.clone(), context };
                thread::Builder::new().name(format!("samara-worker-{index}")).spawn(move || worker.run())
            })
            .collect::<io::Result<_>>()?;
        Ok(Workers { admission, ready, threads })
    }

    /// Takes work in that has to be done by `deadline`, or refuses it. What loses its place to it is told so.
    pub fn submit(&self, lane: LaneId, deadline: Instant, work: Work) -> Result<Ticket, Refusal> {
        let submitted = self.admission.submit_items(lane, deadline, work.items(), work);
        let Submitted { ticket, displaced } = submitted.map_err(|(_, refusal)| refusal)?;
        if let Some((work, refusal)) = displaced {
            work.refuse(&refusal);
        }
        Ok(ticket)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.admission.stop();
        for thread in self.threads.drain(..) {
            // A worker catches panics, so there is nothing to learn here.
            let _ = thread.join();
        }
    }
}

// === impl Work ===

impl Work {
    /// What it counts for in a batch, as far as that can be told before it is decoded.
    fn items(&self) -> usize {
        match self {
            Work::Infer(job) if job.batching.is_some() => job.message.items().unwrap_or(1),
            Work::Infer(_) | Work::Call(_) => 1,
        }
    }

    fn refuse(self, refusal: &Refusal) {
        match self {
            Work::Infer(job) => job.refuse(refusal),
            Work::Call(call) => call.refuse(refusal),
        }
    }
}

struct Worker {
    admission: Arc<Admission<Work>>,
    ready: Place,
    context: Context,
}

impl Worker {
    fn run(self) {
        // What is done while the permit is there counts as the request's time: its reset, and making the next one ready.
        while let Some((work, permit)) = self.admission.take() {
            let job = match work {
                Work::Infer(job) => job,
                Work::Call(call) => {
                    let name = call.function.name.clone();
                    let call = AssertUnwindSafe(|| call.run(&self.context.network, &self.context));
                    if std::panic::catch_unwind(call).is_err() {
                        tracing::error!(function = name, "a worker panicked");
                    }
                    continue;
                }
            };
            // The lease ends when the instance that is ready next has its place: from there it can be taken back.
            let (served, lease, trace) = (Arc::clone(&job.served), Arc::clone(&job.lease), job.trace.clone());
            let instance = self.ready.take(&served);
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| match job.batching {
                Some(batching) => batch::run(*job, batching, instance, &self.context, &permit),
                None => job.run(instance, &self.context, &permit),
            }));
            match outcome {
                Ok(Outcome::Done(instance, stages)) => {
                    self.make_ready(&served, &lease, instance, &mut [(stages, trace)]);
                }
                Ok(Outcome::Batch(instance, mut ended)) => self.make_ready(&served, &lease, instance, &mut ended),
                Ok(Outcome::Abandoned(Some(instance))) => self.ready.put(&served, instance),
                Ok(Outcome::Abandoned(None)) => {}
                // The reply's other end notices that nothing will come.
                Err(_) => tracing::error!(model = served.metadata().name, "a worker panicked"),
            }
        }
    }

    /// Resets what ran, once the replies are on their way, tells of the requests, and makes the next instance where there is
    /// time for it.
    fn make_ready(&self, served: &Arc<Served>, lease: &Lease, instance: Option<Counted>, ended: &mut [Ended]) {
        if let Some(instance) = instance {
            let began = Instant::now();
            drop(instance);
            let reset = Instant::now();
            ended.iter_mut().for_each(|(stages, _)| stages.note(Stage::Reset, began, reset));
        }
        for (stages, trace) in ended {
            if let Some(series) = served.series.get() {
                series.measure(stages);
            }
            if let Some(trace) = trace {
                trace.add(stages);
            }
        }
        if self.admission.is_idle()
            && !served.model.is_retired()
            && let Ok(fresh) = lease.model().instantiate()
        {
            self.ready.put(served, Counted::new(fresh, served));
        }
    }
}
