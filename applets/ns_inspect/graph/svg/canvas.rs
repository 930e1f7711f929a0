//! Elements of SVG, and what all sections do alike.

use std::fmt::Write as _;

use super::super::super::width;
use super::Dress;

/// Around the picture, and between boxes.
pub(super) const MARGIN: f64 = 20.0;
pub(super) const GAP: f64 = 10.0;

/// About how wide a letter is, by class.
fn letter(class: &str) -> f64 {
    match class {
        "title" => 10.6,
        "heading" => 8.4,
        "name" => 7.6,
        "faint" | "small" | "warning" => 5.9,
        _ => 6.3,
    }
}

/// How wide a text is whose letters are that wide.
pub(super) fn measure(text: &str, letter: f64) -> f64 {
    width::of(text) as f64 * letter
}

/// What was drawn, from top to bottom.
pub(super) struct Canvas {
    dress: Dress,
    out: String,
    pub(super) wide: f64,
    /// How far down it has been drawn.
    pub(super) y: f64,
}

impl Canvas {
    pub(super) fn new(dress: Dress, wide: f64) -> Canvas {
        Canvas { dress, out: String::new(), wide, y: 0.0 }
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, wide: f64, high: f64, class: &str, round: f64) {
        let _ = writeln!(
            self.out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" rx=\"{round}\"/>"
        );
    }

    /// A text that begins there, whose letters stand on `y`.
    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escape(text);
        let _ = writeln!(self.out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }

    /// A text that is cut in the middle where it is wider than that; the whole is shown on demand.
    pub(super) fn fitted(&mut self, x: f64, y: f64, wide: f64, class: &str, text: &str) {
        let room = (wide / letter(class)) as usize;
        let text = width::safe(text);
        let fitted = width::fit_middle_before(&text, room, "…");
        if fitted == text {
            return self.text(x, y, class, &text);
        }
        let (fitted, text) = (escape(&fitted), escape(&text));
        let title = format!("<title>{text}</title>");
        let _ = writeln!(self.out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{title}{fitted}</text>");
    }

    /// A small box with a word in it.
    pub(super) fn chip(&mut self, x: f64, y: f64, class: &str, text: &str, wide: f64) {
        let middle = x + wide / 2.0;
        let text = escape(text);
        let _ = writeln!(
            self.out,
            "<g class=\"chip {class}\"><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"15\" rx=\"3\"/>\
             <text x=\"{middle:.1}\" y=\"{:.1}\">{text}</text></g>",
            y + 11.0
        );
    }

    pub(super) fn wire(&mut self, from: (f64, f64), to: (f64, f64)) {
        let half = (from.0 + to.0) / 2.0;
        let _ = writeln!(
            self.out,
            "<path class=\"wire\" d=\"M{:.1} {:.1}C{half:.1} {:.1} {half:.1} {:.1} {:.1} {:.1}\"/>",
            from.0, from.1, from.1, to.1, to.0, to.1
        );
    }

    pub(super) fn rule(&mut self, x: f64, top: f64, bottom: f64) {
        let _ = writeln!(self.out, "<path class=\"axis\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>");
    }

    /// A range of ids, with what is to be known of it on demand.
    pub(super) fn bar(&mut self, x: f64, y: f64, wide: f64, class: &str, about: &str) {
        let about = escape(about);
        let _ = writeln!(
            self.out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"14\"><title>{about}</title></rect>"
        );
    }

    /// The heading of a section.
    pub(super) fn heading(&mut self, title: &str, note: &str) {
        self.y += 12.0;
        self.text(MARGIN, self.y + 14.0, "heading", title);
        if !note.is_empty() {
            self.text(MARGIN + measure(title, letter("heading")) + 14.0, self.y + 14.0, "faint", note);
        }
        self.y += 24.0;
    }

    /// A line over the whole width.
    pub(super) fn line(&mut self, text: &str, class: &str) {
        self.fitted(MARGIN, self.y + 12.0, self.wide - 2.0 * MARGIN, class, text);
        self.y += 20.0;
    }

    /// Begins what leads to a container's place in a page.
    pub(super) fn begin_link(&mut self, place: Option<usize>) {
        if let (Dress::Page, Some(place)) = (self.dress, place) {
            let _ = writeln!(self.out, "<a href=\"#c{place}\" data-c=\"{place}\">");
        }
    }

    pub(super) fn end_link(&mut self, place: Option<usize>) {
        if self.dress == Dress::Page && place.is_some() {
            self.out.push_str("</a>\n");
        }
    }

    /// The whole document, or the element of a page.
    pub(super) fn finish(self, title: &str, style: &str) -> String {
        let (wide, high) = (self.wide, self.y + MARGIN);
        let style = if style.is_empty() { String::new() } else { format!("<style>{style}</style>\n") };
        let head = match self.dress {
            Dress::File => "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
            Dress::Page => "",
        };
        format!(
            "{head}<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide:.0}\" height=\"{high:.0}\" \
             viewBox=\"0 0 {wide:.0} {high:.0}\" role=\"img\">\n<title>{}</title>\n{style}\
             <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
            escape(title),
            self.out
        )
    }
}

/// Text as XML and HTML take it, without what they do not allow.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in width::safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
