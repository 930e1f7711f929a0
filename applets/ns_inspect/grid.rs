//! Tables for people: coloured, fitted to the terminal, sorted and filtered by column.

use super::filter::{Filter, Value};
use super::paint::{Paint, Style};
use super::width;

/// A value in a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    /// Whether what tells it from others can be at its end, so that it is cut in the middle.
    is_name: bool,
    /// What it is sorted and compared by, where that is not its text.
    number: Option<u64>,
}

impl Cell {
    /// Text as it is.
    pub(crate) fn text(text: impl Into<String>) -> Cell {
        Cell { text: width::printable(&text.into()), ..Cell::default() }
    }

    /// The name of something, or text that ends with one.
    pub(crate) fn name(text: impl Into<String>) -> Cell {
        Cell { is_name: true, ..Cell::text(text) }
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

/// A table. On a terminal that is too narrow columns shrink, those that yield first at first, and then are left out. The
/// first column, by which rows are told apart, stays whole until all that yield are gone.
pub(crate) struct Grid {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    yielding: &'static [&'static str],
    /// The columns that are shown, in this order.
    shown: Vec<usize>,
}

/// How wide each column is, 0 where it is left out, and how they are set.
pub(crate) struct Layout {
    widths: Vec<usize>,
    right: Vec<bool>,
    gap: usize,
}

impl Layout {
    /// The columns that there is no room for.
    pub(crate) fn left_out(&self, grid: &Grid) -> Vec<&'static str> {
        let gone = grid.shown.iter().filter(|&&column| self.widths[column] == 0);
        gone.map(|&column| grid.columns[column]).collect()
    }
}

/// To how much text columns shrink at first, before any is left out, and at worst.
const SHRUNK: [usize; 3] = [12, 8, 4];

