//! Money: exact integers in units of 10^-scale of a currency. No floats anywhere.

use std::fmt;

use iso_currency::Currency as Iso;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in the smallest unit that the order uses: 10^-scale of its currency.
pub type Amount = i64;

/// The largest amount that an order may state, so that sums of a thousand lines stay far from overflow.
pub const MAX_AMOUNT: Amount = 1_000_000_000_000_000;

/// The most decimals an order's amounts may have.
pub const MAX_SCALE: u8 = 6;

/// An ISO 4217 currency code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(Iso);

impl Currency {
    /// `XXX`: no currency, for orders without prices.
    pub const NONE: Self = Self(Iso::XXX);

    /// The currency of an upper-case ISO 4217 code, `None` when there is none.
    pub fn parse(code: &str) -> Option<Self> {
        Iso::from_code(code).map(Self)
    }

    /// The three letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The currency's own number of decimals (ISO 4217's minor unit); 0 where the standard names none.
    pub fn scale(self) -> u8 {
        u8::try_from(self.0.exponent().unwrap_or(0)).unwrap_or(0)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&code).ok_or_else(|| serde::de::Error::custom("not an ISO 4217 currency"))
    }
}

/// The sum of amounts, `None` on overflow.
pub fn sum(amounts: impl IntoIterator<Item = Amount>) -> Option<Amount> {
    amounts.into_iter().try_fold(0_i64, Amount::checked_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_know_their_decimals() {
        for (code, scale) in [("USD", 2), ("JPY", 0), ("KWD", 3), ("XXX", 0)] {
            assert_eq!(Currency::parse(code).unwrap().scale(), scale, "{code}");
        }
        assert!(Currency::parse("ABC").is_none());
        assert!(Currency::parse("usd").is_none());
    }

    #[test]
    fn sums_never_wrap() {
        assert_eq!(sum([1, 2, 3]), Some(6));
        assert_eq!(sum([Amount::MAX, 1]), None);
    }
}
