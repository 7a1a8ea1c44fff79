//! The report: a page that stands alone, with a table of what was held to its promise and a plot of each course.

use std::fmt::Write as _;

use super::{
    super::{load::LoadReport, report::number},
    watch::{Course, Refused, Seen},
};
use crate::table::{table, text};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Left and below a plot, for its numbers.
const EDGE: (f64, f64) = (64.0, 24.0);

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is.
    Well,
    /// It is not.
    Wrong,
    /// It is only told.
    Told,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Wrong => "NOT OK",
            Self::Told => "",
        }
    }
}

/// What is to be shown.
#[derive(Default)]
pub struct Page {
    rows: Vec<(String, f64, String, Verdict)>,
    charts: String,
}

impl Page {
    /// A row that only tells.
    pub fn told(&mut self, what: &str, value: f64, unit: &str) {
        self.row(what, value, unit, Verdict::Told);
    }

    /// A row about what must be so.
    pub fn judged(&mut self, what: &str, value: f64, unit: &str, well: bool) {
        self.row(what, value, unit, if well { Verdict::Well } else { Verdict::Wrong });
    }

    /// A row about what must not grow by more than so many times.
    pub fn flat(&mut self, what: &str, growth: f64, most: f64) {
        self.judged(&format!("{what}, last quarter to second"), growth, "times", growth <= most);
    }

    /// Rows about a load that must have come to its end.
    pub fn loaded(&mut self, part: &str, load: &LoadReport) {
        self.judged(&format!("{part}: orders taken"), load.orders as f64, "", load.orders > 0);
        self.judged(&format!("{part}: never answered"), load.errors as f64, "orders", load.errors == 0);
    }

    /// Rows about orders that must have been refused, and only so that whoever asks knows what to do.
    pub fn refused(&mut self, part: &str, refused: Refused) {
        let Refused { told, otherwise } = refused;
        self.judged(&format!("{part}: refused with 503 and Retry-After"), told as f64, "probes", told > 0);
        self.judged(&format!("{part}: refused otherwise"), otherwise as f64, "probes", otherwise == 0);
    }

    fn row(&mut self, what: &str, value: f64, unit: &str, verdict: Verdict) {
        self.rows.push((what.to_owned(), value, unit.to_owned(), verdict));
    }

    /// A plot of something over time.
    pub fn chart(&mut self, title: &str, unit: &str, course: &Course, of: impl Fn(&Seen) -> f64) {
        let points: Vec<(f64, f64)> = course.seen.iter().map(|seen| (seen.at, of(seen))).collect();
        self.charts += &plot(title, unit, &points);
    }

    /// Whether nothing is wrong.
    pub fn all_well(&self) -> bool {
        self.rows.iter().all(|(.., verdict)| *verdict != Verdict::Wrong)
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let mut shown = table(&["what", "value", "unit", ""], &[1]);
        for (what, value, unit, verdict) in &self.rows {
            shown.add_row([what.clone(), number(*value), unit.clone(), verdict.word().to_owned()]);
        }
        text(&shown)
    }

    /// The whole page.
    pub fn html(&self) -> String {
        let mut rows = String::new();
        for (what, value, unit, verdict) in &self.rows {
            let class = if *verdict == Verdict::Wrong { " class=\"wrong\"" } else { "" };
            let (value, word) = (number(*value), verdict.word());
            let _ = writeln!(rows, "<tr{class}><td>{what}<td class=n>{value}<td>{unit}<td>{word}");
        }
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Cartwright: soak</title><style>
             body{{font:15px system-ui;max-width:50em;margin:2em auto;color:#222}} td{{padding:.1em .8em .1em 0}}
             .n{{text-align:right}} .wrong{{color:#b00;font-weight:bold}} figure{{margin:1.5em 0}} svg{{width:100%}}
             figcaption{{font-weight:600}} path{{fill:none;stroke:#2463eb;stroke-width:1.5}} line{{stroke:#ddd}}
             text{{font:11px system-ui;fill:#666}}</style><h1>Soak</h1><table>{rows}</table>{}",
            self.charts
        )
    }
}

/// A line over seconds, from 0 up.
fn plot(title: &str, unit: &str, points: &[(f64, f64)]) -> String {
    let points: Vec<_> = points.iter().filter(|(_, y)| y.is_finite()).collect();
    let end = points.last().map_or(1.0, |(x, _)| x.max(1.0));
    let top = points.iter().map(|(_, y)| *y).fold(0.0, f64::max).max(1e-9) * 1.05;
    let place =
        |x: f64, y: f64| (EDGE.0 + x / end * (WIDTH - EDGE.0), (1.0 - y / top) * (HEIGHT - EDGE.1) + 8.0);
    let mut path = String::new();
    for (n, (x, y)) in points.iter().enumerate() {
        let (x, y) = place(*x, *y);
        let _ = write!(path, "{}{x:.1} {y:.1}", if n == 0 { "M" } else { "L" });
    }
    let mut grid = String::new();
    for part in [0.0, 0.5, 1.0] {
        let (x, y) = place(0.0, top * part);
        let _ = write!(
            grid,
            "<line x1=\"{x:.1}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            x - 6.0,
            y + 4.0,
            number(top * part)
        );
    }
    let below = HEIGHT + 4.0;
    format!(
        "<figure><figcaption>{title} ({unit})</figcaption><svg viewBox=\"0 0 {WIDTH} {}\">{grid}<path d=\"{path}\"/>\
         <text x=\"{}\" y=\"{below}\">0 s</text><text x=\"{WIDTH}\" y=\"{below}\" text-anchor=\"end\">{end:.0} s</text></svg></figure>",
        HEIGHT + 10.0,
        EDGE.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_is_wrong_and_a_line_for_each_course() {
        let mut page = Page::default();
        page.told("fine", 1.0, "ms");
        assert!(page.all_well());
        page.flat("memory", 2.5, 1.25);
        let seen = |at: f64, memory: f64| Seen { at, memory, ..Seen::default() };
        let course =
            Course { seen: vec![seen(0.0, 1.0), seen(5.0, f64::NAN), seen(10.0, 2.0)], ..Course::default() };
        page.chart("Memory", "MiB", &course, |seen| seen.memory);
        assert!(!page.all_well());
        let html = page.html();
        assert!(html.contains("class=\"wrong\"><td>memory") && html.contains("NOT OK"), "{html}");
        assert_eq!(html.matches("<path d=\"M").count(), 1);
        assert!(!html.contains("NaN") && html.contains("10 s"), "{html}");
    }
}
