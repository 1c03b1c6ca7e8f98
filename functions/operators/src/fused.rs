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

impl Fused {
    /// The further sources, after they have been held against a result of `rows` by `columns` numbers.
    pub fn sources<'a>(&self, inputs: &'a [TValue], rows: usize, columns: usize) -> TractResult<Sources<'a>> {
        ensure!(inputs.len() == self.spreads.len(), "{} tensors for {} sources", inputs.len(), self.spreads.len());
        let sources = self.spreads.iter().zip(inputs).map(|(&spread, input)| {
            let wanted = match spread {
                Spread::Full => rows * columns,
                Spread::Columns => columns,
                Spread::Rows => rows,
                Spread::One => 1,
            };
            ensure!(input.len() == wanted, "{} numbers where {wanted} are wanted", input.len());
            Ok((input.try_as_plain_ram()?.as_slice::<f32>()?, spread))
        });
        Ok(Sources { sources: sources.collect::<TractResult<_>>()?, columns })
    }

    /// Runs the program on some rows of the result, of which the first is the row `first` of all.
    pub fn run(&self, sources: &Sources<'_>, first: usize, result: &mut [f32]) {
        let columns = sources.columns;
        if columns == 0 {
            return;
        }
        let (rows, to) = (result.len() / columns, result.as_mut_ptr());
        let own = Source { from: to.cast_const(), spread: Spread::Full };
        let others = sources.sources.iter().map(|&(numbers, spread)| {
            let skipped = match spread {
                Spread::Full => first * columns,
                Spread::Rows => first,
                Spread::Columns | Spread::One => 0,
            };
            Source { from: numbers[skipped..].as_ptr(), spread }
        });
        let all: TVec<Source> = std::iter::once(own).chain(others).collect();
        // SAFETY: the sources have been held against the result, and the program names no others.
        unsafe { self.program.run(rows, columns, &all, to) };
    }
}

/// The further sources of a program.
pub struct Sources<'a> {
    sources: TVec<(&'a [f32], Spread)>,
    columns: usize,
}
