//! Tables for people: coloured, fitted to the terminal, sorted and filtered by column.

use super::filter::{Filter, Value};
use super::paint::{Paint, Style};
use super::width;

/// A value in a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    /// What it is sorted and compared by, where that is not its text.
    number: Option<u64>,
}

impl Cell {
    /// Text as it is.
    pub(crate) fn text(text: impl Into<String>) -> Cell {
        Cell { text: width::printable(&text.into()), ..Cell::default() }
    }

    /// A number, or nothing.
    pub(crate) fn number(number: Option<u64>) -> Cell {
        Cell { text: number.map(|number| number.to_string()).unwrap_or_default(), number, ..Cell::default() }
    }

    /// The same in another style.
    pub(crate) fn styled(mut self, style: Style) -> Cell {
        self.style = style;
        self
    }

    /// The same, sorted and compared as this number.
    pub(crate) fn keyed(mut self, key: u64) -> Cell {
        self.number = Some(key);
        self
    }

    fn value(&self) -> Value {
        match self.number {
            Some(number) => Value::Number(number),
            None if self.text.is_empty() => Value::Empty,
            None => Value::Text(self.text.clone()),
        }
    }
}

/// A table. Only the last column is cut where the terminal is too narrow.
pub(crate) struct Grid {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    pub(crate) fn new(columns: &[&'static str]) -> Grid {
        Grid { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn column(&self, name: &str) -> anyhow::Result<usize> {
        let found = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        found.ok_or_else(|| anyhow::anyhow!("unknown column: {name} (there are {})", self.columns.join(", ")))
    }

    /// Keeps the rows for which the expression holds.
    pub(crate) fn filter(&mut self, filter: &Filter) -> anyhow::Result<()> {
        let columns: Vec<usize> =
            filter.columns().iter().map(|name| self.column(name)).collect::<anyhow::Result<_>>()?;
        self.rows.retain(|row| filter.passes(|number| row[columns[number]].value()));
        Ok(())
    }

    /// Sorts by a column; a dash in front of its name turns the order round.
    pub(crate) fn sort(&mut self, by: &str) -> anyhow::Result<()> {
        let column = self.column(by.trim_start_matches('-'))?;
        self.rows.sort_by(|a, b| {
            let (a, b) = (&a[column], &b[column]);
            a.number.cmp(&b.number).then_with(|| a.text.cmp(&b.text))
        });
        if by.starts_with('-') {
            self.rows.reverse();
        }
        Ok(())
    }

    /// The text, each line behind `indent`.
    pub(crate) fn print(&self, paint: Paint, indent: &str) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|name| name.len()).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width::of(&cell.text));
            }
        }
        let right: Vec<bool> = (0..self.columns.len())
            .map(|column| {
                self.rows.iter().all(|row| row[column].text.parse::<u64>().is_ok() || row[column].text.is_empty())
            })
            .collect();
        let room = paint.width().map(|room| {
            let taken: usize = widths[..widths.len() - 1].iter().map(|width| width + 2).sum();
            room.saturating_sub(taken + indent.len()).max(8)
        });
        let mut out = String::new();
        let headings = self.columns.iter().map(|name| Cell::text(*name).styled(Style::Heading)).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = indent.to_owned();
            for (column, cell) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                let text = match room {
                    Some(room) if last => width::cut(&cell.text, room),
                    _ => &cell.text,
                };
                let padding = " ".repeat(widths[column].saturating_sub(width::of(text)));
                let text = paint.paint(cell.style, text);
                line.push_str(&if right[column] && !last {
                    padding + &text
                } else if last {
                    text
                } else {
                    text + &padding
                });
                if !last {
                    line.push_str("  ");
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(&["NAME", "PROCS"]);
        for (name, procs) in [("b", 10), ("a", 9), ("c", 100)] {
            grid.add(vec![Cell::text(name), Cell::number(Some(procs))]);
        }
        grid
    }

    #[test]
    fn numbers_sort_by_value_and_a_dash_turns_round() {
        let mut grid = grid();
        grid.sort("-procs").unwrap();
        assert_eq!(grid.rows.iter().map(|row| row[0].text.as_str()).collect::<Vec<_>>(), ["c", "b", "a"]);
        assert!(grid.sort("size").unwrap_err().to_string().contains("NAME, PROCS"));
    }

    #[test]
    fn rows_that_fail_the_filter_are_gone() {
        let mut grid = grid();
        grid.filter(&Filter::parse("PROCS > 9 and NAME != 'c'").unwrap()).unwrap();
        assert_eq!(grid.rows.len(), 1);
    }

    #[test]
    fn what_a_terminal_would_act_upon_is_escaped() {
        let mut grid = Grid::new(&["NAME"]);
        grid.add(vec![Cell::text("a\x1b[31m")]);
        assert!(grid.print(Paint::plain(), "").contains("a\\x1b[31m"));
    }
}
