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
    sources: TVec<(&'a [f32], Spread)>,
    columns: usize,
}

/// The numbers of an input, as many as its spread needs for a result of `rows` by `columns` numbers.
pub fn spread_over(input: &Tensor, spread: Spread, rows: usize, columns: usize) -> TractResult<&[f32]> {
    let wanted = spread.count(rows, columns);
    ensure!(input.len() == wanted, "{} numbers where {wanted} are wanted", input.len());
    input.try_as_plain_ram()?.as_slice::<f32>()
}

impl<'a> Bound<'a> {
    /// With the further sources, for a result of `rows` by `columns` numbers.
    pub fn of(fused: Option<&'a Fused>, inputs: &'a [TValue], rows: usize, columns: usize) -> TractResult<Bound<'a>> {
        let spreads = fused.map_or(&[][..], |fused| &fused.spreads);
        ensure!(inputs.len() == spreads.len(), "{} tensors for {} sources", inputs.len(), spreads.len());
        let sources = spreads.iter().zip(inputs);
        let sources = sources.map(|(&spread, input)| Ok((spread_over(input, spread, rows, columns)?, spread)));
        Ok(Bound { program: fused.map(|fused| &fused.program), sources: sources.collect::<TractResult<_>>()?, columns })
    }

    /// Runs the program on some rows of the result, of which the first is the row `first` of all.
    pub fn run(&self, first: usize, result: &mut [f32]) {
        let columns = self.columns;
        let Some(program) = self.program.filter(|_| columns > 0) else { return };
        let (rows, to) = (result.len() / columns, result.as_mut_ptr());
        let own = Source { from: to.cast_const(), spread: Spread::Full };
        let others = self.sources.iter().map(|&(numbers, spread)| {
            let skipped = match spread {
                Spread::Full => first * columns,
                Spread::Rows => first,
                Spread::Columns | Spread::One => 0,
            };
            Source { from: numbers[skipped..].as_ptr(), spread }
        });
        let all: TVec<Source> = std::iter::once(own).chain(others).collect();
        // SAFETY: the sources have been held against the result, and the program names no others.
        unsafe { program.run(rows, columns, &all, to) };
    }
}
