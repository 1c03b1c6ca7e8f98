//! Tensors that have fewer numbers than a result, and which of these belong where.

use std::marker::PhantomData;

/// Which row of a tensor belongs to a row of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// Each has its own.
    Each,
    /// One for several that follow one another: the tensor has the first of the axes that rows are made of.
    Groups,
    /// All of them, again and again: the tensor has the last of the axes that rows are made of.
    Again,
    /// The same for all.
    One,
}

/// Which numbers of a tensor belong to a row and a column of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spread {
    /// Which row.
    pub rows: Rows,
    /// Whether there is a number for each column, or the same for all.
    pub columns: bool,
}

impl Spread {
    /// Each its own.
    pub const FULL: Spread = Spread { rows: Rows::Each, columns: true };
    /// One for each column.
    pub const COLUMNS: Spread = Spread { rows: Rows::One, columns: true };
    /// One for each row.
    pub const ROWS: Spread = Spread { rows: Rows::Each, columns: false };
    /// The same for all.
    pub const ONE: Spread = Spread { rows: Rows::One, columns: false };

    /// Whether it matters which row or column a number is in.
    pub fn is_by_axis(self) -> bool {
        self != Spread::FULL && self != Spread::ONE
    }
}

/// A tensor that a program reads.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    from: *const f32,
    spread: Spread,
    /// Numbers of a row of it.
    width: usize,
    /// Rows of a group, or rows that come again.
    every: usize,
    /// Of the whole result, which the groups are counted from, the row that is the program's first.
    first: usize,
    numbers: PhantomData<&'a [f32]>,
}

impl<'a> Source<'a> {
    /// Numbers for a result of so many rows and columns. None unless there are as many as the spread needs.
    pub fn of(numbers: &'a [f32], spread: Spread, rows: usize, columns: usize) -> Option<Source<'a>> {
        let width = if spread.columns { columns } else { 1 };
        let count = match spread.rows {
            Rows::Each => rows,
            Rows::One => 1,
            Rows::Groups | Rows::Again => numbers.len().checked_div(width).unwrap_or(0),
        };
        // Of a result without numbers nothing is read.
        let fits = numbers.len() == count * width && (rows * columns == 0 || count > 0 && rows.is_multiple_of(count));
        let every = if spread.rows == Rows::Groups { rows.checked_div(count).unwrap_or(0) } else { count };
        let source = Source { from: numbers.as_ptr(), spread, width, every, first: 0, numbers: PhantomData };
        fits.then_some(source)
    }

    /// The numbers of a result of so many columns, which lie where it will.
    pub fn result(from: *const f32, columns: usize) -> Source<'a> {
        Source { from, spread: Spread::FULL, width: columns, every: 0, first: 0, numbers: PhantomData }
    }

    /// For the part of the result that begins after so many rows.
    pub fn skipping(self, rows: usize) -> Source<'a> {
        match self.spread.rows {
            Rows::Each => Source { from: self.from.wrapping_add(rows * self.width), ..self },
            Rows::Groups | Rows::Again => Source { first: self.first + rows, ..self },
            Rows::One => self,
        }
    }

    /// Which numbers belong where.
    pub fn spread(&self) -> Spread {
        self.spread
    }

    /// How many rows of the result, from this one on, have the same numbers in each column; of all rows where there is no end.
    pub(super) fn rows_alike(&self, row: usize) -> usize {
        match self.spread {
            Spread::FULL | Spread::ONE => usize::MAX,
            Spread { rows: Rows::Groups, columns: false } => self.every - (self.first + row) % self.every,
            _ => 1,
        }
    }

    /// Where the numbers of a row are, from a column on where columns are told apart. Columns go on into the rows alike.
    pub(super) fn at(&self, row: usize, column: usize) -> *const f32 {
        let row = match self.spread.rows {
            Rows::Each => row,
            Rows::Groups => (self.first + row) / self.every,
            Rows::Again => (self.first + row) % self.every,
            Rows::One => 0,
        };
        let column = if self.spread.columns { column } else { 0 };
        self.from.wrapping_add(row * self.width + column)
    }
}
