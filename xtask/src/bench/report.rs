//! The table of figures.

use serde::Serialize;

use crate::{
    Failure,
    table::{table, text},
};

/// All figures of a run.
#[derive(Default, Serialize)]
pub struct Report {
    figures: Vec<Figure>,
    /// Orders that were never answered.
    errors: u64,
}

/// What is asked of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Asked {
    /// It is only there to be compared with.
    Nothing,
    /// At least this figure.
    AtLeast(f64),
    /// At most this figure.
    AtMost(f64),
    /// At least this ratio.
    Ratio(f64),
    /// At most this ratio.
    RatioAtMost(f64),
    /// At least this figure and at least this ratio.
    Both {
        /// The figure.
        figure: f64,
        /// The ratio.
        ratio: f64,
    },
    /// At most this figure, or at most this ratio.
    EitherAtMost {
        /// The figure.
        figure: f64,
        /// The ratio.
        ratio: f64,
    },
}

#[derive(Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    ratio: Option<f64>,
    ratio_to: Option<&'static str>,
    asked: String,
    ok: Option<bool>,
}

impl Report {
    /// Adds a figure. `ratio` says how much of what it is.
    pub fn add(
        &mut self,
        name: &str,
        value: f64,
        unit: &'static str,
        ratio: Option<(f64, &'static str)>,
        asked: Asked,
    ) {
        let ok = asked.is_met(value, ratio.map_or(f64::NAN, |(ratio, _)| ratio));
        self.figures.push(Figure {
            name: name.to_owned(),
            value,
            unit,
            ratio: ratio.map(|(ratio, _)| ratio),
            ratio_to: ratio.map(|(_, to)| to),
            asked: asked.text(unit, ratio.map_or("", |(_, to)| to)),
            ok,
        });
    }

    /// Adds orders that were never answered.
    pub fn errors(&mut self, errors: u64) {
        self.errors += errors;
    }

    /// Whether everything is as asked, and every order was answered.
    pub fn all_well(&self) -> bool {
        self.errors == 0 && self.figures.iter().all(|figure| figure.ok != Some(false))
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut shown = table(&["", "figure", "", "ratio", "", "asked for", ""], &[1, 3]);
        for figure in &self.figures {
            shown.add_row([
                figure.name.clone(),
                number(figure.value),
                figure.unit.to_owned(),
                figure.ratio.map(number).unwrap_or_default(),
                figure.ratio_to.unwrap_or_default().to_owned(),
                figure.asked.clone(),
                match figure.ok {
                    Some(true) => "ok".to_owned(),
                    Some(false) => "short".to_owned(),
                    None => String::new(),
                },
            ]);
        }
        format!("{}\n{} orders were never answered", text(&shown), self.errors)
    }

    /// For programs.
    ///
    /// # Errors
    /// None that is known.
    pub fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

impl Asked {
    /// `None` where nothing is asked. A figure that is not a number is short.
    fn is_met(self, value: f64, ratio: f64) -> Option<bool> {
        match self {
            Self::Nothing => None,
            Self::AtLeast(figure) => Some(value >= figure),
            Self::AtMost(figure) => Some(value <= figure),
            Self::Ratio(least) => Some(ratio >= least),
            Self::RatioAtMost(most) => Some(ratio <= most),
            Self::Both { figure, ratio: least } => Some(value >= figure && ratio >= least),
            Self::EitherAtMost { figure, ratio: most } => Some(value <= figure || ratio <= most),
        }
    }

    fn text(self, unit: &str, to: &str) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::AtLeast(figure) => format!("≥ {} {unit}", number(figure)),
            Self::AtMost(figure) => format!("≤ {} {unit}", number(figure)),
            Self::Ratio(ratio) => format!("≥ {} {to}", number(ratio)),
            Self::RatioAtMost(ratio) => format!("≤ {} {to}", number(ratio)),
            Self::Both { figure, ratio } => {
                format!("≥ {} {unit}, ≥ {} {to}", number(figure), number(ratio))
            }
            Self::EitherAtMost { figure, ratio } => {
                format!("≤ {} {unit} or ≤ {} {to}", number(figure), number(ratio))
            }
        }
    }
}

/// As many decimals as mean something.
pub(super) fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "?".to_owned(),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_decides() {
        let mut report = Report::default();
        report.add("a", 100.0, "orders/s", None, Asked::Nothing);
        report.add("c", 60.0, "orders/s", Some((0.6, "of a")), Asked::Ratio(0.5));
        report.add("e", 9.0, "ms", Some((13.0, "fsyncs")), Asked::EitherAtMost { figure: 8.0, ratio: 14.0 });
        assert!(report.all_well());
        report.add(
            "d",
            2_600.0,
            "orders/s",
            Some((0.2, "of b")),
            Asked::Both { figure: 2_500.0, ratio: 0.25 },
        );
        assert!(!report.all_well());
        let table = report.table();
        assert!(table.contains("≥ 2500 orders/s, ≥ 0.25 of b") && table.contains("short"), "{table}");
    }

    #[test]
    fn what_could_not_be_measured_is_short() {
        let mut report = Report::default();
        report.add("e", f64::NAN, "ms", None, Asked::AtMost(20.0));
        assert!(!report.all_well());
    }

    #[test]
    fn orders_without_an_answer_are_never_well() {
        let mut report = Report::default();
        report.errors(1);
        assert!(!report.all_well());
    }
}
