//! The dialects of older systems. What is asked and what must be answered lies in `tables`, a request a line.

mod pattern;
mod table;

use crate::harness::Shop;

#[tokio::test]
async fn order_tracking_speaks_as_its_contract_says() {
    table::run(&Shop::open().await, "order-tracking", include_str!("tables/order-tracking.jsonl")).await;
}

#[tokio::test]
async fn order_processing_speaks_as_its_contract_says() {
    table::run(&Shop::open().await, "order-processing", include_str!("tables/order-processing.jsonl")).await;
}

#[tokio::test]
async fn order_fulfilment_speaks_as_its_contract_says() {
    table::run(&Shop::open().await, "order-fulfilment", include_str!("tables/order-fulfilment.jsonl")).await;
}

#[tokio::test]
async fn cart_dotnet_speaks_as_its_contract_says() {
    table::run(&Shop::open().await, "cart-dotnet", include_str!("tables/cart-dotnet.jsonl")).await;
}

#[tokio::test]
async fn cart_fastapi_speaks_as_its_contract_says() {
    table::run(&Shop::open().await, "cart-fastapi", include_str!("tables/cart-fastapi.jsonl")).await;
}
