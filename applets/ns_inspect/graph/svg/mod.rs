//! The picture as SVG: sections below each other, each as wide as the widest.

mod canvas;
mod containers;
mod maps;
mod networks;

use super::{Mark, Picture};
pub(crate) use canvas::escape;
use canvas::{Canvas, GAP, MARGIN};

/// Where the picture will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dress {
    /// In a file of its own, with colours.
    File,
    /// In a page that has colours for its classes, and a place for each container.
    Page,
}

/// How wide a container's card is, and how high a line of text in it.
const CARD: f64 = 212.0;
const LINE: f64 = 15.0;

/// Colours by class, of a picture in a file of its own. A page has its own for the same classes.
const STYLE: &str = include_str!("style.css");

impl Picture {
    /// The picture.
    pub(crate) fn svg(&self, dress: Dress) -> String {
        let columns = self.columns();
        let wide = columns as f64 * (CARD + GAP) + GAP + 2.0 * MARGIN;
        let mut canvas = Canvas::new(dress, wide);
        // A page has them already.
        if dress == Dress::File {
            canvas.text(MARGIN, 22.0, "title", &self.title());
            canvas.text(MARGIN, 42.0, "faint", &self.subtitle());
            canvas.y = 56.0;
        }
        self.legend(&mut canvas);
        for section in &self.sections {
            containers::draw(&mut canvas, section, columns);
        }
        if let Some(line) = self.undrawn_line() {
            canvas.line(&line, "faint");
        }
        if self.sections.is_empty() {
            canvas.line("no containers", "faint");
        }
        if let Some(networks) = &self.networks {
            networks::draw(&mut canvas, networks);
        }
        if let Some(maps) = &self.maps {
            maps::draw(&mut canvas, maps);
        }
        self.draw_strays(&mut canvas);
        let style = if dress == Dress::File { STYLE } else { "" };
        canvas.finish(&self.title(), style)
    }

    /// How many cards are side by side, so that the whole is about as wide as a screen is to its height.
    fn columns(&self) -> usize {
        let count = self.cards().count() as f64;
        let square = (count * 1.8 * 80.0 / CARD).sqrt().ceil() as usize;
        square.clamp(5, 9)
    }

    fn legend(&self, canvas: &mut Canvas) {
        let mut x = MARGIN;
        for mark in Mark::ALL {
            canvas.chip(x, canvas.y, mark.class(), "net", 26.0);
            canvas.text(x + 31.0, canvas.y + 12.0, "small", mark.meaning());
            x += 46.0 + canvas::measure(mark.meaning(), 5.8);
        }
        canvas.y += 26.0;
    }

    fn draw_strays(&self, canvas: &mut Canvas) {
        if self.strays.is_empty() {
            return;
        }
        canvas.heading("Namespaces of no container", "");
        let top = canvas.y;
        let rows = self.strays.len() as f64 + f64::from(u8::from(self.more_strays > 0));
        canvas.rect(MARGIN, top, canvas.wide - 2.0 * MARGIN, rows * 20.0 + 12.0, "card", 6.0);
        canvas.y += 6.0;
        for stray in &self.strays {
            let y = canvas.y;
            let about = format!("{}; {}", stray.name, stray.processes_line());
            let mut x = canvas.wide - MARGIN - 8.0;
            for (kind, count) in stray.counts.iter().rev() {
                let text = format!("{count} {}", kind.proc_name());
                let wide = canvas::measure(&text, 6.2) + 8.0;
                x -= wide + 4.0;
                canvas.chip(x, y + 2.0, "own", &text, wide);
            }
            canvas.fitted(MARGIN + 10.0, y + 14.0, x - MARGIN - 20.0, "text", &about);
            canvas.y += 20.0;
        }
        if let Some(line) = self.more_strays_line() {
            canvas.text(MARGIN + 10.0, canvas.y + 14.0, "faint", &line);
            canvas.y += 20.0;
        }
        canvas.y += 6.0 + GAP;
    }
}
