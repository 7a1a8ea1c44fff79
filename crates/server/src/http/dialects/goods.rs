//! What was ordered, by dialects that have no words for discounts, taxes and charges.

use std::collections::BTreeMap;

use cartwright_core::domain::{
    money::{Amount, Currency, MAX_SCALE},
    order::{Customer, Line, Placed, Totals},
};

use super::decimal::Decimal;

/// An order as such a dialect states it.
pub struct Goods {
    /// The dialect.
    pub dialect: &'static str,
    /// The flow of its orders.
    pub flow: &'static str,
    /// Who ordered.
    pub customer: Customer,
    /// The currency of its prices.
    pub currency: Currency,
    /// Decimals of its amounts, at least.
    pub decimals: u8,
    /// What was ordered.
    pub items: Vec<Item>,
}

/// One article of an order.
pub struct Item {
    /// The article.
    pub sku: String,
    /// What it is called.
    pub name: Option<String>,
    /// How many.
    pub quantity: u32,
    /// What one costs.
    pub price: Option<Decimal>,
}

impl Goods {
    /// The same as an order keeps it, added up. `None`: a price has more decimals than an order can hold, or all of it is
    /// worth more.
    pub fn placed(self) -> Option<Placed> {
        let prices = self.items.iter().filter_map(|item| item.price);
        let least = self.currency.scale().max(self.decimals);
        let scale = prices.map(|price| price.scale).fold(least, u8::max);
        if scale > MAX_SCALE {
            return None;
        }
        let lines = (1..).zip(self.items).map(|(n, item)| item.line(n, scale)).collect::<Option<_>>()?;
        let mut placed = Placed {
            dialect: Some(self.dialect.to_owned()),
            taken_at: None,
            external_id: None,
            channel: None,
            flow: self.flow.to_owned(),
            customer: self.customer,
            currency: self.currency,
            scale: (scale != self.currency.scale()).then_some(scale),
            lines,
            charges: vec![],
            totals: Totals::default(),
            ship_to: None,
            bill_to: None,
            metadata: BTreeMap::new(),
        };
        placed.add_up().ok()?;
        Some(placed)
    }
}

impl Item {
    fn line(self, n: usize, scale: u8) -> Option<Line> {
        let unit_price: Option<Amount> = match self.price {
            Some(price) => Some(price.at(scale)?),
            None => None,
        };
        Some(Line {
            id: n.to_string(),
            sku: self.sku,
            name: self.name,
            quantity: self.quantity,
            unit_price,
            discount: 0,
            tax: 0,
            total: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_amounts_have_the_decimals_of_the_finest_price() {
        let placed = |currency, decimals, prices: &[&str]| {
            let item = |price: &&str| Item {
                sku: "a".into(),
                name: None,
                quantity: 3,
                price: Some(Decimal::parse(price).unwrap()),
            };
            let goods = Goods {
                dialect: "d",
                flow: "manual",
                customer: Customer::default(),
                currency: Currency::parse(currency).unwrap(),
                decimals,
                items: prices.iter().map(item).collect(),
            };
            goods.placed().map(|placed| (placed.scale, placed.totals.total))
        };
        assert_eq!(placed("USD", 0, &["19.99", "1"]), Some((None, 6_297)));
        assert_eq!(placed("USD", 0, &["0.125", "1"]), Some((Some(3), 3_375)));
        assert_eq!(placed("JPY", 2, &["33.33"]), Some((Some(2), 9_999)));
        assert_eq!(placed("USD", 0, &["0.0000001"]), None, "more than 6 decimals");
        assert_eq!(placed("USD", 0, &["9000000000000"]), None, "more than an order can hold");
    }
}
