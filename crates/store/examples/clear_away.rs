//! Drops the schemas of a system that nobody needs any more, and has the server write what it has yet to write, so that it
//! is at rest. `cargo xtask bench --distributed` does so between its parts.
//!
//! `clear_away URL SCHEMA`

use cartwright_store::StoreKind;
use tokio_postgres::NoTls;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (url, schema) = (args.next().ok_or("a url")?, args.next().ok_or("a schema")?);
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection); // ends with the client, and its errors are those of the statements
    for kind in [StoreKind::Orders, StoreKind::Payments, StoreKind::Fulfillment] {
        let drop = format!("DROP SCHEMA IF EXISTS \"{schema}_{}\" CASCADE", kind.as_str());
        client.batch_execute(&drop).await?;
    }
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}
