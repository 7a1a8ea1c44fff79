//! The example that users copy keeps to the contract.

#[path = "../../../../../examples/payment_adapter.rs"]
mod payment_adapter;

use serde_json::json;

use crate::harness::{Shop, small, small_with, text};

async fn url() -> &'static str {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, payment_adapter::adapter()).await.unwrap() });
    url.leak()
}

#[tokio::test]
async fn the_example_adapter_takes_money_declines_and_gives_it_back() {
    let shop = Shop::with(&[("payments.provider", "http"), ("payments.url", url().await)]).await;
    let id = shop.place(&small()).await;
    let order = shop.finish(&id).await;
    assert_eq!((&order["status"], &order["payments"][0]["provider"]), (&json!("completed"), &json!("http")));
    assert_eq!(text(&order["payments"][0]["reference"]), format!("bank-{id}"));
    assert_eq!(shop.effects(&id), ["ship"], "the carrier is simulated still");

    let dear = json!({"lines": [{"sku": "a", "quantity": 1, "unitPrice": 5_000_000}]});
    let order = shop.finish(&shop.place(&small_with(dear)).await).await;
    assert_eq!(
        (&order["status"], &order["payments"][0]["reason"]),
        (&json!("failed"), &json!("over the limit"))
    );

    let rejected = small_with(json!({"payment": {"scenario": "ship-decline"}}));
    let order = shop.finish(&shop.place(&rejected).await).await;
    assert_eq!((&order["status"], &order["paymentStatus"]), (&json!("failed"), &json!("voided")));
}
