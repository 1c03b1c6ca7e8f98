//! Tables in JSON: `[[1, 2], [3, 4]]` or `{"rows": [[1, 2], [3, 4]]}`.

use samara_function::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::MAX_ROWS;
use crate::table::{Problems, Table};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<'a> {
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
}

/// Reads a table of so many columns.
///
/// # Errors
///
/// 400 for what is no JSON, or no table, with the place; 413 for too many rows.
pub fn read(body: &[u8], columns: usize) -> Result<Table, Problem> {
    let whole = |error| Problem::bad_request(format!("the body as a JSON list of rows, or {{\"rows\": ...}}: {error}"));
    let rows = if body.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice::<Wrapped>(body).map_err(whole)?.rows
    } else {
        serde_json::from_slice::<Vec<&RawValue>>(body).map_err(whole)?
    };
    if rows.len() > MAX_ROWS {
        return Err(Problem::too_large(format!("there are {} rows, where {MAX_ROWS} at most are taken", rows.len())));
    }
    let mut table = Table::new(columns);
    for (index, row) in rows.into_iter().enumerate() {
        let cells: Vec<&RawValue> = serde_json::from_str(row.get())
            .map_err(|_| Problems::row(index, "a list of numbers is expected").bad_request())?;
        table.push(cells.into_iter().map(number), &[])?;
    }
    table.filled()
}

/// The number that a cell is, rounded to 32 bits.
fn number(cell: &RawValue) -> Result<f32, &str> {
    cell.get().parse::<f64>().map(|number| number as f32).map_err(|_| cell.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for body in ["[[1, 2e0], [-3.5, 0.1]]", "\n{\"rows\": [[1, 2e0], [-3.5, 0.1]]}"] {
            assert_eq!(read(body.as_bytes(), 2).unwrap().values(), [1.0, 2.0, -3.5, 0.1]);
        }
    }

    #[test]
    fn what_is_no_table_is_refused_with_the_place() {
        for (body, wanted) in [
            ("[[1, 2], [3, \"x\"]]", "row 2, column 2: \"\\\"x\\\"\", where a number is expected"),
            ("[[1, null]]", "row 1, column 2: \"null\", where a number is expected"),
            ("[[1, [2]]]", "row 1, column 2: \"[2]\", where a number is expected"),
            ("[[1, 1e39]]", "row 1, column 2: inf as a 32-bit number, where a finite one is expected"),
            ("[[1, 1e999]]", "row 1, column 2: inf as a 32-bit number, where a finite one is expected"),
            ("[[1, 2], [3]]", "row 2, column 2: missing: the row has 1 of 2 columns"),
            ("[[1, 2, 3]]", "row 1, column 3: one too many: the row has 3 columns, where 2 are expected"),
            ("[1, 2]", "row 1: a list of numbers is expected"),
            ("[[1, 2], {\"a\": 1}]", "row 2: a list of numbers is expected"),
            ("[]", "there are no rows, where at least one is expected"),
        ] {
            let problem = read(body.as_bytes(), 2).unwrap_err();
            assert_eq!((problem.status(), problem.detail()), (400, wanted), "{body}");
        }
        for body in ["7", "[[1, NaN]]", "[[1, 2]", "{\"rows\": 1}", "{\"row\": [[1, 2]]}", "{}", "\"x\"", "[[1, 2]] 3"]
        {
            let problem = read(body.as_bytes(), 2).unwrap_err();
            assert_eq!(problem.status(), 400, "{body}");
            assert!(problem.detail().contains("line 1 column"), "{problem}");
        }
        assert_eq!(read(b"[[1, \"\xff\"]]", 2).unwrap_err().status(), 400);
    }

    #[test]
    fn too_many_rows_are_refused() {
        let body = format!("[{}[]]", "[],".repeat(MAX_ROWS));
        let problem = read(body.as_bytes(), 2).unwrap_err();
        assert_eq!(
            (problem.status(), problem.detail()),
            (413, "there are 100001 rows, where 100000 at most are taken")
        );
    }
}
