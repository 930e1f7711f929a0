//! The picture as SVG. Boxes are arranged by the layout library; what is in them is drawn here.

use std::fmt::Write as _;

use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::super::width;
use super::{Picture, Shape};

/// Height of a line of text, of the letters in it, and the room around text in a box.
const LINE: f64 = 17.0;
const FONT: f64 = 14.0;
const PADDING: f64 = 10.0;

/// About how wide a letter of a sans-serif font is, and one in bold.
const LETTER: f64 = 7.8;
const BOLD: f64 = 8.7;

/// Between the boxes of a group, and around the picture.
const GAP: f64 = 10.0;
const MARGIN: f64 = 20.0;

/// The room in front of a box in which arrows turn to it.
const GUTTER: f64 = 60.0;

/// How much wider than high a group had best be.
const SHAPE: f64 = 1.4;

impl Picture {
    /// A picture, laid out here.
    pub(crate) fn svg(&self) -> String {
        let mut graph = VisualGraph::new(Orientation::LeftToRight);
        let mut handles = Vec::new();
        let widths = self.widths();
        for (number, node) in self.nodes.iter().enumerate() {
            if node.group.is_some() {
                handles.push(None);
                continue;
            }
            let (_, high) = self.size(number);
            let wide = widths[number];
            // The text names the box, for the canvas to fill.
            let shape = ShapeKind::new_box(&format!("#{number}#"));
            let look = StyleAttr::simple();
            let element = Element::create(shape, look, Orientation::LeftToRight, Point::new(wide, high));
            handles.push(Some(graph.add_node(element)));
        }
        for (number, (from, to, label)) in self.arrows.iter().enumerate() {
            let (Some(from), Some(to)) = (handles[*from], handles[*to]) else { continue };
            let look = StyleAttr::new(Color::new(0x8888_88ff), 1, None, 0, 12);
            let (none, arrow, line) = (LineEndKind::None, LineEndKind::Arrow, LineStyleKind::Normal);
            let mut arrow = Arrow::new(none, arrow, line, label, &look, &None, &None);
            arrow.properties = Some(number.to_string());
            graph.add_edge(arrow, from, to);
        }
        let drawn = vec![None; self.nodes.len()];
        let mut canvas = Canvas {
            picture: self,
            widths,
            drawn,
            boxes: String::new(),
            arrows: String::new(),
            least: None,
            most: None,
        };
        graph.do_it(false, false, false, &mut canvas);
        canvas.finish()
    }

    /// How much room each box gets from left to right: as much as the widest of those at the same distance from the host,
    /// so that they begin on one line, and no arrow to one passes another.
    fn widths(&self) -> Vec<f64> {
        let mut ranks = vec![0; self.nodes.len()];
        // No arrow leads back, so that this ends; a picture with a circle would only be uglier.
        for _ in 0..self.nodes.len() {
            let mut moved = false;
            for (from, to, _) in &self.arrows {
                if ranks[*to] <= ranks[*from] {
                    ranks[*to] = ranks[*from] + 1;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        let sizes: Vec<f64> = (0..self.nodes.len()).map(|number| self.size(number).0).collect();
        let is_drawn = |number: &usize| self.nodes[*number].group.is_none();
        let widest = |rank: usize| {
            let same = (0..sizes.len()).filter(is_drawn).filter(|&number| ranks[number] == rank);
            same.map(|number| sizes[number]).fold(0.0, f64::max)
        };
        ranks.iter().map(|&rank| widest(rank)).collect()
    }

    /// How wide and high a box is.
    fn size(&self, number: usize) -> (f64, f64) {
        let lines = &self.nodes[number].lines;
        let bold = lines.first().map_or(0.0, |line| width::of(line) as f64 * BOLD);
        let longest = lines.iter().map(|line| width::of(line) as f64 * LETTER).fold(bold, f64::max);
        let own = (longest + 2.0 * PADDING, lines.len() as f64 * LINE + 2.0 * PADDING);
        let members = self.members(number);
        if members.is_empty() {
            return own;
        }
        let (wide, rows) = self.rows(&members);
        let columns = members.len().div_ceil(rows.len()) as f64;
        let high: f64 = rows.iter().map(|row| row + GAP).sum();
        (own.0.max(columns * (wide + GAP) + GAP), own.1 + high)
    }

    /// How a group's boxes are laid out: how wide all are, and how high those of each row.
    fn rows(&self, members: &[usize]) -> (f64, Vec<f64>) {
        let sizes: Vec<(f64, f64)> = members.iter().map(|&member| self.size(member)).collect();
        let wide = sizes.iter().map(|size| size.0).fold(0.0, f64::max);
        let with = |columns: usize| -> Vec<f64> {
            sizes.chunks(columns).map(|row| row.iter().map(|size| size.1).fold(0.0, f64::max)).collect()
        };
        let shape = |columns: usize| {
            let high: f64 = with(columns).iter().map(|row| row + GAP).sum();
            (columns as f64 * (wide + GAP) / high / SHAPE).ln().abs()
        };
        let columns = (1..=members.len()).min_by(|&a, &b| shape(a).total_cmp(&shape(b))).unwrap_or(1);
        (wide, with(columns))
    }
}

/// Draws what the layout library has arranged.
struct Canvas<'a> {
    picture: &'a Picture,
    /// How much room each box has.
    widths: Vec<f64>,
    /// Where the middles of the left and the right edge of each box are, once it was drawn.
    drawn: Vec<Option<(Point, Point)>>,
    boxes: String,
    arrows: String,
    least: Option<Point>,
    most: Option<Point>,
}

impl Canvas<'_> {
    fn grow(&mut self, point: Point) {
        let least = self.least.unwrap_or(point);
        let most = self.most.unwrap_or(point);
        self.least = Some(Point::new(least.x.min(point.x), least.y.min(point.y)));
        self.most = Some(Point::new(most.x.max(point.x), most.y.max(point.y)));
    }

    /// A box and its text, whose upper left corner is there.
    fn draw(&mut self, number: usize, corner: Point, size: (f64, f64)) {
        let node = &self.picture.nodes[number];
        let (fill, line) = node.shape.colours();
        let _ = writeln!(
            self.boxes,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\" fill=\"#{fill}\" stroke=\"#{line}\"/>",
            corner.x, corner.y, size.0, size.1
        );
        let is_group = node.shape == Shape::Group;
        let high = if is_group { LINE + 2.0 * PADDING } else { size.1 };
        // Letters stand on their line, a third of their height below its middle.
        let mut y = corner.y + (high - node.lines.len() as f64 * LINE) / 2.0 + LINE / 2.0 + FONT * 0.35;
        let (x, anchor) = if is_group { (corner.x + GAP, "start") } else { (corner.x + size.0 / 2.0, "middle") };
        for (place, line) in node.lines.iter().enumerate() {
            let bold = if place == 0 { " font-weight=\"bold\"" } else { "" };
            let _ = writeln!(
                self.boxes,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{bold}>{}</text>",
                escape(line)
            );
            y += LINE;
        }
        let members = self.picture.members(number);
        if members.is_empty() {
            return;
        }
        let (wide, rows) = self.picture.rows(&members);
        let mut at = corner.y + high;
        for (row, high) in members.chunks(members.len().div_ceil(rows.len())).zip(rows) {
            for (column, &member) in row.iter().enumerate() {
                let x = corner.x + GAP + column as f64 * (wide + GAP);
                self.draw(member, Point::new(x, at), (wide, high));
            }
            at += high + GAP;
        }
    }

    fn finish(self) -> String {
        let least = self.least.unwrap_or(Point::zero());
        let most = self.most.unwrap_or(least);
        let (wide, high) = (most.x - least.x + 2.0 * MARGIN, most.y - least.y + 2.0 * MARGIN);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide:.0}\" height=\"{high:.0}\" viewBox=\"0 0 {wide:.0} {high:.0}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"{FONT}\">\n\
             <defs><marker id=\"end\" markerWidth=\"10\" markerHeight=\"7\" refX=\"10\" refY=\"3.5\" orient=\"auto\">\
             <polygon points=\"0 0, 10 3.5, 0 7\" fill=\"#888888\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <g transform=\"translate({:.1} {:.1})\">\n{}{}</g>\n</svg>\n",
            MARGIN - least.x,
            MARGIN - least.y,
            self.arrows,
            self.boxes
        )
    }
}

