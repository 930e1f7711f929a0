//! Containers: a card each, in boxes around those that share namespaces.

use super::super::{Card, Group, Section};
use super::canvas::{Canvas, GAP, MARGIN, measure};
use super::{CARD, LINE};
use nskit::namespace::Kind;

/// The head of a box around several, and how many are side by side in it.
const HEAD: f64 = 26.0;
const ABREAST: usize = 3;

/// Draws a section.
pub(super) fn draw(canvas: &mut Canvas, section: &Section, columns: usize) {
    canvas.heading(&section.title, "");
    let right = canvas.wide - MARGIN;
    let (mut x, mut shelf) = (MARGIN, 0.0_f64);
    for group in &section.groups {
        if group.name.is_empty() {
            canvas.y += if shelf > 0.0 { shelf + GAP } else { 0.0 };
            (x, shelf) = (MARGIN, 0.0);
            grid(canvas, &group.cards, MARGIN, columns);
            continue;
        }
        let abreast = group.cards.len().clamp(1, ABREAST.min(columns));
        let wide = abreast as f64 * (CARD + GAP) + GAP;
        if x + wide > right && x > MARGIN {
            canvas.y += shelf + GAP;
            (x, shelf) = (MARGIN, 0.0);
        }
        let high = boxed(canvas, group, x, wide, abreast);
        shelf = shelf.max(high);
        x += wide + GAP;
    }
    canvas.y += if shelf > 0.0 { shelf + GAP } else { 0.0 };
}

/// A box around containers that share namespaces; returns how high it is.
fn boxed(canvas: &mut Canvas, group: &Group, x: f64, wide: f64, abreast: usize) -> f64 {
    let top = canvas.y;
    let high = HEAD + heights(&group.cards, abreast).iter().map(|row| row + GAP).sum::<f64>();
    canvas.rect(x, top, wide, high, "pod", 8.0);
    let name = measure(&group.name, 7.8) + 2.0 * GAP;
    let half = if group.shared.is_empty() { wide } else { name.clamp(wide * 0.3, wide * 0.6) };
    canvas.fitted(x + GAP, top + 17.0, half - GAP, "name", &group.name);
    canvas.fitted(x + half + GAP, top + 17.0, wide - half - 2.0 * GAP, "small", &group.shared);
    canvas.y = top + HEAD;
    grid(canvas, &group.cards, x + GAP, abreast);
    canvas.y = top;
    high
}

/// Cards side by side in rows.
fn grid(canvas: &mut Canvas, cards: &[Card], left: f64, columns: usize) {
    for (row, high) in cards.chunks(columns).zip(heights(cards, columns)) {
        for (column, card) in row.iter().enumerate() {
            draw_card(canvas, card, left + column as f64 * (CARD + GAP), high);
        }
        canvas.y += high + GAP;
    }
}

fn heights(cards: &[Card], columns: usize) -> Vec<f64> {
    let rows = cards.chunks(columns.max(1));
    rows.map(|row| row.iter().map(height).fold(0.0, f64::max)).collect()
}

fn height(card: &Card) -> f64 {
    let lines = 1 + usize::from(!card.about.is_empty()) + usize::from(!card.warning.is_empty());
    lines as f64 * LINE + 30.0
}

fn draw_card(canvas: &mut Canvas, card: &Card, x: f64, high: f64) {
    let top = canvas.y;
    canvas.begin_link(Some(card.place));
    canvas.rect(x, top, CARD, high, "card", 6.0);
    let room = CARD - 16.0;
    let mut y = top + 17.0;
    canvas.fitted(x + 8.0, y, room, "name", &card.title);
    for (class, text) in [("faint", &card.about), ("warning", &card.warning)] {
        if !text.is_empty() {
            y += LINE;
            canvas.fitted(x + 8.0, y, room, class, text);
        }
    }
    let wide = (room + 3.0) / card.marks.len().max(1) as f64;
    for (number, (kind, mark)) in card.marks.iter().enumerate() {
        let left = x + 8.0 + number as f64 * wide.min(40.0);
        canvas.chip(left, top + high - 21.0, mark.class(), short(*kind), wide.min(40.0) - 3.0);
    }
    canvas.end_link(Some(card.place));
}

/// A kind in at most four letters.
pub(super) fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Cgroup => "cgr",
        kind => kind.proc_name(),
    }
}
