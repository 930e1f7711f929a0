//! Rows and columns as libsmartcols prints them: a table that fits the terminal, raw, or JSON, each with or without a
//! tree drawn in one column.

use std::fmt::Write as _;

use super::width;

/// Which characters a tree is drawn with.
#[derive(Clone, Copy)]
struct Symbols {
    branch: &'static str,
    last: &'static str,
    line: &'static str,
}

const UNICODE: Symbols = Symbols { branch: "├─", last: "└─", line: "│ " };
const ASCII: Symbols = Symbols { branch: "|-", last: "`-", line: "| " };

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The heading.
    pub(crate) name: &'static str,
    /// At least this wide, where there is room.
    pub(crate) hint: usize,
    /// Whether values end at the right edge.
    pub(crate) right: bool,
    /// Whether values may be cut to fit the terminal.
    pub(crate) cut: bool,
    /// Whether a newline in a value goes on in the next line of the cell.
    pub(crate) lines: bool,
    /// Whether the tree is drawn here.
    pub(crate) tree: bool,
    /// Whether JSON has the values as numbers.
    pub(crate) number: bool,
}

/// A row: a value a column, and the row that it hangs below.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) cells: Vec<String>,
    pub(crate) parent: Option<usize>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Aligned columns.
    Table,
    /// Values separated by one blank, what is not printable as `\xNN`.
    Raw,
    /// `NAME="value"` pairs.
    Pairs,
    /// JSON.
    Json,
}

/// Rows to print.
pub(crate) struct Table {
    /// The name of the array in JSON.
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) headings: bool,
}

/// The children of each row, and the roots, in order.
struct Forest {
    roots: Vec<usize>,
    children: Vec<Vec<usize>>,
}

impl Table {
    fn is_tree(&self) -> bool {
        self.columns.iter().any(|column| column.tree)
    }

    fn forest(&self) -> Forest {
        let mut forest = Forest { roots: Vec::new(), children: vec![Vec::new(); self.rows.len()] };
        for (number, row) in self.rows.iter().enumerate() {
            match row.parent.filter(|_| self.is_tree()) {
                Some(parent) => forest.children[parent].push(number),
                None => forest.roots.push(number),
            }
        }
        forest
    }

    /// The whole text. `terminal` is the width to fit into, where there is one.
    pub(crate) fn print(&self, format: Format, terminal: Option<usize>) -> String {
        let mut out = String::new();
        match format {
            Format::Json => self.print_json(&mut out),
            _ if self.rows.is_empty() => {}
            Format::Table => self.print_table(terminal, &mut out),
            Format::Raw | Format::Pairs => self.print_plain(format, &mut out),
        }
        out
    }

    /// Rows in the order in which they are printed, each with what is drawn in front of its first line and in front of
    /// further lines.
    fn drawn(&self) -> Vec<(usize, String, String)> {
        let symbols = if width::is_utf8() { UNICODE } else { ASCII };
        let forest = self.forest();
        let mut drawn = Vec::with_capacity(self.rows.len());
        let mut stack: Vec<(usize, String, String)> =
            forest.roots.iter().rev().map(|&root| (root, String::new(), String::new())).collect();
        while let Some((row, own, below)) = stack.pop() {
            let children = &forest.children[row];
            for (place, &child) in children.iter().enumerate().rev() {
                let is_last = place + 1 == children.len();
                let own = format!("{below}{}", if is_last { symbols.last } else { symbols.branch });
                let next = format!("{below}{}", if is_last { "  " } else { symbols.line });
                stack.push((child, own, next));
            }
            let further = if children.is_empty() { below } else { below + symbols.line };
            drawn.push((row, own, further));
        }
        drawn
    }

