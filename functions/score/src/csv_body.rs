//! Tables in CSV: RFC 4180, with commas between the cells.
//!
//! The first line is a header if the request says so: with the query's parameter `header`, or else with that of the
//! content-type, which is RFC 4180's (section 3), `present` or `absent`. If neither is there, the first line is a header
//! where it has a cell that is no number.

use csv::{ReaderBuilder, StringRecord, Trim};
use mediatype::{MediaType, Name, ReadParams};
use samara_function::{Problem, Request};

use crate::table::Table;

/// Whether the first line names the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It does.
    Present,
    /// It does not.
    Absent,
    /// It does where it has a cell that is no number.
    Unknown,
}

// === impl Header ===

impl Header {
    /// What a request says.
    ///
    /// # Errors
    ///
    /// 400 for another word than `present` or `absent`.
    pub fn of(request: &Request) -> Result<Header, Problem> {
        let content_type = request.header("content-type").and_then(|text| MediaType::parse(text).ok());
        let parameter = content_type.as_ref().and_then(|parsed| parsed.get_param(Name::new_unchecked("header")));
        let said = request.query("header").or_else(|| parameter.as_ref().map(|value| value.unquoted_str()));
        match said.as_deref() {
            None => Ok(Header::Unknown),
            Some(word) if word.eq_ignore_ascii_case("present") => Ok(Header::Present),
            Some(word) if word.eq_ignore_ascii_case("absent") => Ok(Header::Absent),
            Some(word) => Err(Problem::bad_request(format!("header={word}, where present or absent is taken"))),
        }
    }

    fn is(self, first: &StringRecord) -> bool {
        match self {
            Header::Present => true,
            Header::Absent => false,
            Header::Unknown => first.iter().any(|cell| number(cell).is_err()),
        }
    }
}

/// Reads a table of so many columns. Blank lines are skipped, and spaces around cells.
///
/// # Errors
///
/// 400 for what is no table, with row and column; 413 for too many rows.
pub fn read(body: &[u8], header: Header, columns: usize) -> Result<Table, Problem> {
    let mut lines = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(body);
    let mut line = StringRecord::new();
    let mut names: Vec<String> = Vec::new();
    let mut table = Table::new(columns);
    let mut first = true;
    while lines.read_record(&mut line).map_err(|error| Problem::bad_request(format!("the body as CSV: {error}")))? {
        if std::mem::take(&mut first) && header.is(&line) {
            if line.len() != columns {
                let found = line.len();
                return Err(Problem::bad_request(format!(
                    "the header has {found} columns, where {columns} are expected"
                )));
            }
            names = line.iter().map(str::to_owned).collect();
            continue;
        }
        let cells: Vec<Result<f32, &str>> = line.iter().map(number).collect();
        table.push(cells.into_iter(), &names)?;
    }
    table.filled()
}

/// The number that a cell is, rounded to 32 bits.
fn number(cell: &str) -> Result<f32, &str> {
    cell.parse::<f64>().map(|number| number as f32).map_err(|_| cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found() {
        for (body, header) in [
            ("1,2\n3,4\n", Header::Unknown),
            ("1,2\n3,4", Header::Absent),
            ("1 , 2\r\n\r\n\"3\",4\r\n", Header::Unknown),
            ("a,b\n1,2\n3,4\n", Header::Unknown),
            ("a,2\n1,2\n3,4\n", Header::Unknown),
            ("\u{feff}a,b\n1,2\n3,4\n", Header::Present),
            ("\u{feff}1,2\n3,4\n", Header::Unknown),
            ("\"a\nb\",\"c,d\"\n1,2\n3,4\n", Header::Unknown),
            ("2001,2002\n1,2\n3,4\n", Header::Present),
        ] {
            assert_eq!(read(body.as_bytes(), header, 2).unwrap().values(), [1.0, 2.0, 3.0, 4.0], "{body:?}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused_with_the_place() {
        for (body, header, wanted) in [
            ("a,b\n1,2\n3,x", Header::Unknown, "row 2, column 2 (b): \"x\", where a number is expected"),
            ("a,b\n1,\n", Header::Unknown, "row 1, column 2 (b): \"\", where a number is expected"),
            ("a,b\n1\n", Header::Unknown, "row 1, column 2 (b): missing: the row has 1 of 2 columns"),
            ("1,2,3\n", Header::Unknown, "row 1, column 3: one too many: the row has 3 columns, where 2 are expected"),
            ("nan,2\n", Header::Unknown, "row 1, column 1: NaN as a 32-bit number, where a finite one is expected"),
            (
                "1,2\n3,-inf\n",
                Header::Unknown,
                "row 2, column 2: -inf as a 32-bit number, where a finite one is expected",
            ),
            ("a,2\n", Header::Absent, "row 1, column 1: \"a\", where a number is expected"),
            ("1;2\n", Header::Absent, "row 1, column 1: \"1;2\", where a number is expected"),
            ("a;b\n1;2\n", Header::Unknown, "the header has 1 columns, where 2 are expected"),
            ("a,b\n", Header::Unknown, "there are no rows, where at least one is expected"),
            ("\n\n", Header::Unknown, "there are no rows, where at least one is expected"),
        ] {
            let problem = match read(body.as_bytes(), header, 2) {
                Err(problem) => problem,
                Ok(table) => panic!("{body:?} was read: {table:?}"),
            };
            assert_eq!((problem.status(), problem.detail()), (400, wanted), "{body:?}");
        }
        let problem = read(b"1,2\n3,\xff\n", Header::Unknown, 2).unwrap_err();
        assert_eq!(problem.status(), 400);
        assert!(problem.detail().contains("UTF-8"), "{problem}");
    }

    #[test]
    fn too_many_rows_are_refused() {
        let problem = read("1,2\n".repeat(crate::MAX_ROWS + 1).as_bytes(), Header::Unknown, 2).unwrap_err();
        assert_eq!(problem.status(), 413);
    }

    #[test]
    fn a_request_says_whether_there_is_a_header() {
        for (path, content_type, wanted) in [
            ("/", "text/csv", Header::Unknown),
            ("/", "text/csv; header=present", Header::Present),
            ("/", "text/csv; charset=utf-8; header=\"absent\"", Header::Absent),
            ("/?header=absent", "text/csv; header=present", Header::Absent),
            ("/?header=Present", "text/csv", Header::Present),
        ] {
            assert_eq!(Header::of(&Request::post(path, content_type, "")), Ok(wanted), "{path} {content_type}");
        }
        let problem = Header::of(&Request::post("/?header=yes", "text/csv", "")).unwrap_err();
        assert_eq!((problem.status(), problem.detail()), (400, "header=yes, where present or absent is taken"));
    }
}
