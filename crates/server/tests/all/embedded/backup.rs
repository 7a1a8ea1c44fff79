//! Backups of a system that runs, and what is made of them.

use std::{fs, path::Path, process::Command};

use cartwright_store::backup::{BackupError, MANIFEST, Manifest, Restore, SWITCHES, back_up, restore};
use serde_json::{Value, json};

use super::on_files;
use crate::harness::{Home, ORDERS, Shop, all, program, small, start, text};

const BEFORE: usize = 40;
const ALL: usize = 240;

fn plain(from: &Path, to: &Path) -> Restore {
    Restore { from: from.to_owned(), to: to.to_owned(), ledger: None, skip_numbers: 1_000 }
}

fn back_up_to(shop: &Shop, to: &Path) -> Result<Manifest, BackupError> {
    back_up(shop.dir(), to, "test", |_| {})
}

/// Places order `n` under its own key.
async fn place(shop: &Shop, n: usize) -> Value {
    let key = format!("basket-{n}");
    let reply = shop.json("POST", ORDERS, &[("idempotency-key", &key)], &small()).await;
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

fn charged_and_shipped(shop: &Shop, id: &str) -> (usize, usize) {
    let effects = shop.effects(id);
    let count = |kind: &str| effects.iter().filter(|effect| *effect == kind).count();
    (count("authorize"), count("ship"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment_and_its_restore_does_nothing_twice() {
    on_files();
    let mut shop = Shop::open().await;
    let home = Home::new();
    let backup = home.join("backup");
    let before = all((0..BEFORE).map(|n| place(&shop, n))).await;
    let (data, to) = (shop.dir().to_owned(), backup.clone());
    let copying = tokio::task::spawn_blocking(move || back_up(&data, &to, "test", |_| {}));
    let since = all((BEFORE..ALL).map(|n| place(&shop, n))).await;
    let manifest = copying.await.unwrap().unwrap();
    assert_eq!(manifest.files.len(), 4);
    let placed: Vec<Value> = before.iter().chain(&since).cloned().collect();
    for order in &placed {
        shop.finish(&text(&order["id"])).await;
    }
    let position = text(&shop.get("/v1/events?topic=orders&limit=1").await.ok(200)["next"]);
    shop.stop().await;

    let data = Home::new();
    let ledger = Some(shop.dir().join("ledger.db"));
    restore(&Restore { ledger, ..plain(&backup, data.path()) }, |_| {}).unwrap();
    let restored = Shop::on(data).await;
    for order in &before {
        restored.finish(&text(&order["id"])).await;
    }
    let page = restored.get(&format!("{ORDERS}?limit=500")).await.ok(200);
    for order in page["orders"].as_array().unwrap() {
        let order = restored.finish(&text(&order["id"])).await;
        assert_eq!(order["status"], "completed");
    }
    // Whoever repeats a request that the backup does not know gets its order, and pays once.
    for (n, first) in placed.iter().enumerate() {
        let again = place(&restored, n).await;
        assert_eq!(again["id"], first["id"]);
        let id = text(&first["id"]);
        restored.finish(&id).await;
        assert_eq!(charged_and_shipped(&restored, &id), (1, 1), "order {id}");
    }
    let fresh = place(&restored, ALL).await;
    let number = |order: &Value| text(&order["number"]).parse::<u64>().unwrap();
    assert!(placed.iter().all(|order| number(order) < number(&fresh)), "no number is given twice");
    restored.get(&format!("/v1/events?topic=orders&after={position}")).await.problem(410);
}

#[tokio::test]
async fn a_restored_file_among_others_is_refused() {
    on_files();
    let mut shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    shop.stop().await;
    let home = Home::new();
    let (backup, data) = (home.join("backup"), home.join("data"));
    back_up_to(&shop, &backup).unwrap();
    restore(&plain(&backup, &data), |_| {}).unwrap();
    fs::copy(data.join("orders.db"), shop.dir().join("orders.db")).unwrap();
    let error = start(shop.dir(), &[]).await.err().expect("it is of another incarnation").to_string();
    assert!(error.contains("don't belong together") && error.contains("restore all of them"), "{error}");
    start(&data, &[]).await.expect("a whole restore is fine").stop().await;
}

#[tokio::test]
async fn a_missing_file_is_named_and_not_made_anew() {
    on_files();
    let mut shop = Shop::open().await;
    shop.stop().await;
    for name in ["fulfillment.db", "fulfillment.db-wal", "fulfillment.db-shm"] {
        let _ = fs::remove_file(shop.dir().join(name));
    }
    shop.restart(&[]).await; // the first start may have been interrupted: nothing had happened yet
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    shop.stop().await;
    for name in ["orders.db", "payments.db", "fulfillment.db"] {
        let (file, away) = (shop.dir().join(name), shop.dir().join("away"));
        fs::rename(&file, &away).unwrap();
        let error = start(shop.dir(), &[]).await.err().expect("it is missing").to_string();
        assert!(
            error.contains(&format!("{name} is missing")) && error.contains("restore a backup"),
            "{error}"
        );
        assert!(!file.exists(), "nothing was written");
        fs::rename(&away, &file).unwrap();
    }
    start(shop.dir(), &[]).await.expect("it is whole again").stop().await;
}

#[tokio::test]
async fn a_provider_that_was_switched_off_stays_off_in_what_is_restored() {
    on_files();
    let shop = Shop::open().await;
    let home = Home::new();
    let (backup, older) = (home.join("backup"), home.join("older"));
    assert_eq!(back_up_to(&shop, &older).unwrap().files.len(), 4, "nobody has switched anything");
    let off = json!({"enabled": false, "rate": null});
    shop.json("PUT", "/v1/admin/providers/payments", &[], &off).await.ok(200);
    let manifest = back_up_to(&shop, &backup).unwrap();
    assert_eq!(manifest.files.last().unwrap().name, SWITCHES);
    let file = backup.join(SWITCHES);
    let switched = fs::read_to_string(&file).unwrap();
    fs::write(&file, switched.replace("false", "true ")).unwrap();
    let error = restore(&plain(&backup, &home.join("data")), |_| {}).unwrap_err().to_string();
    assert!(error.contains(SWITCHES) && error.contains("SHA-256"), "{error}");
    fs::write(&file, &switched).unwrap();
    for (backup, enabled) in [(&backup, false), (&older, true)] {
        let data = Home::new();
        restore(&plain(backup, data.path()), |_| {}).unwrap();
        let restored = Shop::on(data).await;
        let state = restored.get("/v1/admin/providers/payments").await.ok(200);
        assert_eq!(state["enabled"], enabled);
    }
}

#[tokio::test]
async fn nothing_is_overwritten_and_a_running_system_is_left_alone() {
    on_files();
    let shop = Shop::open().await;
    let home = Home::new();
    let backup = home.join("backup");
    back_up_to(&shop, &backup).unwrap();
    let again = back_up_to(&shop, &backup).unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty(_)), "{again}");
    let over = restore(&plain(&backup, shop.dir()), |_| {}).unwrap_err();
    assert!(matches!(over, BackupError::NotEmpty(_)), "{over}");
    let inside = back_up_to(&shop, &shop.dir().join("copies/monday")).unwrap_err();
    assert!(inside.to_string().contains("inside of the data directory"), "{inside}");
    assert!(!shop.dir().join("copies").exists(), "and nothing is made");
    let itself = back_up_to(&shop, shop.dir()).unwrap_err();
    assert!(matches!(itself, BackupError::Inside { .. }), "{itself}");
    let nothing = back_up(home.path(), &home.join("other"), "test", |_| {}).unwrap_err();
    assert!(nothing.to_string().contains("--data DIR"), "{nothing}");
    assert!(!home.join("other").exists(), "and nothing is made");
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
}

#[tokio::test]
async fn a_damaged_or_incomplete_backup_is_refused_before_anything_is_written() {
    on_files();
    let mut shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    shop.stop().await;
    let home = Home::new();
    let (backup, data) = (home.join("backup"), home.join("data"));
    back_up_to(&shop, &backup).unwrap();
    let refused = |what: &str| {
        let error = restore(&plain(&backup, &data), |_| {}).unwrap_err();
        assert!(!data.exists() || fs::read_dir(&data).unwrap().count() == 0, "{what}: {error}");
        error.to_string()
    };
    let file = backup.join("payments.db");
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&file, &flipped).unwrap();
    assert!(refused("a flipped bit").contains("SHA-256"));
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    assert!(refused("a cut file").contains("bytes instead of"));
    fs::remove_file(&file).unwrap();
    assert!(refused("a missing file").contains("payments.db"));
    fs::write(&file, &whole).unwrap();
    let manifest = fs::read_to_string(backup.join(MANIFEST)).unwrap();
    fs::write(backup.join(MANIFEST), manifest.replacen("\"format\": 1", "\"format\": 2", 1)).unwrap();
    assert!(refused("a newer form").contains("newer"));
    fs::write(backup.join(MANIFEST), &manifest[..manifest.len() / 2]).unwrap();
    assert!(refused("half a manifest").contains("no complete backup"));
    fs::remove_file(backup.join(MANIFEST)).unwrap();
    assert!(refused("no manifest").contains("no complete backup"));
    fs::write(backup.join(MANIFEST), &manifest).unwrap();
    restore(&plain(&backup, &data), |_| {}).unwrap();
    start(&data, &[]).await.expect("it is whole again").stop().await;
}

#[tokio::test]
async fn the_commands_tell_people_and_machines_what_they_did() {
    on_files();
    let mut shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    let home = Home::new();
    let run = |args: &[&str]| {
        let output = Command::new(program()).args(args).current_dir(home.path()).output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), said(&output.stdout), said(&output.stderr))
    };
    let data = shop.dir().display().to_string();
    // While it runs, from a process of its own.
    let (code, said, trouble) = run(&["backup", "copy", "--data", &data]);
    assert_eq!(code, Some(0), "{trouble}");
    assert!(said.contains("orders.db") && said.contains("cartwright restore copy"), "{said}");
    let (code, said, _) = run(&["restore", "copy", "--data", "new", "--json"]);
    assert_eq!(code, Some(0));
    let manifest: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(manifest["files"][0]["name"], json!("orders.db"));
    let (code, _, trouble) = run(&["restore", "copy", "--data", "new"]);
    assert_eq!(code, Some(1));
    assert!(trouble.contains("not empty"), "{trouble}");
    let (code, _, trouble) = run(&["backup", "other", "--data", "nowhere"]);
    assert_eq!(code, Some(2));
    assert!(trouble.contains("nowhere"), "{trouble}");
    shop.stop().await;
    start(&home.join("new"), &[]).await.expect("the restored one starts").stop().await;
}