    fn print_plain(&self, format: Format, out: &mut String) {
        let heading = |column: &Column| column.name.to_owned();
        if format == Format::Raw && self.headings {
            let _ = writeln!(out, "{}", self.columns.iter().map(heading).collect::<Vec<_>>().join(" "));
        }
        for (row, art, _) in self.drawn() {
            for (number, (column, cell)) in self.columns.iter().zip(&self.rows[row].cells).enumerate() {
                if number > 0 {
                    out.push(' ');
                }
                let art = if column.tree { art.as_str() } else { "" };
                if format == Format::Raw {
                    raw_escape(art, out);
                    raw_escape(cell, out);
                } else {
                    let _ = write!(out, "{}=\"", column.name);
                    pair_escape(cell, out);
                    out.push('"');
                }
            }
            out.push('\n');
        }
    }

    fn print_table(&self, terminal: Option<usize>, out: &mut String) {
        // Each cell's lines, made safe to print.
        let rows: Vec<Vec<Vec<String>>> = self
            .drawn()
            .into_iter()
            .map(|(row, art, further)| {
                let cells = self.columns.iter().zip(&self.rows[row].cells);
                cells
                    .map(|(column, cell)| {
                        let mut lines: Vec<String> = if column.lines {
                            cell.split('\n').map(width::printable).collect()
                        } else {
                            vec![width::printable(cell)]
                        };
                        if column.tree {
                            lines[0].insert_str(0, &art);
                            lines.push(further.clone());
                        }
                        lines
                    })
                    .collect()
            })
            .collect();
        let widths = self.widths(&rows, terminal);
        if self.headings {
            let headings: Vec<String> = self.columns.iter().map(|column| column.name.to_owned()).collect();
            self.print_line(headings.iter().map(String::as_str), &widths, out);
        }
        for cells in &rows {
            let plain = self.columns.iter().zip(cells).filter(|(column, _)| !column.tree);
            let height = plain.map(|(_, lines)| lines.len()).max().unwrap_or(1);
            for line in 0..height {
                let texts = self.columns.iter().zip(cells).map(|(column, lines)| {
                    let line = if column.tree { line.min(1) } else { line };
                    lines.get(line).map_or("", String::as_str)
                });
                self.print_line(texts, &widths, out);
            }
        }
    }

    /// Every column as wide as its widest value or its heading, then fitted to the terminal.
    fn widths(&self, rows: &[Vec<Vec<String>>], terminal: Option<usize>) -> Vec<usize> {
        let mut widths = Vec::with_capacity(self.columns.len());
        let mut least = Vec::with_capacity(self.columns.len());
        for (number, column) in self.columns.iter().enumerate() {
            let lines = rows.iter().flat_map(|cells| {
                let lines = &cells[number];
                &lines[..if column.tree { 1 } else { lines.len() }]
            });
            let widest = lines.map(|line| width::of(line)).max().unwrap_or(0);
            let heading = if self.headings { width::of(column.name) } else { 0 };
            let min = heading.max(1);
            least.push(min);
            widths.push(if widest == 0 && heading == 0 {
                0
            } else if widest <= min {
                min
            } else if widest < column.hint && min < column.hint {
                column.hint
            } else {
                widest
            });
        }
        let Some(terminal) = terminal else { return widths };
        let mut total = widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
        // What may be cut gives way, the widest first.
        while total > terminal {
            let widest = (0..widths.len())
                .filter(|&number| self.columns[number].cut && widths[number] > least[number])
                .max_by_key(|&number| widths[number]);
            let Some(number) = widest else { break };
            widths[number] -= 1;
            total -= 1;
        }
        // What is narrower than it would like gets what is left.
        let mut changed = true;
        while total < terminal && changed {
            changed = false;
            for (number, column) in self.columns.iter().enumerate().rev() {
                if total < terminal && widths[number] < column.hint {
                    widths[number] += 1;
                    total += 1;
                    changed = true;
                }
            }
        }
        widths
    }

