//! What runs the plan, time after time.
//!
//! For each run of a plan, tract makes a state, asks every operator what it keeps there, and tells every operator when the state
//! goes; and it goes through another trait of the operator to evaluate it. Those are calls through the table, which small
//! models feel, and a fresh instance has to look up each function of each kind of operator that is called like that.
//! Where no operator keeps anything, one state serves all runs, and evaluation is the only such call.

use std::cell::RefCell;
use std::sync::Arc;

use tract_nnef::internal::*;

/// A plan, and the state that its runs share where they can.
pub struct Session {
    plan: Arc<TypedSimplePlan>,
    state: Option<RefCell<TypedSimpleState>>,
}

// === impl Session ===

impl Session {
    /// A session of this plan.
    pub fn new(plan: Arc<TypedSimplePlan>) -> TractResult<Session> {
        let state = plan.spawn()?;
        let keeps_nothing = state.op_states.iter().all(Option::is_none);
        Ok(Session { plan, state: keeps_nothing.then(|| RefCell::new(state)) })
    }

    /// What is run.
    pub fn plan(&self) -> &Arc<TypedSimplePlan> {
        &self.plan
    }

    /// Runs the plan once, as if nothing had been run before. No value of the run is left in the session, whether it goes well
    /// or not.
    pub fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Some(state) = &self.state else { return self.plan.spawn()?.run_plan_with_eval(inputs, evaluate) };
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
