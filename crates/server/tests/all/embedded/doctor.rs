//! What `cartwright doctor` sees in files.

use super::on_files;
use crate::{
    cli::{doctor, state},
    harness::Shop,
};

#[tokio::test]
async fn the_doctor_names_a_file_that_is_damaged_or_missing() {
    on_files();
    let mut shop = Shop::open().await;
    shop.stop().await;
    let free = shop.address().to_string();
    std::fs::write(shop.dir().join("payments.db"), "not a database, and long enough to be looked at")
        .unwrap();
    let (code, report) = doctor(shop.dir(), &free).await;
    assert_eq!((code, state(&report, "stores").as_str()), (Some(1), "fail"), "{report:#}");
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["state"] == "ok", check["advice"].is_null(), "{check}");
    }
    std::fs::remove_file(shop.dir().join("payments.db")).unwrap();
    let (_, report) = doctor(shop.dir(), &free).await;
    assert!(report.to_string().contains("payments.db is missing"), "{report:#}");
}
