//! Payments' record.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    money::{Amount, Currency},
    performed::Performed,
};

/// The schema number of the JSON that this code writes.
pub const PAYMENTS_SCHEMA: u32 = 1;

/// All payments of one order.
pub type PaymentRecord = Performed<Payment>;

/// One payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id, chosen by the order.
    pub id: Uuid,
    /// How much.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// The provider's name for it, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}
