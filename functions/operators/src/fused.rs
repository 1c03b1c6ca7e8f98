//! Arithmetic that an operator does on its result while that is at hand.

use samara_kernels::program::{Program, Source, Spread};
use tract_core::internal::*;

/// A program, and how the tensors that it reads are spread. Its first source is the operator's own result; the others are the
/// operator's last inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// What is done.
    pub program: Program,
    /// Of each further source.
    pub spreads: Vec<Spread>,
}

/// Arithmetic, if there is any, with the tensors that it reads.
pub struct Bound<'a> {
    program: Option<&'a Program>,
    sources: TVec<Source<'a>>,
    columns: usize,
}

/// The numbers of an input, spread over a result of that shape, whose last axis is its columns.
pub fn source<'a>(input: &'a Tensor, spread: Spread, result: &[usize]) -> TractResult<Source<'a>> {
    let numbers = input.try_as_plain_ram()?.as_slice::<f32>()?;
    let source = Source::of(numbers, input.shape(), spread, result);
    source.with_context(|| format!("{:?} does not fit {result:?}: {spread:?}", input.shape()))
}

impl<'a> Bound<'a> {
    /// With the further sources, for a result of `rows` by `columns` numbers.
    pub fn of(fused: Option<&'a Fused>, inputs: &'a [TValue], rows: usize, columns: usize) -> TractResult<Bound<'a>> {
        let spreads = fused.map_or(&[][..], |fused| &fused.spreads);
        ensure!(inputs.len() == spreads.len(), "{} tensors for {} sources", inputs.len(), spreads.len());
        let sources = spreads.iter().zip(inputs).map(|(spread, input)| source(input, *spread, &[rows, columns]));
        Ok(Bound { program: fused.map(|fused| &fused.program), sources: sources.collect::<TractResult<_>>()?, columns })
    }

    /// Runs the program on some rows of the result, of which the first is the row `first` of all.
    pub fn run(&self, first: usize, result: &mut [f32]) {
        let columns = self.columns;
        let Some(program) = self.program.filter(|_| columns > 0) else { return };
        let (rows, to) = (result.len() / columns, result.as_mut_ptr());
        let others = self.sources.iter().map(|source| source.skipping(first));
        let all: TVec<Source<'_>> = std::iter::once(Source::result(to, columns)).chain(others).collect();
        // SAFETY: the sources have been held against the result, and the program names no others.
        unsafe { program.run(rows, columns, &all, to) };
    }
}
