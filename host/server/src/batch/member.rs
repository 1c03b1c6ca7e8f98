//! A request of a batch, from when it is decoded until it is answered.

use std::time::{Duration, Instant};

use samara_admission::Permit;
use samara_protocol::{Error, InferRequest, InferResponse, ModelMetadata, OutputTensor};
use samara_runtime::InferError;
use samara_telemetry::{Stage, Stages};

use super::{BatchTimes, Ended, stack};
use crate::deadline;
use crate::inference::{Counted, Job};
use crate::message::Message;
use crate::workers::{Context, Work};

/// A request of a batch.
pub struct Member<'a> {
    pub job: Job,
    pub request: InferRequest<'a>,
    /// How many items it has; absent where it has to run alone.
    pub items: Option<u64>,
    /// How long it may take, as its headers or its body say.
    pub deadline: Duration,
    /// How long decoding took.
    pub decoding: Duration,
    pub stages: Stages,
}

// === impl Member ===

impl<'a> Member<'a> {
    /// The request that came. If it is none, it is answered.
    pub fn decode(
        job: Job,
        message: &'a Message,
        model: &'a ModelMetadata,
        answered: &mut Vec<Ended>,
    ) -> Option<Member<'a>> {
        let began = Instant::now();
        let mut stages = Stages::default();
        stages.note(Stage::Queue, job.accepted, began);
        match message.decode(model, &job.limits) {
            Ok(request) => {
                let ended = Instant::now();
                stages.note(Stage::Parse, began, ended);
                let deadline = request.timeout.map_or(job.deadline, deadline::from_microseconds).min(job.deadline);
                // Who waits for it does not know of a time that only the body tells, and cannot keep to it.
                let items = stack::items(&request).filter(|_| deadline == job.deadline);
                Some(Member { job, request, items, deadline, decoding: ended - began, stages })
            }
            Err(error) => {
                job.served.counters.queue.add(began - job.accepted);
                answered.push((stages, job.trace.clone()));
                job.conclude(Err(error));
                None
            }
        }
    }

    /// Counts what has happened to it so far.
    pub fn accept(self) -> Member<'a> {
        let counters = &self.job.served.counters;
        counters.queue.add(self.stages.duration(Stage::Queue).unwrap_or_default());
        counters.compute_input.add(self.decoding);
        self
    }

    /// How much of its time is left, if any is.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.checked_sub(self.job.accepted.elapsed()).filter(|remaining| !remaining.is_zero())
    }

    /// Runs it by itself, in `instance` or in a new one. The permit is there if the worker is free afterwards.
    pub fn run_alone(
        mut self,
        instance: &mut Option<Counted>,
        context: &Context,
        permit: Option<&Permit<Work>>,
    ) -> Ended {
        if self.job.reply.is_closed() {
            return self.end();
        }
        let waited = self.job.accepted.elapsed();
        let began = Instant::now();
        let outputs = self.job.compute(&self.request, instance, &mut self.stages, waited, context);
        let infer = began.elapsed();
        if let Some(permit) = permit {
            permit.answered();
        }
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(error) => return self.conclude(Err(error)),
        };
        let encoding = Instant::now();
        let reply = self.encode(&outputs);
        let times = BatchTimes { input: self.decoding, infer, output: encoding.elapsed() };
        self.job.served.ran_together(self.items.unwrap_or(1), times);
        self.conclude(reply)
    }

    /// The reply with these outputs.
    pub fn encode(&mut self, outputs: &[OutputTensor<'_>]) -> Result<InferResponse, Error> {
        self.job.encode(&self.request, outputs, &mut self.stages)
    }

    /// Answers with why there are no outputs.
    pub fn fail(self, error: InferError) -> Ended {
        if self.job.reply.is_closed() {
            return self.end();
        }
        let error = self.job.explain(error);
        self.conclude(Err(error))
    }

    /// Hands the reply over, unless somebody else has told the client, or nobody waits any more.
    pub fn conclude(self, result: Result<InferResponse, Error>) -> Ended {
        let ended = (self.stages, self.job.trace.clone());
        if !self.job.reply.is_closed() {
            self.job.conclude(result);
        }
        ended
    }

    fn end(self) -> Ended {
        (self.stages, self.job.trace)
    }
}
