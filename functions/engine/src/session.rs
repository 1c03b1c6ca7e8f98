//! What runs the plan, time after time.
//!
//! For each run of a plan, tract makes a state, asks every operator what it keeps there, and tells every operator when the state
//! goes; and it goes through another trait of the operator to evaluate it. Those are calls through the table, which small
//! models feel, and a fresh instance has to look up each function of each kind of operator that is called like that.
//! Where no operator keeps anything, one state serves all runs, and evaluation is the only such call. Where all shapes are known
//! too, there is nothing that a run has to find out about them: what it does is a list of [`Steps`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use tract_nnef::internal::*;
use tract_nnef::tract_core::ops::konst::Const;
use tract_nnef::tract_core::ops::source::TypedSource;
use tract_nnef::tract_core::plan::SessionId;

/// A plan, and what its runs share.
pub struct Session {
    plan: Arc<TypedSimplePlan>,
    way: Way,
}

/// How a plan is run.
enum Way {
    /// All shapes are known, and no operator keeps anything.
    Steps(RefCell<Steps>),
    /// No operator keeps anything.
    State(RefCell<TypedSimpleState>),
    /// Each run has a state of its own.
    Spawn,
}

/// What a plan does where all shapes are known, with the values of a run.
struct Steps {
    /// What operators are told of their surroundings: there is nothing to tell.
    turn: TurnState,
    /// In which place an input is, with its type and its shape. None where nothing asks for it.
    inputs: Vec<(DatumType, TVec<usize>, Option<usize>)>,
    steps: Vec<Step>,
    outputs: TVec<Use>,
    /// Between runs, constants alone.
    values: Vec<Option<TValue>>,
    /// The places of those.
    constants: Vec<usize>,
}

/// An operator's turn.
struct Step {
    node: usize,
    inputs: TVec<Use>,
    /// Where its results go. None where nothing asks for them.
    outputs: TVec<Option<usize>>,
}

/// A value that is used.
struct Use {
    place: usize,
    /// Whether nothing asks for it after that.
    last: bool,
}

// === impl Session ===

impl Session {
    /// A session of this plan.
    pub fn new(plan: Arc<TypedSimplePlan>) -> TractResult<Session> {
        let state = plan.spawn()?;
        let way = if state.op_states.iter().any(Option::is_some) {
            Way::Spawn
        } else if let Some(steps) = Steps::of(&plan) {
            Way::Steps(RefCell::new(steps))
        } else {
            Way::State(RefCell::new(state))
        };
        Ok(Session { plan, way })
    }

    /// What is run.
    pub fn plan(&self) -> &Arc<TypedSimplePlan> {
        &self.plan
    }

    /// Runs the plan once, as if nothing had been run before. No value of the run is left in the session, whether it goes well
    /// or not.
    pub fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.run_with(inputs, evaluate)
    }

    /// The same with another way to evaluate operators.
    pub fn run_with(
        &self,
        inputs: TVec<TValue>,
        evaluate: impl FnMut(
            &EvalContext<'_>,
            Option<&mut (dyn OpState + 'static)>,
            &TypedNode,
            TVec<TValue>,
        ) -> TractResult<TVec<TValue>>,
    ) -> TractResult<TVec<TValue>> {
        let state = match &self.way {
            Way::Steps(steps) => {
                let mut steps = steps.borrow_mut();
                let outputs = steps.run(self.plan.model(), inputs, evaluate);
                if outputs.is_err() {
                    steps.clear();
                }
                return outputs;
            }
            Way::State(state) => state,
            Way::Spawn => return self.plan.spawn()?.run_plan_with_eval(inputs, evaluate),
        };
        let mut state = state.borrow_mut();
        let outputs = state.run_plan_with_eval(inputs, evaluate);
        if outputs.is_err() {
            state.reset_turn()?;
        }
        state.turn_state.scenario = None;
        // An input that nothing asks for is not among what a turn has computed.
        for input in &self.plan.model().inputs {
            if let Some(value) = state.turn_state.values.get_mut(input.node) {
                *value = None;
            }
        }
        outputs
    }
}

// === impl Steps ===

