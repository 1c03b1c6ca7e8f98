//! Requests of several clients in one inference: dynamic batching, on a worker's thread.
//!
//! A worker that has the first request of a batch decodes it, and takes those after it as long as they can be stacked with it.
//! The first that cannot goes back to its place in the queue. One instance runs the stack, within the time of the most
//! patient; who has less is told by `pending` when that has passed. A batch that fails says nothing of which request it
//! was, so that each is run again by itself.
//!
//! Source of the idea: [Clipper](https://www.usenix.org/conference/nsdi17/technical-sessions/presentation/crankshaw) (2017); of the
//! terms: Triton's [dynamic batcher](https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/batcher.html).

mod member;
mod stack;
mod statistics;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

use samara_admission::{Batching, Joined, Permit, Place};
use samara_protocol::{InferRequest, ModelMetadata, OutputTensor};
use samara_runtime::{Cancellation, InferError};
use samara_telemetry::{Stage, Stages, Trace};

use self::member::Member;
pub use self::stack::obstacle;
pub use self::statistics::{BatchCounters, BatchTimes};
use crate::inference::{Counted, Job, Outcome};
use crate::message::Message;
use crate::workers::{Context, Work};

/// What is told of a request that has come to its end.
pub type Ended = (Stages, Option<Arc<Trace>>);

/// The requests of a batch, in the order in which they came.
struct Batch<'a> {
    members: Vec<Member<'a>>,
    items: u64,
    /// How many items it is filled up to; 0 for none.
    padded: u64,
}

/// Runs a request together with those that wait after it.
pub fn run(
    first: Job,
    batching: Batching,
    mut instance: Option<Counted>,
    context: &Context,
    permit: &Permit<Work>,
) -> Outcome {
    let served = Arc::clone(&first.served);
    let mut ended = Vec::new();
    // What is decoded borrows from what came, which stays here while the jobs move.
    let came: Vec<OnceCell<Arc<Message>>> = (0..batching.max_size.get()).map(|_| OnceCell::new()).collect();
    let mut batch = Batch::gather(first, &came, served.metadata(), permit, &mut ended);
    batch.leave_out_late(&mut ended);
    if served.pads_batches() {
        batch.pad(batching.max_size.get() as u64);
    }
    match batch.members.len() {
        0 if ended.is_empty() => return Outcome::Abandoned(instance),
        0 => {}
        1 if batch.filling() == 0 => {
            let last = batch.members.into_iter().next();
            ended.extend(last.map(|member| member.run_alone(&mut instance, context, Some(permit))));
        }
        _ => batch.run(&mut instance, context, permit, &mut ended),
    }
    Outcome::Batch(instance, ended)
}

// === impl Batch ===

