//! The list of containers: which rows there are, which are seen, and which one is selected.

use super::super::grid::Grid;
use super::super::{Choice, arrange};
use super::keys::Key;

/// The rows, sorted and filtered.
pub(super) struct List {
    pub(super) grid: Grid,
    /// How many containers there are, the filtered ones too.
    pub(super) all: usize,
    /// The first row that is seen, and the selected one.
    pub(super) top: usize,
    pub(super) selected: usize,
    /// The pid of the selected container, which stays selected wherever it moves.
    pid: Option<u64>,
    /// How many rows there is room for, since it was drawn last.
    pub(super) room: usize,
}

impl List {
    pub(super) fn new() -> List {
        List { grid: Grid::new(&["CONTAINER"]), all: 0, top: 0, selected: 0, pid: None, room: 1 }
    }

    /// Shows other rows; the selected container stays so while it is there.
    pub(super) fn fill(&mut self, mut grid: Grid, choice: &Choice) -> anyhow::Result<()> {
        self.all = grid.len();
        arrange(&mut grid, choice)?;
        self.grid = grid;
        let place = (0..self.grid.len()).find(|&row| self.pid.is_some() && self.grid.number(row, "PID") == self.pid);
        self.selected = place.unwrap_or(self.selected);
        self.keep();
        Ok(())
    }

    /// Selects whatever is in the first row, once there are other rows.
    pub(super) fn rewind(&mut self) {
        (self.selected, self.top, self.pid) = (0, 0, None);
    }

    /// The pid of the selected container.
    pub(super) fn pid(&self) -> Option<i32> {
        let pid = (self.selected < self.grid.len()).then(|| self.grid.number(self.selected, "PID")).flatten()?;
        i32::try_from(pid).ok()
    }

    /// Moves by a key; tells whether it was one of those that do.
    pub(super) fn moved(&mut self, key: Key) -> bool {
        let page = self.room.saturating_sub(1).max(1);
        match key {
            Key::Up | Key::Char('k') => self.selected = self.selected.saturating_sub(1),
            Key::Down | Key::Char('j') => self.selected += 1,
            Key::PageUp | Key::Char('b') => {
                (self.selected, self.top) = (self.selected.saturating_sub(page), self.top.saturating_sub(page));
            }
            Key::PageDown | Key::Char(' ') => (self.selected, self.top) = (self.selected + page, self.top + page),
            Key::Home | Key::Char('g') => self.selected = 0,
            Key::End | Key::Char('G') => self.selected = usize::MAX / 2,
            _ => return false,
        }
        self.pid = None;
        self.keep();
        true
    }

    /// Keeps the selected row within the rows, and in sight.
    pub(super) fn keep(&mut self) {
        self.selected = self.selected.min(self.grid.len().saturating_sub(1));
        self.pid = self.pid().and_then(|pid| u64::try_from(pid).ok());
        self.top = self.top.min(self.grid.len().saturating_sub(self.room)).min(self.selected);
        self.top = self.top.max((self.selected + 1).saturating_sub(self.room));
    }

    /// Which rows are seen, of how many.
    pub(super) fn place(&self, filtered: bool) -> String {
        let (rows, all) = (self.grid.len(), self.all);
        let last = (self.top + self.room).min(rows);
        let seen = match rows {
            0 => "no container".to_owned(),
            _ if last - self.top == rows => format!("{rows} container{}", if rows == 1 { "" } else { "s" }),
            _ => format!("{}-{last} of {rows} containers", self.top + 1),
        };
        match all - rows {
            0 if !filtered => seen,
            hidden => format!("{seen}, {hidden} hidden by the filter"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::grid::Cell;
    use super::*;

    fn grid(pids: impl Iterator<Item = u64>) -> Grid {
        let mut grid = Grid::new(&["CONTAINER", "PID"]);
        pids.for_each(|pid| grid.add(vec![Cell::text(format!("web-{pid}")), Cell::number(Some(pid))]));
        grid
    }

    #[test]
    fn the_selected_container_stays_selected_where_rows_come_and_go() {
        let mut list = List { room: 5, ..List::new() };
        list.fill(grid(1..=100), &Choice::default()).unwrap();
        assert!((0..7).all(|_| list.moved(Key::Down)));
        assert_eq!((list.pid(), list.top), (Some(8), 3));
        list.fill(grid(4..=100), &Choice::default()).unwrap();
        assert_eq!((list.pid(), list.selected), (Some(8), 4));
        // It ended: the one in its place.
        list.fill(grid(9..=100), &Choice::default()).unwrap();
        assert_eq!(list.pid(), Some(13));
        list.moved(Key::End);
        assert_eq!((list.pid(), list.place(false).as_str()), (Some(100), "88-92 of 92 containers"));
        list.fill(grid(0..0), &Choice::default()).unwrap();
        assert_eq!((list.pid(), list.place(true).as_str()), (None, "no container, 0 hidden by the filter"));
    }
}
