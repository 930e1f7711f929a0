//! Id maps: a bar for each range of the host's ids that a user namespace has. The axis is stretched where there is something
//! to see: as many ids as there are would leave a bar of 65,536 no wider than a hair.

use super::super::{Maps, Range};
use super::canvas::{Canvas, GAP, MARGIN};

/// How wide the names are, and how high a row is.
const NAMES: f64 = 300.0;
const ROW: f64 = 22.0;

/// Draws the section.
pub(super) fn draw(canvas: &mut Canvas, maps: &Maps) {
    if maps.rows.is_empty() {
        return;
    }
    canvas.heading("Id maps", "the host's ids that user namespaces have; red: others beside them have them too");
    let ranges: Vec<Range> = maps.rows.iter().flat_map(|row| row.ranges.iter().copied()).collect();
    let axis = Axis::of(&ranges, MARGIN + NAMES, canvas.wide - MARGIN - 40.0);
    let top = canvas.y;
    let bottom = top + maps.rows.len() as f64 * ROW;
    for &(_, x) in &axis.stops {
        canvas.rule(x, top, bottom);
    }
    for row in &maps.rows {
        let name = format!("{} ({})", row.title, row.ids);
        canvas.fitted(MARGIN, canvas.y + 14.0, NAMES - GAP, "text", &name);
        for range in &row.ranges {
            let (left, right) = (axis.at(range.outer), axis.at(range.end()));
            let class = if range.is_shared { "overlap" } else { "range" };
            let mut about = format!("{}: {} ({} ids)", row.title, describe(*range), range.count);
            if range.is_shared && !row.overlaps.is_empty() {
                about.push_str(&format!("; also of {}", row.overlaps.join(", ")));
            }
            canvas.bar(left, canvas.y + 3.0, (right - left).max(3.0), class, &about);
            let text = describe(*range);
            if super::canvas::measure(&text, 5.9) + 8.0 < right - left {
                canvas.text(left + 4.0, canvas.y + 13.5, "small", &text);
            }
        }
        canvas.y += ROW;
    }
    // As many of the numbers as do not touch.
    let mut free = f64::MIN;
    for &(id, x) in &axis.stops {
        let text = id.to_string();
        if x > free {
            canvas.text(x, canvas.y + 10.0, "tick", &text);
            free = x + super::canvas::measure(&text, 5.6) + 6.0;
        }
    }
    canvas.y += 18.0;
    if maps.more > 0 {
        canvas.line(&format!("and {} more id maps", maps.more), "faint");
    }
}

/// A range: the ids inside, and the host's that they are.
fn describe(range: Range) -> String {
    let last = range.count - 1;
    match range.count {
        1 => format!("{} = host {}", range.inner, range.outer),
        _ => format!("{}-{} = host {}-{}", range.inner, range.inner + last, range.outer, range.outer + last),
    }
}

/// Where ids are from left to right: between two ends of ranges, as much room as there are digits in the number of ids.
struct Axis {
    stops: Vec<(u64, f64)>,
}

impl Axis {
    fn of(ranges: &[Range], left: f64, right: f64) -> Axis {
        let mut ends: Vec<u64> = ranges.iter().flat_map(|range| [range.outer, range.end()]).collect();
        ends.sort_unstable();
        ends.dedup();
        let is_used = |from: u64| ranges.iter().any(|range| range.outer <= from && from < range.end());
        let weights: Vec<f64> = ends
            .windows(2)
            .map(|pair| if is_used(pair[0]) { ((pair[1] - pair[0]) as f64).log2() + 2.0 } else { 1.5 })
            .collect();
        let total: f64 = weights.iter().sum::<f64>().max(1.0);
        let mut x = left;
        let mut stops = Vec::with_capacity(ends.len());
        for (number, end) in ends.into_iter().enumerate() {
            stops.push((end, x));
            x += weights.get(number).copied().unwrap_or_default() / total * (right - left);
        }
        Axis { stops }
    }

    /// Where an end of a range is.
    fn at(&self, id: u64) -> f64 {
        let place = self.stops.binary_search_by_key(&id, |stop| stop.0).unwrap_or_else(|place| place);
        self.stops.get(place).or(self.stops.last()).map_or(0.0, |stop| stop.1)
    }
}
