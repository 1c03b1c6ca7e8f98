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
    /// Some of them again and again, then the next: of the axes that rows are made of, the tensor lacks some in the middle, and has so
    /// many behind them.
    Around(usize),
    /// One for several that follow one another, and all of them again and again: of the axes that rows are made of, the tensor lacks the
    /// first and the last, so many of these.
    Between(usize),
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

    /// Whether it takes the sizes of the result's axes to tell which row is meant, and not only how many rows there are.
    pub fn is_by_shape(self) -> bool {
        matches!(self.rows, Rows::Between(_))
    }
}

/// A tensor that a program reads.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    from: *const f32,
    spread: Spread,
    /// Numbers of a row of it.
    width: usize,
    /// Rows of the result that a row or a group of rows of it is for; else, rows that come again.
    every: usize,
    /// Rows of a group, or rows that come again.
    group: usize,
    /// Of the whole result, which the groups are counted from, the row that is the program's first.
    first: usize,
    numbers: PhantomData<&'a [f32]>,
}

impl<'a> Source<'a> {
    /// Numbers of a tensor of this shape, for a result of that one, whose last axis is its columns. None unless there are as many as the
    /// spread needs.
    pub fn of(numbers: &'a [f32], shape: &[usize], spread: Spread, result: &[usize]) -> Option<Source<'a>> {
        let (columns, axes) = result.split_last().unwrap_or((&1, &[]));
        let rows: usize = axes.iter().product();
        let width = if spread.columns { *columns } else { 1 };
        let in_all = numbers.len().checked_div(width).unwrap_or(0);
        // The rows of the last of some axes.
        let last =
            |axes: &[usize], count: usize| Some(axes[axes.len().checked_sub(count)?..].iter().product::<usize>());
        // How many rows it is to have, how many of the result one or a group of them is for, and of how many a group is.
        let (count, every, group) = match spread.rows {
            Rows::Each => (rows, 1, 1),
            Rows::One => (1, 1, 1),
            Rows::Groups => (in_all, rows.checked_div(in_all).unwrap_or(0), 1),
            Rows::Again => (in_all, in_all, 1),
            Rows::Around(behind) => {
                let group = last(&shape[..shape.len().checked_sub(usize::from(spread.columns))?], behind)?;
                let groups = in_all.checked_div(group).unwrap_or(0);
                (group * groups, rows.checked_div(groups).unwrap_or(0), group)
            }
            Rows::Between(behind) => (in_all, last(axes, behind)?, in_all),
        };
        let fits = match spread.rows {
            Rows::Each | Rows::One => true,
            Rows::Groups | Rows::Again => rows.is_multiple_of(count),
            Rows::Around(_) => {
                every.is_multiple_of(group) && count.checked_div(group).is_some_and(|groups| groups * every == rows)
            }
            Rows::Between(_) => rows.checked_div(every).is_some_and(|times| times.is_multiple_of(group)),
        };
        // Of a result without numbers nothing is read.
        let fits = numbers.len() == count * width && (rows * columns == 0 || count > 0 && fits);
        let source = Source { from: numbers.as_ptr(), spread, width, every, group, first: 0, numbers: PhantomData };
        fits.then_some(source)
    }

    /// The numbers of a result of so many columns, which lie where it will.
    pub fn result(from: *const f32, columns: usize) -> Source<'a> {
        Source { from, spread: Spread::FULL, width: columns, every: 0, group: 1, first: 0, numbers: PhantomData }
    }

    /// For the part of the result that begins after so many rows.
    pub fn skipping(self, rows: usize) -> Source<'a> {
        match self.spread.rows {
            Rows::Each => Source { from: self.from.wrapping_add(rows * self.width), ..self },
            Rows::One => self,
            _ => Source { first: self.first + rows, ..self },
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
            Spread { rows: Rows::Groups | Rows::Between(_), columns: false } => {
                self.every - (self.first + row) % self.every
            }
            _ => 1,
        }
    }

    /// Where the numbers of a row are, from a column on where columns are told apart. Columns go on into the rows alike.
    pub(super) fn at(&self, row: usize, column: usize) -> *const f32 {
        let of_all = self.first + row;
        let row = match self.spread.rows {
            Rows::Each => row,
            Rows::Groups => of_all / self.every,
            Rows::Again => of_all % self.every,
            Rows::Around(_) => of_all / self.every * self.group + of_all % self.group,
            Rows::Between(_) => of_all / self.every % self.group,
            Rows::One => 0,
        };
        let column = if self.spread.columns { column } else { 0 };
        self.from.wrapping_add(row * self.width + column)
    }
}
