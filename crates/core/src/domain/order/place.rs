//! What a client states about a new order, and how its sums are checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Address, Milestone, Order, OrderStatus, Quantities};
use crate::domain::{
    flow,
    frozen::Frozen,
    ids::OrderId,
    money::{self, Amount, Currency, MAX_AMOUNT},
    time::Timestamp,
};

/// The most lines an order may have.
pub const MAX_LINES: usize = 1_000;

/// The most charges an order may have.
pub const MAX_CHARGES: usize = 100;

/// The largest quantity of a line.
pub const MAX_QUANTITY: u32 = 10_000;

/// What a client stated; it never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// The dialect of an older system by which it came; `None` for our own API. It stays with the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// When an older system took it, if one did before us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// The client's own id for it.
    pub external_id: Option<String>,
    /// The sales channel, in which `external_id` is unique.
    pub channel: Option<String>,
    /// The name of its flow.
    pub flow: String,
    /// Who ordered.
    pub customer: Customer,
    /// The currency of all amounts; `XXX` for orders without prices.
    pub currency: Currency,
    /// Decimals of the amounts, where they differ from the currency's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// What is added to the lines.
    pub charges: Vec<Charge>,
    /// The sums.
    pub totals: Totals,
    /// Where to.
    pub ship_to: Option<Address>,
    /// Who pays.
    pub bill_to: Option<Address>,
    /// The client's own notes.
    pub metadata: BTreeMap<String, String>,
}

/// Who ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// The client's id for the customer.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// E-mail.
    pub email: Option<String>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Unique in its order.
    pub id: String,
    /// The article.
    pub sku: String,
    /// What the article is called.
    pub name: Option<String>,
    /// How many.
    pub quantity: u32,
    /// What one costs; `None` for orders without prices.
    pub unit_price: Option<Amount>,
    /// What is taken off the line.
    pub discount: Amount,
    /// The line's tax, as the client states it.
    pub tax: Amount,
    /// quantity · unit price − discount + tax.
    pub total: Amount,
}

/// Something added to the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// What for.
    #[serde(rename = "type")]
    pub kind: ChargeType,
    /// How much, without tax.
    pub amount: Amount,
    /// Its tax.
    pub tax: Amount,
}

/// What a charge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChargeType {
    /// Carriage.
    Shipping,
    /// Handling.
    Handling,
    /// Any other fee.
    Fee,
    /// Taken off the whole order; its amount is negative.
    Discount,
    /// Anything else.
    Other,
}

impl ChargeType {
    /// All of them with their words.
    pub const ALL: [(&'static str, Self); 5] = [
        ("shipping", Self::Shipping),
        ("handling", Self::Handling),
        ("fee", Self::Fee),
        ("discount", Self::Discount),
        ("other", Self::Other),
    ];
}

/// The sums of an order. `lines` holds the lines' totals without their tax, `charges` the charges' amounts, and
/// `tax` all taxes, so that `total` = `lines` + `charges` + `tax`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// All lines, without tax.
    pub lines: Amount,
    /// All charges, without tax.
    pub charges: Amount,
    /// All taxes.
    pub tax: Amount,
    /// Everything.
    pub total: Amount,
}

/// How an order is to be paid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentIntent {
    /// Which provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What stands for the means of payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Steers the simulated providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
}

/// Who placed an order, so that a repeat is known as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedBy {
    /// The caller.
    pub caller: String,
    /// Its `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// SHA-256 over what was asked, in hex.
    pub fingerprint: String,
}

/// A sum that does not add up: the field as a JSON pointer, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    /// JSON pointer.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Line {
    /// quantity · unit price − discount, without tax. `None` on overflow.
    pub fn net(&self) -> Option<Amount> {
        Amount::from(self.quantity).checked_mul(self.unit_price.unwrap_or(0))?.checked_sub(self.discount)
    }
}

impl Placed {
    /// Computes every total from quantities, prices, discounts, charges and taxes. Exact; never guesses a tax.
    ///
    /// # Errors
    /// The fields whose sums overflow, exceed [`MAX_AMOUNT`] or are negative where that makes no sense.
    pub fn add_up(&mut self) -> Result<(), Vec<Discrepancy>> {
        let mut wrong = Vec::new();
        let mut say =
            |field: String, message: &str| wrong.push(Discrepancy { field, message: message.to_owned() });
        let in_range = |amount: &Amount| amount.abs() <= MAX_AMOUNT;
        for (i, line) in self.lines.iter_mut().enumerate() {
            match line.net().and_then(|net| net.checked_add(line.tax)).filter(in_range) {
                Some(total) if total < 0 => {
                    say(format!("/lines/{i}/discount"), "must not exceed the line's price and tax");
                }
                Some(total) => line.total = total,
                None => say(format!("/lines/{i}"), "is worth more than an order can hold"),
            }
        }
        let lines = self.lines.iter().map(|line| line.net().unwrap_or(0));
        let totals = (|| {
            let lines = money::sum(lines)?;
            let charges = money::sum(self.charges.iter().map(|c| c.amount))?;
            let taxes = self.lines.iter().map(|l| l.tax).chain(self.charges.iter().map(|c| c.tax));
            let tax = money::sum(taxes)?;
            Some(Totals { lines, charges, tax, total: money::sum([lines, charges, tax])? })
        })();
        match totals.filter(|t| [t.lines, t.charges, t.tax, t.total].iter().all(in_range)) {
            Some(totals) if totals.total < 0 => say("/charges".into(), "must not make the total negative"),
            Some(totals) => self.totals = totals,
            None => say("/totals".into(), "are more than an order can hold"),
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

impl Order {
    /// A new order, version 1, with nothing asked for yet. `steps_of(placed.flow)` must exist; an unknown flow has
    /// no steps.
    pub fn place(
        id: OrderId,
        number: u64,
        placed: Frozen<Placed>,
        intent: PaymentIntent,
        placed_by: PlacedBy,
        correlation_id: Uuid,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            number,
            version: 1,
            sequence: 0,
            steps: flow::steps_of(&placed.flow).unwrap_or_default(),
            quantities: vec![Quantities::default(); placed.lines.len()],
            placed,
            intent,
            placed_by,
            status: OrderStatus::Open,
            word: None,
            milestone: Milestone::Created,
            on_hold: false,
            payments: vec![],
            shipments: vec![],
            unwinding: None,
            cancellation: None,
            correlation_id,
            created_at: now,
            updated_at: now,
            sweep_at: None,
        }
    }

    /// Who placed it.
    pub fn placed_by_actor(&self) -> Actor {
        Actor::api(&self.placed_by.caller)
    }
}
