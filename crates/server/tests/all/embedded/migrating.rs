//! `cartwright migrate`: looking at what a start would change, and doing it.

use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::{cartwright, good, json_of, said},
    harness::database,
};

#[tokio::test]
async fn files_are_looked_at_made_and_refused() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let migrate = async |more: &[&str]| {
        cartwright(&["migrate", "--data", data.to_str().unwrap()]).args(more).output().await.unwrap()
    };
    let plan = good(&migrate(&["--plan"]).await);
    assert!(
        plan.contains("orders.db")
            && plan.contains("runs V1__begin")
            && plan.contains("nothing was changed yet"),
        "{plan}"
    );
    assert!(!data.exists());
    let done = good(&migrate(&[]).await);
    assert!(done.ends_with("done\n") && data.join("fulfillment.db").exists(), "{done}");
    let again = good(&migrate(&[]).await);
    assert!(again.contains("changes nothing") && again.ends_with("nothing to do\n"), "{again}");
    let sql = "UPDATE meta SET value = 3 WHERE name = 'schema'; UPDATE meta SET value = 2 WHERE name = 'oldest_binary'";
    Connection::open(data.join("payments.db")).unwrap().execute_batch(sql).unwrap();
    for more in [&["--plan"][..], &[]] {
        let refused = migrate(more).await;
        let told = String::from_utf8_lossy(&refused.stdout).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(
            told.contains("refuses: usable from schema 2 on") && told.contains("start the newer one again"),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_looked_at_and_made() {
    let (home, schema) = (tempfile::tempdir().unwrap(), format!("planned_{}", Uuid::now_v7().simple()));
    let migrate = async |more: &[&str]| {
        let mut command = cartwright(&["migrate", "--json"]);
        command.args(more).current_dir(home.path());
        command.env("CARTWRIGHT__DATABASE__URL", database()).env("CARTWRIGHT__DATABASE__SCHEMA", &schema);
        json_of(&command.output().await.unwrap())
    };
    let stores = |found: Value, migrations: &[&str]| {
        let of = |store: &str| {
            json!({"store": store, "where": format!("{schema}_{store}"), "found": found, "known": 1,
                "migrations": migrations, "oldestBinary": 1, "usable": true, "olderMayGoOn": !found.is_null()})
        };
        json!([of("orders"), of("payments"), of("fulfillment")])
    };
    let plan = migrate(&["--plan"]).await;
    let (changes, begin) = (json!({"ok": true, "changes": true, "done": false}), &["V1__begin"]);
    assert_eq!(plan["stores"], stores(Value::Null, begin), "{plan:#}");
    assert_eq!(
        (&plan["ok"], &plan["changes"], &plan["done"]),
        (&changes["ok"], &changes["changes"], &changes["done"])
    );
    let done = migrate(&[]).await;
    assert!(done["done"] == true && done["stores"] == plan["stores"], "it tells what it did: {done:#}");
    let after = migrate(&["--plan"]).await;
    assert_eq!(after["stores"], stores(json!({"schema": 1, "oldestBinary": 1}), &[]), "{after:#}");
    assert!(!home.path().join("cartwright-data").exists());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_another_matter_than_one_that_refuses() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://postgres@{free}/postgres");
    let output =
        cartwright(&["migrate", "--plan"]).env("CARTWRIGHT__DATABASE__URL", url).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("can't be reached") && said(&output).contains("setting database.url"),
        "{}",
        said(&output)
    );
}
