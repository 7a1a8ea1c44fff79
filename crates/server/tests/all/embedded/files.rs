//! A data directory has one process at a time.

use super::on_files;
use crate::harness::{PAUSED, Shop, small, start};

#[tokio::test]
async fn a_second_process_on_the_same_data_is_told_what_to_do() {
    on_files();
    let mut shop = Shop::with(&[PAUSED]).await;
    let error = start(shop.dir(), &[]).await.err().expect("only one at a time").to_string();
    for word in [
        "in use by another cartwright process",
        &std::process::id().to_string(),
        "stop that one first",
        "another data directory",
    ] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(error.contains(&shop.dir().display().to_string()), "{error}");
    shop.place(&small()).await;
    shop.stop().await;
    start(shop.dir(), &[]).await.expect("free again").stop().await;
}
