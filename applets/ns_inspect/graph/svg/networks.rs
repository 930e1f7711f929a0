//! Networks: the host on the left, bridges in the middle, and the network namespaces behind each on the right.

use super::super::{Band, End, Networks};
use super::canvas::{Canvas, GAP, MARGIN};
use super::{CARD, LINE};

/// How wide a bridge's box is, and how long the wires are.
const BRIDGE: f64 = 180.0;
const WIRE: f64 = 46.0;

/// Draws the section.
pub(super) fn draw(canvas: &mut Canvas, networks: &Networks) {
    canvas.heading("Networks", "host, bridges, and the network namespaces behind them");
    let top = canvas.y;
    let host = (networks.host.len() + networks.published.len()) as f64 * LINE
        + if networks.published.is_empty() { 0.0 } else { LINE }
        + 34.0;
    let left = MARGIN + CARD + WIRE + BRIDGE + WIRE;
    let columns = (((canvas.wide - MARGIN - left) / (CARD + GAP)) as usize).max(1);
    let heights: Vec<f64> = networks.bands.iter().map(|band| band_height(band, columns)).collect();
    let bands: f64 = heights.iter().map(|high| high + GAP).sum::<f64>() - if heights.is_empty() { 0.0 } else { GAP };
    let high = host.max(bands);
    draw_host(canvas, networks, top, host);
    let mut y = top;
    for (band, band_high) in networks.bands.iter().zip(heights) {
        canvas.wire((MARGIN + CARD, top + host / 2.0), (MARGIN + CARD + WIRE, level(y, band_high)));
        draw_band(canvas, band, y, band_high, columns);
        y += band_high + GAP;
    }
    canvas.y = top + high + GAP;
    if !networks.alone.is_empty() {
        let text = format!("no link leads out of {}: {}", networks.alone.len(), networks.alone.join(", "));
        canvas.line(&text, "faint");
    }
    if networks.unseen > 0 {
        let plural = if networks.unseen == 1 { "namespace was" } else { "namespaces were" };
        canvas.line(&format!("{} network {plural} not looked into", networks.unseen), "faint");
    }
}

fn draw_host(canvas: &mut Canvas, networks: &Networks, top: f64, high: f64) {
    canvas.rect(MARGIN, top, CARD, high, "machine", 8.0);
    canvas.text(MARGIN + GAP, top + 19.0, "name", "host");
    let mut y = top + 21.0;
    for line in &networks.host {
        y += LINE;
        canvas.fitted(MARGIN + GAP, y, CARD - 2.0 * GAP, "small", line);
    }
    if !networks.published.is_empty() {
        y += LINE;
        canvas.text(MARGIN + GAP, y, "text", "published ports");
    }
    for line in &networks.published {
        y += LINE;
        canvas.fitted(MARGIN + GAP, y, CARD - 2.0 * GAP, "small", line);
    }
}

fn draw_band(canvas: &mut Canvas, band: &Band, top: f64, high: f64, columns: usize) {
    let x = MARGIN + CARD + WIRE;
    let own = band.lines.len() as f64 * LINE + 34.0;
    let middle = level(top, high);
    canvas.rect(x, middle - own / 2.0, BRIDGE, own, "bridge", 8.0);
    canvas.fitted(x + GAP, middle - own / 2.0 + 19.0, BRIDGE - 2.0 * GAP, "name", &band.name);
    for (number, line) in band.lines.iter().enumerate() {
        let y = middle - own / 2.0 + 36.0 + number as f64 * LINE;
        canvas.fitted(x + GAP, y, BRIDGE - 2.0 * GAP, "small", line);
    }
    let right = x + BRIDGE;
    canvas.wire((right, middle), (right + WIRE, middle));
    let abreast = band.ends.len().clamp(1, columns);
    canvas.rect(right + WIRE, top, abreast as f64 * (CARD + GAP) + GAP, high, "frame", 8.0);
    let mut y = top + GAP;
    for row in band.ends.chunks(columns) {
        let row_high = row.iter().map(end_height).fold(0.0, f64::max);
        for (column, end) in row.iter().enumerate() {
            draw_end(canvas, end, right + WIRE + GAP + column as f64 * (CARD + GAP), y, row_high);
        }
        y += row_high + GAP;
    }
}

fn draw_end(canvas: &mut Canvas, end: &End, x: f64, y: f64, high: f64) {
    canvas.begin_link(end.place);
    canvas.rect(x, y, CARD, high, "card", 6.0);
    canvas.fitted(x + 8.0, y + 17.0, CARD - 16.0, "name", &end.title);
    for (number, line) in end.lines.iter().enumerate() {
        canvas.fitted(x + 8.0, y + 32.0 + number as f64 * LINE, CARD - 16.0, "small", line);
    }
    canvas.end_link(end.place);
}

fn end_height(end: &End) -> f64 {
    end.lines.len() as f64 * LINE + 26.0
}

/// Where wires run: in the middle of a band, unless that is far down.
fn level(top: f64, high: f64) -> f64 {
    top + (high / 2.0).min(70.0)
}

fn band_height(band: &Band, columns: usize) -> f64 {
    let rows = band.ends.chunks(columns).map(|row| row.iter().map(end_height).fold(0.0, f64::max) + GAP);
    (rows.sum::<f64>() + GAP).max(band.lines.len() as f64 * LINE + 34.0)
}
