//! Providers over HTTP that are slow, fail, hang up, say odd things, and answer when nobody listens any more.

use serde_json::{Value, json};

use super::fake::{Act, Fake};
use crate::harness::{Setting, Shop, small, text};

async fn shop_with(fake: &Fake, more: &[Setting]) -> Shop {
    Shop::with(&fake.settings(more)).await
}

fn is_shipped(order: &Value) {
    assert_eq!(
        (&order["status"], &order["milestone"]),
        (&json!("completed"), &json!("shipped")),
        "{order:#}"
    );
}

#[tokio::test]
async fn an_order_is_paid_and_shipped_over_http() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[("payments.token", "s3cret")]).await;
    let id = shop.place(&small()).await;
    let order = shop.finish(&id).await;
    is_shipped(&order);
    assert_eq!(text(&order["payments"][0]["reference"]), format!("ref-{id}"));
    assert_eq!(text(&order["shipments"][0]["trackingNumber"]), format!("T-{id}"));
    assert_eq!(fake.effects(&id), ["authorize", "ship"]);
    let paid = &fake.requests("POST authorize")[0];
    assert_eq!(
        (&*paid.key, &*paid.authorization),
        (&*format!("payments/{id}:1/authorize/1"), "Bearer s3cret")
    );
    assert_eq!(
        paid.body,
        json!({"orderId": id, "amount": 1000, "currency": "USD", "token": null, "metadata": {}})
    );
    let shipped = &fake.requests("POST shipments")[0];
    assert_eq!(
        (&shipped.authorization, &shipped.body["lines"]),
        (&String::new(), &json!([{"sku": "a", "quantity": 2}]))
    );
    assert!(fake.requests("GET").is_empty(), "a first call needs no question");
}
