//! Encrypted connections. In front of the server of the tests stands one that speaks TLS in its place.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use cartwright_search::{Aim, Document, Error, SearchIndex, query::Request};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::remote::{Remote, url};

/// The server of the tests behind TLS, with a certificate of its own.
struct Front {
    url: String,
    /// Connections that were encrypted.
    encrypted: Arc<AtomicUsize>,
    dir: TempDir,
}

impl Front {
    /// Its certificate names this host.
    async fn start(host: &str) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), cert.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap(),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = format!("https://{}", listener.local_addr().unwrap());
        let server = url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let encrypted = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&encrypted);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, count, server) = (acceptor.clone(), Arc::clone(&count), server.clone());
                tokio::spawn(async move {
                    // A client that does not trust us is no failure of ours.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    count.fetch_add(1, SeqCst);
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await; // either may go away
                });
            }
        });
        Self { url: front, encrypted, dir }
    }

    fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

#[tokio::test]
async fn a_server_that_is_trusted_is_spoken_to_in_secret() {
    let front = Front::start("127.0.0.1").await;
    let remote = Remote::behind(front.url.clone(), front.ca_file());
    remote.index.prepare().await.unwrap();
    remote.index.progress().await.unwrap();
    let document = Document { id: "a".into(), version: 1, source: br#"{"id":"a"}"#.to_vec() };
    remote.index.write(Aim::Live, &[document]).await.unwrap();
    remote.index.commit(Aim::Live, None).await.unwrap();
    assert_eq!(remote.index.search(&Request::default()).await.unwrap().total, 1);
    assert!(front.encrypted.load(SeqCst) > 0);
}

#[tokio::test]
async fn a_server_that_is_not_trusted_hears_nothing() {
    let front = Front::start("127.0.0.1").await;
    let of_another_name = Front::start("search.example").await;
    for (url, ca_file) in
        [(&front.url, of_another_name.ca_file()), (&of_another_name.url, of_another_name.ca_file())]
    {
        let error = Remote::behind(url.clone(), ca_file).index.progress().await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("certificate")), "{error}");
    }
    assert_eq!(front.encrypted.load(SeqCst) + of_another_name.encrypted.load(SeqCst), 0);
}