impl<'a> Batch<'a> {
    /// Takes requests as long as they fit. Those that are none are answered.
    fn gather(
        first: Job,
        came: &'a [OnceCell<Arc<Message>>],
        model: &'a ModelMetadata,
        permit: &Permit<Work>,
        ended: &mut Vec<Ended>,
    ) -> Batch<'a> {
        let served = Arc::clone(&first.served);
        let most = came.len() as u64;
        let mut batch = Batch { members: Vec::new(), items: 0, padded: 0 };
        let mut first = Some(first);
        for came in came {
            let (job, place) = match first.take() {
                Some(job) => (job, None),
                None => {
                    let Some((job, place)) = next(permit, most.saturating_sub(batch.items)) else { break };
                    (job, Some(place))
                }
            };
            // Versions of a model share a lane, but no instance. And who came before requests ran in batches runs alone.
            if let Some(place) = place
                && !(Arc::ptr_eq(&job.served, &served) && job.batching.is_some())
            {
                permit.put_back(place, Work::Infer(Box::new(job)));
                break;
            }
            if job.reply.is_closed() {
                continue;
            }
            let message = came.get_or_init(|| Arc::clone(&job.message));
            let Some(member) = Member::decode(job, message, model, ended) else { continue };
            if let Some(mut place) = place
                && !batch.members.is_empty()
                && !batch.has_room_for(&member, most)
            {
                place.items = member.items.and_then(|items| usize::try_from(items).ok()).unwrap_or(1);
                permit.put_back(place, Work::Infer(Box::new(member.job)));
                break;
            }
            batch.items += member.items.unwrap_or(most);
            batch.members.push(member.accept());
        }
        batch
    }

    fn has_room_for(&self, member: &Member<'a>, most: u64) -> bool {
        let (Some(first), Some(items)) = (self.members.first(), member.items) else { return false };
        let together = self.items.saturating_add(items);
        first.items.is_some()
            && together <= most
            && stack::are_alike(&first.request, &member.request)
            && stack::most_elements(&member.request, together) <= first.job.limits.max_elements
    }

    /// Whoever has gone, or has no time left, is no part of it.
    fn leave_out_late(&mut self, ended: &mut Vec<Ended>) {
        let late = |member: &mut Member<'a>| member.job.reply.is_closed() || member.remaining().is_none();
        for member in self.members.extract_if(.., late) {
            let deadline = member.deadline;
            ended.push(member.fail(InferError::Deadline { deadline }));
        }
    }

    /// Has it filled up to so many items, if one that has to run alone is not all there is, and so many are allowed. Not with
    /// strings, which nothing bounds the size of.
    fn pad(&mut self, most: u64) {
        let may_grow = |member: &Member<'a>| {
            member.items.is_some()
                && member.request.inputs.iter().all(|input| input.datatype.size().is_some())
                && stack::most_elements(&member.request, most) <= member.job.limits.max_elements
        };
        if self.members.iter().all(may_grow) {
            self.padded = most;
        }
    }

    /// How many items it is filled up with.
    fn filling(&self) -> u64 {
        self.padded.saturating_sub(self.members.iter().filter_map(|member| member.items).sum())
    }

    /// Runs all together, or where that fails one by one.
    fn run(mut self, instance: &mut Option<Counted>, context: &Context, permit: &Permit<Work>, ended: &mut Vec<Ended>) {
        let began = Instant::now();
        let outputs = match self.infer(instance, context) {
            Ok(outputs) => outputs,
            Err(InferError::Deadline { .. }) => {
                return self.fail(permit, ended, |member| InferError::Deadline { deadline: member.deadline });
            }
            Err(InferError::Cancelled) => return self.fail(permit, ended, |_| InferError::Cancelled),
            Err(InferError::Instances { limit }) => {
                return self.fail(permit, ended, |_| InferError::Instances { limit });
            }
            Err(error) => return self.run_one_by_one(&error, instance, context, permit, ended),
        };
        let items: Vec<u64> = self.members.iter().map(|member| member.items.unwrap_or(0)).collect();
        let parts = match stack::split(&outputs, &items, self.filling()) {
            Ok(parts) => parts,
            Err(reason) => {
                return self.run_one_by_one(&InferError::InvalidOutput(reason), instance, context, permit, ended);
            }
        };
        let infer = began.elapsed();
        let Some(first) = self.members.first() else { return };
        let served = Arc::clone(&first.job.served);
        let input = self.members.iter().map(|member| member.decoding).sum();
        served.counters.executed();
        let encoding = Instant::now();
        let mut replies = Vec::with_capacity(items.len());
        for ((member, outputs), items) in self.members.iter_mut().zip(&parts).zip(&items) {
            served.counters.compute_infer.add(infer);
            served.counters.inferred(*items);
            replies.push(member.encode(outputs));
        }
        served.ran_together(items.iter().sum(), BatchTimes { input, infer, output: encoding.elapsed() });
        permit.answered();
        ended.extend(self.members.into_iter().zip(replies).map(|(member, reply)| member.conclude(reply)));
    }

    /// What the model makes of all.
    fn infer(
        &mut self,
        instance: &mut Option<Counted>,
        context: &Context,
    ) -> Result<Vec<OutputTensor<'static>>, InferError> {
        let Some(first) = self.members.first() else { return Err(InferError::Cancelled) };
        let (served, lease) = (Arc::clone(&first.job.served), Arc::clone(&first.job.lease));
        let model = served.metadata();
        let wanted = first.request.plan.outputs.iter();
        let names: Vec<&str> = wanted.map(|output| model.outputs[output.index].name.as_str()).collect();
        let remaining = self.members.iter().filter_map(Member::remaining).max().unwrap_or_default();
        let cancellation = Cancellation::of_all(self.members.iter().map(|member| member.job.cancellation.clone()));
        // Freed before the replies are handed over: whoever gets one may ask again at once.
        let _place = context.places.take()?;
        let requests: Vec<&InferRequest<'a>> = self.members.iter().map(|member| &member.request).collect();
        let inputs = stack::stack(&requests, self.filling());
        let (instance, made) = Counted::ready(instance, &served, &lease, remaining, &cancellation)?;
        let ready = Instant::now();
        let outputs = instance.infer(&served, &inputs, &names, remaining, &cancellation)?;
        let inferred = Instant::now();
        for member in &mut self.members {
            if let Some((began, ended)) = made {
                member.stages.note(Stage::Instantiate, began, ended);
            }
            member.stages.note(Stage::Infer, ready, inferred);
        }
        Ok(outputs)
    }

    /// One of them may be at fault, and the others must not pay for it.
    fn run_one_by_one(
        self,
        error: &InferError,
        instance: &mut Option<Counted>,
        context: &Context,
        permit: &Permit<Work>,
        ended: &mut Vec<Ended>,
    ) {
        // Whatever it is in, nobody else runs in it.
        *instance = None;
        if let Some(Member { job, .. }) = self.members.first() {
            job.served.series.get().inspect(|series| series.count_batch_failure());
            let (model, requests) = (&job.served.metadata().name, self.members.len());
            tracing::warn!(model, requests, %error, "a batch failed: its requests are run one by one");
        }
        let last = self.members.len().saturating_sub(1);
        for (index, member) in self.members.into_iter().enumerate() {
            let permit = (index == last).then_some(permit);
            ended.push(member.run_alone(&mut None, context, permit));
        }
    }

    fn fail(self, permit: &Permit<Work>, ended: &mut Vec<Ended>, error: impl Fn(&Member<'a>) -> InferError) {
        permit.answered();
        ended.extend(self.members.into_iter().map(|member| {
            let error = error(&member);
            member.fail(error)
        }));
    }
}

/// The next request of the lane, if it may have no more items than that.
fn next(permit: &Permit<Work>, items: u64) -> Option<(Job, Place)> {
    let most = usize::try_from(items).unwrap_or(usize::MAX);
    match permit.join(most)? {
        Joined { work: Work::Infer(job), place } => Some((*job, place)),
        // There is none in the lane of a model.
        Joined { work, place } => {
            permit.put_back(place, work);
            None
        }
    }
}