impl RenderBackend for Canvas<'_> {
    /// Boxes are drawn with their text.
    fn draw_rect(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>, _: Option<ClipHandle>) {}

    fn draw_line(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn draw_circle(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn draw_text(&mut self, centre: Point, text: &str, _: &StyleAttr) {
        let number = text.strip_prefix('#').and_then(|text| text.strip_suffix('#')?.parse::<usize>().ok());
        if let Some(number) = number {
            let size = self.picture.size(number);
            let room = self.widths[number];
            let corner = Point::new(centre.x - room / 2.0, centre.y - size.1 / 2.0);
            self.drawn[number] = Some((Point::new(corner.x, centre.y), Point::new(corner.x + size.0, centre.y)));
            self.grow(corner);
            self.grow(Point::new(corner.x + size.0, corner.y + size.1));
            self.draw(number, corner, size);
        } else if !text.trim().is_empty() {
            // An arrow's label, on a ground that the arrow does not cross out.
            let half = width::of(text) as f64 * LETTER * 0.85 / 2.0 + 2.0;
            let _ = writeln!(
                self.boxes,
                "<path d=\"M {:.1} {:.1} h {:.1} v 16 h -{:.1} z\" fill=\"white\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\" font-size=\"12\" fill=\"#555555\">{}</text>",
                centre.x - half,
                centre.y - 8.0,
                2.0 * half,
                2.0 * half,
                centre.x,
                centre.y + 4.0,
                escape(text)
            );
        }
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        _: bool,
        _: (bool, bool),
        _: &StyleAttr,
        number: Option<String>,
        _: &str,
    ) {
        let arrow = number.and_then(|number| self.picture.arrows.get(number.parse::<usize>().ok()?));
        let Some((from, to, _)) = arrow else { return };
        let (Some((_, start)), Some((end, _))) = (self.drawn[*from], self.drawn[*to]) else { return };
        // From edge to edge, level at both, and at the bends that lead it past other boxes or through its label.
        let bends = path.get(1..path.len() - 1).unwrap_or_default().iter().map(|bend| bend.1);
        let right = start.x.max(end.x - GUTTER);
        let first = bends.clone().next().map_or(right, |bend| right.min(bend.x));
        let mut line = format!("M {:.1} {:.1} H {first:.1}", start.x, start.y);
        let mut at = Point::new(first, start.y);
        for next in bends.chain([end]) {
            let half = (at.x + next.x) / 2.0;
            let _ = write!(line, " C {half:.1} {:.1}, {half:.1} {:.1}, {:.1} {:.1}", at.y, next.y, next.x, next.y);
            at = next;
        }
        let _ = writeln!(self.arrows, "<path d=\"{line}\" fill=\"none\" stroke=\"#888888\" marker-end=\"url(#end)\"/>");
    }

    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
