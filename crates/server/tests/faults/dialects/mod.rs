//! The dialects on Kafka: each old system with one of its halves, or with none. The half that stays is a double that keeps
//! to the system's contract and knows nothing of us.

mod cart_dotnet;
mod cart_fastapi;
mod doubles;
mod order_fulfilment;
mod order_processing;
mod order_tracking;
#[allow(dead_code, reason = "the tables of the other tests need more of it")]
#[path = "../../all/dialects/pattern.rs"]
mod pattern;
