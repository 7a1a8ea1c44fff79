//! A password of the database is nobody's business: it is in no output, no error and no line of the log.

use std::process::{Output, Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::cli::{cartwright, good, said};

const PASSWORD: &str = "corr3ct-horse";

/// A server that takes no password, and where it is.
async fn strict() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = client.read_exact(&mut [0; 8]).await; // asks for encryption
                let _ = client.write_all(b"N").await;
                let _ = client.read(&mut [0; 1_024]).await; // says who it is
                let fields = "SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"shop\"\0\0";
                let length = (fields.len() as u32 + 4).to_be_bytes();
                let _ = client.write_all(&[b"E", &length[..], fields.as_bytes()].concat()).await;
            });
        }
    });
    address.to_string()
}

fn hidden(output: &Output) -> String {
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), said(output));
    assert!(!all.contains(PASSWORD), "{all}");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_a_database_is_never_shown() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let file = home.path().join("url");
    let refusing = strict().await;
    for (url, code, says) in [
        (format!("postgres://shop:{PASSWORD}@{refusing}/shop"), 1, "password authentication failed"),
        (
            format!("postgres://shop:{PASSWORD}@db:{PASSWORD}/shop"),
            1,
            "database.url must be a PostgreSQL URL",
        ),
        (format!("postgres://shop:x@{PASSWORD}@127.0.0.1/shop"), 1, "percent-encoded"),
        (format!("host=127.0.0.1 password=x {PASSWORD}=1"), 1, "database.url must be a PostgreSQL URL"),
    ] {
        std::fs::write(&file, format!("{url}\n")).unwrap();
        for by_file in [false, true] {
            let variable = if by_file {
                ("CARTWRIGHT__DATABASE__URL_FILE", file.to_str().unwrap())
            } else {
                ("CARTWRIGHT__DATABASE__URL", &*url)
            };
            let data = data.to_str().unwrap();
            for args in [
                &["up", "--listen", "127.0.0.1:0", "--data", data][..],
                &["migrate", "--data", data],
                &["migrate", "--plan", "--data", data],
                &["config", "check"],
                &["config", "print"],
                &["config", "print", "--json"],
                &["doctor", "--data", data],
            ] {
                let output = cartwright(args)
                    .env(variable.0, variable.1)
                    .env("CARTWRIGHT__LOG__FILTER", "debug")
                    .output()
                    .await
                    .unwrap();
                let told = hidden(&output);
                if args[0] == "up" || args[0] == "migrate" {
                    assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
                    assert!(told.contains(says), "{args:?}: {told}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_not_shown_while_a_database_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let file = home.path().join("url");
    std::fs::write(&file, format!("postgres://shop:{PASSWORD}@{free}/shop\n")).unwrap();
    let mut up = cartwright(&["up", "--listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .env("CARTWRIGHT__DATABASE__URL_FILE", &file)
        .env("CARTWRIGHT__LOG__FILTER", "debug")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stderr.take().unwrap()).lines();
    let mut waits = 0;
    while waits < 3 {
        let line = lines.next_line().await.unwrap().expect("it waits");
        assert!(!line.contains(PASSWORD), "{line}");
        waits += usize::from(line.contains("waiting for the database"));
    }
    up.kill().await.unwrap();
    let shown =
        cartwright(&["config", "print"]).env("CARTWRIGHT__DATABASE__URL_FILE", &file).output().await.unwrap();
    let shown = good(&shown);
    let row = shown.lines().find(|line| line.trim_start().starts_with("database.url ")).unwrap();
    assert!(row.contains("***") && row.contains(&format!("file {}", file.display())), "{row}");
}