    fn print_line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize], out: &mut String) {
        let last = self.columns.len() - 1;
        for (number, ((column, cell), &wanted)) in self.columns.iter().zip(cells).zip(widths).enumerate() {
            let cell = if column.cut { width::cut(cell, wanted) } else { cell };
            let padding = wanted.saturating_sub(width::of(cell));
            if column.right && !cell.is_empty() {
                out.extend(std::iter::repeat_n(' ', padding));
                out.push_str(cell);
            } else {
                out.push_str(cell);
                if number != last {
                    out.extend(std::iter::repeat_n(' ', padding));
                }
            }
            if number != last {
                out.push(' ');
            }
        }
        out.push('\n');
    }

    fn print_json(&self, out: &mut String) {
        let forest = self.forest();
        let _ = write!(out, "{{\n   \"{}\": [\n", self.name);
        self.print_json_rows(&forest, &forest.roots, 2, out);
        out.push_str("\n   ]\n}\n");
    }

    fn print_json_rows(&self, forest: &Forest, rows: &[usize], depth: usize, out: &mut String) {
        let indent = "   ".repeat(depth);
        for (place, &row) in rows.iter().enumerate() {
            out.push_str(if place == 0 { &indent } else { "," });
            out.push_str("{\n");
            for (number, (column, cell)) in self.columns.iter().zip(&self.rows[row].cells).enumerate() {
                if number > 0 {
                    out.push_str(",\n");
                }
                let _ = write!(out, "{indent}   \"{}\": ", column.name.to_ascii_lowercase());
                if cell.is_empty() {
                    out.push_str("null");
                } else if column.number {
                    out.push_str(cell);
                } else {
                    json_string(cell, out);
                }
            }
            let children = &forest.children[row];
            if !children.is_empty() {
                let _ = write!(out, ",\n{indent}   \"children\": [\n");
                self.print_json_rows(forest, children, depth + 2, out);
                let _ = write!(out, "\n{indent}   ]");
            }
            let _ = write!(out, "\n{indent}}}");
        }
    }
}

fn raw_escape(text: &str, out: &mut String) {
    for byte in text.chars().flat_map(width::bytes_of) {
        if byte.is_ascii_graphic() && byte != b'\\' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

fn pair_escape(text: &str, out: &mut String) {
    for byte in text.chars().flat_map(width::bytes_of) {
        if (byte.is_ascii_graphic() || byte == b' ') && !b"\\\"`$".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// A JSON string with its quotes.
pub(crate) fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            // JSON is UTF-8.
            c if width::stray(c).is_some() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &'static str, tree: bool) -> Column {
        Column { name, hint: 0, right: false, cut: tree, lines: false, tree, number: false }
    }

    fn table() -> Table {
        let number = Column { right: true, number: true, hint: 10, ..column("NS", false) };
        let row = |ns: &str, command: &str, parent| Row { cells: vec![ns.into(), command.into()], parent };
        Table {
            name: "namespaces",
            columns: vec![number, column("COMMAND", true)],
            rows: vec![row("1", "init", None), row("20", "a b", Some(0)), row("3", "", Some(0))],
            headings: true,
        }
    }

    #[test]
    fn raw_values_have_no_blanks_in_them() {
        assert!(table().print(Format::Raw, None).contains("a\\x20b\n"));
    }

    #[test]
    fn a_table_is_cut_to_the_terminal() {
        let mut table = table();
        table.rows[0].cells[1] = "x".repeat(300);
        let text = table.print(Format::Table, Some(40));
        assert!(text.lines().all(|line| width::of(line) <= 40), "{text}");
        assert!(text.lines().any(|line| width::of(line) == 40), "{text}");
    }

    #[test]
    fn json_nests_children_and_has_null_for_nothing() {
        let json: serde_json::Value = serde_json::from_str(&table().print(Format::Json, None)).unwrap();
        let children = &json["namespaces"][0]["children"];
        assert_eq!(children[0]["ns"], 20);
        assert!(children[1]["command"].is_null());
    }

    #[test]
    fn an_empty_table_prints_nothing_but_is_an_empty_array_in_json() {
        let table = Table { rows: Vec::new(), ..table() };
        assert_eq!(table.print(Format::Table, None), "");
        let json: serde_json::Value = serde_json::from_str(&table.print(Format::Json, None)).unwrap();
        assert_eq!(json["namespaces"].as_array().unwrap().len(), 0);
    }
}
