//! Decimal numbers as they stand in JSON: exact, never through a float.

use cartwright_core::domain::money::Amount;
use serde_json::value::RawValue;

/// The largest power of ten that a 64-bit amount can hold.
const MAX_DIGITS: i64 = 18;

/// A number: `units` · 10^-`scale`, without needless decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Its digits.
    pub units: Amount,
    /// How many of them are decimals.
    pub scale: u8,
}

impl Decimal {
    /// Reads a JSON number (RFC 8259), or the same in a text. `None` for everything else, and for what no amount can hold.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |rest| (true, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{part}");
        if whole.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = all.trim_end_matches('0');
        let cut = i64::try_from(all.len() - significant.len()).ok()?;
        let scale = i64::try_from(part.len()).ok()?.checked_sub(cut)?.checked_sub(exponent)?;
        if significant.trim_start_matches('0').is_empty() {
            return Some(Self { units: 0, scale: 0 });
        }
        let units: Amount = significant.parse().ok()?;
        let units = if negative { -units } else { units };
        match scale {
            ..0 if -scale > MAX_DIGITS => None,
            ..0 => Some(Self {
                units: units.checked_mul(10_i64.checked_pow(u32::try_from(-scale).ok()?)?)?,
                scale: 0,
            }),
            _ => Some(Self { units, scale: u8::try_from(scale).ok()? }),
        }
    }

    /// Its digits with so many decimals; `None` if it has more, or becomes too large.
    pub fn at(self, scale: u8) -> Option<Amount> {
        let more = scale.checked_sub(self.scale)?;
        self.units.checked_mul(10_i64.checked_pow(more.into())?)
    }
}

/// An amount as a JSON number: 129999 with 2 decimals is `1299.99`, and 1000 is `10.0`, so that readers of floats see one.
pub fn number(amount: Amount, scale: u8) -> Box<RawValue> {
    let text = text(amount, scale);
    // Digits, and a point between them.
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The same as text.
pub fn text(amount: Amount, scale: u8) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", amount.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(scale));
    let part = part.trim_end_matches('0');
    format!("{sign}{whole}.{}", if part.is_empty() { "0" } else { part })
}

/// An amount with so many decimals at most, the rest rounded half away from zero; and how many it has.
pub fn rounded(amount: Amount, scale: u8, most: u8) -> (Amount, u8) {
    let Some(cut) = scale.checked_sub(most) else { return (amount, scale) };
    let (wide, step) = (i128::from(amount), 10_i128.saturating_pow(cut.into()));
    let rounded = (wide + wide.signum() * (step / 2)) / step;
    // Never larger than it was.
    (Amount::try_from(rounded).unwrap_or(amount), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly() {
        let read = |text| Decimal::parse(text).map(|decimal| (decimal.units, decimal.scale));
        for (text, expected) in [
            ("1299.99", Some((129_999, 2))),
            ("0.01", Some((1, 2))),
            ("10", Some((10, 0))),
            ("10.00", Some((10, 0))),
            ("-0.5", Some((-5, 1))),
            ("0", Some((0, 0))),
            ("0.000", Some((0, 0))),
            ("1e3", Some((1_000, 0))),
            ("1.5E-3", Some((15, 4))),
            ("120e-1", Some((12, 0))),
            ("9223372036854775807", Some((i64::MAX, 0))),
            ("9223372036854775808", None),
            ("1e19", None),
            ("1e-300", None),
            ("", None),
            ("x", None),
            (".5", None),
            ("1.2.3", None),
            ("--1", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_written_with_their_decimals() {
        for (amount, scale, expected) in [
            (129_999, 2, "1299.99"),
            (1_000, 2, "10.0"),
            (5, 3, "0.005"),
            (-5, 1, "-0.5"),
            (7, 0, "7.0"),
            (0, 2, "0.0"),
        ] {
            assert_eq!(text(amount, scale), expected);
            assert_eq!(number(amount, scale).get(), expected);
        }
    }

    #[test]
    fn amounts_are_rounded_half_away_from_zero() {
        for (amount, scale, expected) in [
            (12_349, 4, (123, 2)),
            (12_350, 4, (124, 2)),
            (-12_350, 4, (-124, 2)),
            (-12_349, 4, (-123, 2)),
            (15, 3, (2, 2)),
            (14, 3, (1, 2)),
            (1_200, 2, (1_200, 2)),
            (5, 0, (5, 0)),
            (i64::MAX, 22, (0, 2)),
        ] {
            assert_eq!(rounded(amount, scale, 2), expected, "{amount} of {scale}");
        }
    }

    #[test]
    fn a_number_takes_more_decimals_and_never_fewer() {
        let price = Decimal::parse("12.5").unwrap();
        assert_eq!((price.at(2), price.at(1), price.at(0)), (Some(1_250), Some(125), None));
    }
}
