//! A table of numbers, and what can be wrong with one.

use samara_function::Problem;

use crate::MAX_ROWS;

/// Rows of as many finite numbers each as there are columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: usize,
    rows: usize,
    values: Vec<f32>,
}

/// Says in which row and column something is wrong. Both are counted from 1, where callers count from 0.
#[derive(Clone, Debug)]
pub struct Problems(String);

// === impl Table ===

impl Table {
    /// A table without rows.
    pub fn new(columns: usize) -> Table {
        Table { columns, rows: 0, values: Vec::new() }
    }

    /// Adds a row. A cell is its number, or else the text that should be one; `names` are the columns' names, as far as
    /// they have any.
    ///
    /// # Errors
    ///
    /// 413 where the table is full; 400 where a cell is missing, too many or no finite number.
    pub fn push<'a>(
        &mut self,
        cells: impl ExactSizeIterator<Item = Result<f32, &'a str>>,
        names: &[String],
    ) -> Result<(), Problem> {
        if self.rows == MAX_ROWS {
            return Err(Problem::too_large(format!("there are more than {MAX_ROWS} rows, which is the most taken")));
        }
        let (found, wanted) = (cells.len(), self.columns);
        for (column, cell) in cells.take(wanted).enumerate() {
            let what = match cell {
                Ok(value) if value.is_finite() => {
                    self.values.push(value);
                    continue;
                }
                Ok(value) => format!("{value} as a 32-bit number, where a finite one is expected"),
                Err(text) => format!("{:?}, where a number is expected", beginning(text)),
            };
            return Err(Problems::cell(self.rows, column, names, &what).bad_request());
        }
        if found < wanted {
            let what = format!("missing: the row has {found} of {wanted} columns");
            return Err(Problems::cell(self.rows, found, names, &what).bad_request());
        }
        if found > wanted {
            let what = format!("one too many: the row has {found} columns, where {wanted} are expected");
            return Err(Problems::cell(self.rows, wanted, names, &what).bad_request());
        }
        self.rows += 1;
        Ok(())
    }

    /// The table itself, which has rows.
    ///
    /// # Errors
    ///
    /// 400 where it has none.
    pub fn filled(self) -> Result<Table, Problem> {
        match self.rows {
            0 => Err(Problem::bad_request("there are no rows, where at least one is expected")),
            _ => Ok(self),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The numbers, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

// === impl Problems ===

impl Problems {
    /// Something is wrong with a row.
    pub fn row(row: usize, what: &str) -> Problems {
        Problems(format!("row {}: {what}", row + 1))
    }

    /// Something is wrong with a cell.
    pub fn cell(row: usize, column: usize, names: &[String], what: &str) -> Problems {
        let (row, number) = (row + 1, column + 1);
        Problems(match names.get(column) {
            Some(name) => format!("row {row}, column {number} ({}): {what}", beginning(name)),
            None => format!("row {row}, column {number}: {what}"),
        })
    }

    /// 400.
    pub fn bad_request(self) -> Problem {
        Problem::bad_request(self.0)
    }

    /// 422.
    pub fn unprocessable(self) -> Problem {
        Problem::unprocessable(self.0)
    }
}

/// As much of a text as an error quotes.
fn beginning(text: &str) -> &str {
    const MOST: usize = 40;
    text.char_indices().nth(MOST).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(cells: &[Result<f32, &str>], names: &[&str]) -> Problem {
        let mut table = Table::new(2);
        table.push([Ok(1.0), Ok(2.0)].into_iter(), &[]).unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        table.push(cells.iter().copied(), &names).unwrap_err()
    }

    #[test]
    fn what_is_wrong_with_a_cell_is_said_with_its_place() {
        let names = ["width", "height"];
        for (cells, wanted) in [
            (&[Ok(1.0), Err("x")][..], r#"row 2, column 2 (height): "x", where a number is expected"#),
            (
                &[Ok(f32::NAN), Ok(1.0)],
                "row 2, column 1 (width): NaN as a 32-bit number, where a finite one is expected",
            ),
            (
                &[Ok(1.0), Ok(-f32::INFINITY)],
                "row 2, column 2 (height): -inf as a 32-bit number, where a finite one is expected",
            ),
            (&[Ok(1.0)], "row 2, column 2 (height): missing: the row has 1 of 2 columns"),
            (&[Ok(1.0); 4], "row 2, column 3: one too many: the row has 4 columns, where 2 are expected"),
        ] {
            let problem = problem(cells, &names);
            assert_eq!((problem.status(), problem.detail()), (400, wanted));
        }
        assert_eq!(problem(&[Err(""), Ok(1.0)], &[]).detail(), r#"row 2, column 1: "", where a number is expected"#);
    }

    #[test]
    fn a_long_cell_is_not_quoted_whole() {
        let problem = problem(&[Err(&"ä".repeat(1000)), Ok(1.0)], &[]);
        assert!(problem.detail().contains(&format!("\"{}\"", "ä".repeat(40))), "{problem}");
    }

    #[test]
    fn a_table_has_a_size() {
        assert_eq!(Table::new(1).filled().unwrap_err().status(), 400);
        let mut table = Table::new(1);
        for _ in 0..MAX_ROWS {
            table.push([Ok(1.0)].into_iter(), &[]).unwrap();
        }
        assert_eq!(table.push([Ok(1.0)].into_iter(), &[]).unwrap_err().status(), 413);
        assert_eq!(table.filled().unwrap().values().len(), MAX_ROWS);
    }
}