impl Steps {
    /// Those of a plan, if all shapes are known.
    fn of(plan: &TypedSimplePlan) -> Option<Steps> {
        let model = plan.model();
        let mut facts = model.nodes().iter().flat_map(|node| &node.outputs);
        if !facts.all(|output| output.fact.shape.is_concrete()) {
            return None;
        }
        // From the last use to the first, since a value is given away when it is used for the last time.
        let mut places = HashMap::new();
        let mut place = |outlet: OutletId| {
            let count = places.len();
            let mut last = false;
            let place = *places.entry(outlet).or_insert_with(|| {
                last = true;
                count
            });
            Use { place, last }
        };
        let mut outputs: TVec<Use> = model.outputs.iter().rev().map(|outlet| place(*outlet)).collect();
        outputs.reverse();
        let mut steps = vec![];
        for &id in plan.order_without_consts().iter().rev() {
            let node = model.node(id);
            if node.op_is::<TypedSource>() {
                continue;
            }
            let mut inputs: TVec<Use> = node.inputs.iter().rev().map(|outlet| place(*outlet)).collect();
            inputs.reverse();
            steps.push((id, inputs));
        }
        steps.reverse();
        let place = |outlet: OutletId| places.get(&outlet).copied();
        let steps = steps.into_iter().map(|(node, inputs)| {
            let slots = 0..model.node(node).outputs.len();
            Step { node, inputs, outputs: slots.map(|slot| place(OutletId::new(node, slot))).collect() }
        });
        let inputs = model.inputs.iter().map(|outlet| {
            let fact = &model.node(outlet.node).outputs[outlet.slot].fact;
            Some((fact.datum_type, fact.shape.as_concrete()?.into(), place(*outlet)))
        });
        let mut values = vec![None; places.len()];
        let mut constants = vec![];
        for node in model.nodes() {
            if let (Some(constant), Some(place)) = (node.op_as::<Const>(), place(node.id.into())) {
                values[place] = Some(constant.val().clone().into_tvalue());
                constants.push(place);
            }
        }
        let (turn, steps) = (TurnState::default(), steps.collect());
        let mut steps = Steps { turn, inputs: inputs.collect::<Option<_>>()?, steps, outputs, values, constants };
        // A constant is there for the next run too.
        let uses = steps.steps.iter_mut().flat_map(|step| &mut step.inputs).chain(&mut steps.outputs);
        for of in uses.filter(|of| steps.constants.contains(&of.place)) {
            of.last = false;
        }
        Some(steps)
    }

    /// Drops what a run that failed has left.
    fn clear(&mut self) {
        for (place, value) in self.values.iter_mut().enumerate() {
            if !self.constants.contains(&place) {
                *value = None;
            }
        }
    }

    fn run(
        &mut self,
        model: &TypedModel,
        inputs: TVec<TValue>,
        mut evaluate: impl FnMut(
            &EvalContext<'_>,
            Option<&mut (dyn OpState + 'static)>,
            &TypedNode,
            TVec<TValue>,
        ) -> TractResult<TVec<TValue>>,
    ) -> TractResult<TVec<TValue>> {
        let Steps { turn, values, .. } = self;
        ensure!(inputs.len() == self.inputs.len(), "{} inputs, where there are {}", inputs.len(), self.inputs.len());
        for (index, (value, (datum_type, shape, place))) in inputs.into_iter().zip(&self.inputs).enumerate() {
            ensure!(
                value.datum_type() == *datum_type && value.shape() == &**shape,
                "input {index} is {:?} of the shape {:?}, not {datum_type:?} of {shape:?}",
                value.datum_type(),
                value.shape(),
            );
            if let Some(place) = place {
                values[*place] = Some(value);
            }
        }
        let get = |values: &mut [Option<TValue>], of: &Use| {
            let value = &mut values[of.place];
            if of.last { value.take() } else { value.clone() }.context("a value is used before it is there")
        };
        for step in &self.steps {
            let node = model.node(step.node);
            let inputs = step.inputs.iter().map(|of| get(values, of)).collect::<TractResult<_>>()?;
            let results = evaluate(&turn.context(SessionId::NONE, node.id), None, node, inputs)?;
            ensure!(results.len() == step.outputs.len(), "{node} gives {} results", results.len());
            for (place, result) in step.outputs.iter().zip(results) {
                if let Some(place) = place {
                    values[*place] = Some(result);
                }
            }
        }
        self.outputs.iter().map(|of| get(values, of)).collect()
    }
}

/// Evaluates an operator.
pub fn evaluate(
    context: &EvalContext<'_>,
    state: Option<&mut (dyn OpState + 'static)>,
    node: &TypedNode,
    inputs: TVec<TValue>,
) -> TractResult<TVec<TValue>> {
    match state {
        Some(state) => state.eval(context, node.op(), inputs),
        None => node.op.eval(context, inputs),
    }
    .with_context(|| format!("Evaluating {node}"))
}