impl Grid {
    pub(crate) fn new(columns: &[&'static str]) -> Grid {
        let shown = (0..columns.len()).collect();
        Grid { columns: columns.to_vec(), rows: Vec::new(), yielding: &[], shown }
    }

    /// Names the columns that make room before the others do, the least important first; the others do so from the last
    /// to the first.
    pub(crate) fn yielding(mut self, columns: &'static [&'static str]) -> Grid {
        self.yielding = columns;
        self
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

    /// For each row, whether the expression holds.
    pub(crate) fn passes(&self, filter: &Filter) -> anyhow::Result<Vec<bool>> {
        let columns: Vec<usize> =
            filter.columns().iter().map(|name| self.column(name)).collect::<anyhow::Result<_>>()?;
        Ok(self.rows.iter().map(|row| filter.passes(|number| row[columns[number]].value())).collect())
    }

    /// Keeps the rows for which the expression holds.
    pub(crate) fn filter(&mut self, filter: &Filter) -> anyhow::Result<()> {
        let mut passes = self.passes(filter)?.into_iter();
        self.rows.retain(|_| passes.next() == Some(true));
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

    /// The places of the rows for which the filter holds, in the order that `sort` asks for.
    pub(crate) fn order(&self, filter: Option<&Filter>, sort: Option<&str>) -> anyhow::Result<Vec<usize>> {
        let passes = filter.map(|filter| self.passes(filter)).transpose()?;
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.retain(|&place| passes.as_ref().is_none_or(|passes| passes[place]));
        if let Some(by) = sort {
            let column = self.column(by.trim_start_matches('-'))?;
            let key = |place: usize| {
                let cell = &self.rows[place][column];
                (cell.number, cell.text.as_str())
            };
            order.sort_by(|&a, &b| key(a).cmp(&key(b)));
            if by.starts_with('-') {
                order.reverse();
            }
        }
        Ok(order)
    }

    /// Shows these columns only, in this order; it is sorted and filtered by all.
    pub(crate) fn showing(mut self, columns: &[&'static str]) -> Grid {
        self.shown = columns.iter().filter_map(|name| self.columns.iter().position(|column| column == name)).collect();
        self
    }

    /// The text, each line behind `indent`.
    pub(crate) fn print(&self, paint: Paint, indent: &str) -> String {
        let layout = self.layout(paint.width().map(|room| room.saturating_sub(indent.len())));
        let mut out = String::new();
        for row in std::iter::once(None).chain((0..self.rows.len()).map(Some)) {
            let mut line = indent.to_owned();
            for (style, text) in self.line(row, &layout) {
                line.push_str(&paint.paint(style, &text));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        let left_out = layout.left_out(self);
        if !left_out.is_empty() {
            out.push_str(&paint.wrap(&format!("no room for {}", left_out.join(", ")), indent));
        }
        out
    }

    /// How columns fit into `room`, where that has an end.
    pub(crate) fn layout(&self, room: Option<usize>) -> Layout {
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
        let is_number: Vec<bool> = (0..self.columns.len())
            .map(|column| right[column] || self.rows.iter().any(|row| row[column].number.is_some()))
            .collect();
        (0..widths.len()).filter(|column| !self.shown.contains(column)).for_each(|column| widths[column] = 0);
        let gap = match room {
            Some(room) => self.shrink(&mut widths, &is_number, room),
            None => 2,
        };
        Layout { widths, right, gap }
    }

    /// A row in pieces, each of one style; `None` is the line of headings.
    pub(crate) fn line(&self, row: Option<usize>, layout: &Layout) -> Vec<(Style, String)> {
        let shown: Vec<usize> = self.shown.iter().copied().filter(|&column| layout.widths[column] > 0).collect();
        let mut pieces = Vec::new();
        for &column in &shown {
            let is_last = Some(&column) == shown.last();
            let heading = Cell::text(self.columns[column]).styled(Style::Heading);
            let cell = row.map_or(&heading, |row| &self.rows[row][column]);
            let fit = if cell.is_name { width::fit_middle } else { width::fit };
            let text = fit(&cell.text, layout.widths[column]);
            let padding = " ".repeat(layout.widths[column].saturating_sub(width::of(&text)));
            let gap = if is_last { String::new() } else { " ".repeat(layout.gap) };
            if layout.right[column] && !is_last {
                pieces.extend([(Style::Plain, padding), (cell.style, text), (Style::Plain, gap)]);
            } else {
                pieces.extend([(cell.style, text), (Style::Plain, padding + &gap)]);
            }
        }
        pieces
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    /// The number in a row's column of this name.
    pub(crate) fn number(&self, row: usize, name: &str) -> Option<u64> {
        self.rows[row][self.column(name).ok()?].number
    }

    /// Makes the columns fit into `room`; those of width 0 are left out. Returns how many blanks are between them.
    fn shrink(&self, widths: &mut [usize], is_number: &[bool], room: usize) -> usize {
        let named = self.yielding.iter().filter_map(|name| self.columns.iter().position(|column| column == name));
        let yielding: Vec<usize> = named.filter(|column| self.shown.contains(column)).collect();
        let first = self.shown.first().copied().unwrap_or(0);
        let rest = self.shown.iter().rev().copied().filter(|column| *column != first && !yielding.contains(column));
        let rest: Vec<usize> = rest.collect();
        let excess = |widths: &[usize], gap: usize| {
            let shown = widths.iter().filter(|&&width| width > 0).count();
            (widths.iter().sum::<usize>() + gap * shown.saturating_sub(1)).saturating_sub(room)
        };
        // A number that is cut would be another, and half a name is better than half of all columns.
        let shrink = |widths: &mut [usize], gap: usize, least: usize, order: &[usize]| {
            for &column in order.iter().filter(|&&column| !is_number[column]) {
                let least = if column == first { least.max(SHRUNK[0]) } else { least };
                let spare = widths[column].saturating_sub(least);
                widths[column] -= spare.min(excess(widths, gap));
            }
            excess(widths, gap) == 0
        };
        let order = [yielding.as_slice(), &rest].concat();
        let whole = widths.to_vec();
        for gone in 0..=yielding.len() {
            for (gap, least) in [(2, SHRUNK[0]), (1, SHRUNK[0]), (1, SHRUNK[1])] {
                widths.copy_from_slice(&whole);
                yielding[..gone].iter().filter(|&&column| column != first).for_each(|&column| widths[column] = 0);
                if shrink(widths, gap, least, &order) {
                    return gap;
                }
            }
        }
        for &column in &rest {
            if shrink(widths, 1, SHRUNK[0], &[first]) || shrink(widths, 1, SHRUNK[2], &rest) {
                return 1;
            }
            widths[column] = 0;
        }
        widths[first] = widths[first].min(room);
        1
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
    fn columns_make_room_in_their_order_and_numbers_are_never_cut() {
        let mut grid = Grid::new(&["NAME", "PROCS", "IMAGE", "AGE"]).yielding(&["IMAGE"]);
        grid.add(vec![
            Cell::name("a-container-of-some-name"),
            Cell::number(Some(1_234_567)),
            Cell::text("registry/image:latest"),
            Cell::text("2days 3h"),
        ]);
        for room in 1..90 {
            let text = grid.print(Paint::plain(Some(room)), "");
            let table: Vec<&str> = text.lines().take(2).collect();
            assert!(table.iter().all(|line| width::of(line) <= room), "{room}: {text}");
            assert!(room < 40 || text.contains("1234567"), "{room}: {text}");
            let is_whole = table[0].split_whitespace().count() == 4;
            assert!(room < 20 || text.contains("no room for") != is_whole, "{room}: {text}");
        }
        // The name is whole as long as others can go, and then tells itself from others by both of its ends.
        for room in [43, 60] {
            assert!(grid.print(Paint::plain(Some(room)), "").contains("a-container-of-some-name"), "{room}");
        }
        let text = grid.print(Paint::plain(Some(35)), "");
        assert!(text.contains("a-con") && text.contains("-name ") && text.contains("2days 3h"), "{text}");
        let text = grid.print(Paint::plain(Some(60)), "");
        assert!(text.contains("a-container-of-some-name") && text.contains("2days 3h"), "{text}");
        assert!(text.contains(width::ellipsis()), "{text}");
        assert!(!grid.print(Paint::plain(None), "").contains(width::ellipsis()));
    }

    #[test]
    fn what_a_terminal_would_act_upon_is_escaped() {
        let mut grid = Grid::new(&["NAME"]);
        grid.add(vec![Cell::text("a\x1b[31m")]);
        assert!(grid.print(Paint::plain(None), "").contains("a\\x1b[31m"));
    }
}
