//! Encrypted connections to PostgreSQL. In front of the server of the tests stands one that speaks TLS in its name.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cartwright_core::ports::Store;
use cartwright_store::{
    StoreKind,
    postgres::{
        DatabaseError, PostgresOptions, PostgresStore, PostgresTls,
        bell::{Rope, ring},
    },
};
use cartwright_testkit::build::{batch, commit, id};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use crate::postgres;

/// How a client asks for encryption: the length of the message, and a number that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// What the server says about encryption.
#[derive(Clone, Copy)]
enum Says {
    /// Who wants it has it.
    Offered,
    /// There is none.
    Refused,
    /// Nothing goes without it.
    Demanded,
}

/// An authority, whose certificate is in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn verify(&self) -> PostgresTls {
        PostgresTls::Verify { ca_file: Some(self.file()) }
    }

    /// For a server of this name.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(certificate.der().to_vec())],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// The server of the tests, behind another port.
struct Front {
    port: u16,
    encrypted: Arc<AtomicUsize>,
    plain: Arc<AtomicUsize>,
}

impl Front {
    async fn start(acceptor: TlsAcceptor, says: Says) -> Self {
        let url = postgres::options().url;
        let (_, server) = url.split_once('@').expect("a url with a user");
        let server: SocketAddr = server.split('/').next().unwrap().parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (encrypted, plain) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let front = Self { port, encrypted: encrypted.clone(), plain: plain.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, encrypted, plain) = (acceptor.clone(), encrypted.clone(), plain.clone());
                // A client that goes away, or that does not trust us, is no failure of ours.
                tokio::spawn(
                    async move { serve(client, server, &acceptor, says, &encrypted, &plain).await.ok() },
                );
            }
        });
        front
    }

    fn options(&self, host: &str, tls: PostgresTls) -> PostgresOptions {
        let url = format!("postgres://postgres@{host}:{}/postgres", self.port);
        PostgresOptions { url, tls, ..postgres::options() }
    }

    fn counts(&self) -> (usize, usize) {
        (self.encrypted.load(Ordering::SeqCst), self.plain.load(Ordering::SeqCst))
    }
}

async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    acceptor: &TlsAcceptor,
    says: Says,
    encrypted: &AtomicUsize,
    plain: &AtomicUsize,
) -> std::io::Result<()> {
    let mut first = [0; 8];
    client.read_exact(&mut first).await?;
    let mut server = TcpStream::connect(server).await?;
    if first == SSL_REQUEST {
        if !matches!(says, Says::Refused) {
            client.write_all(b"S").await?;
            let mut client = acceptor.accept(client).await?;
            encrypted.fetch_add(1, Ordering::SeqCst);
            return copy_bidirectional(&mut client, &mut server).await.map(drop);
        }
        client.write_all(b"N").await?;
        client.read_exact(&mut first).await?;
    }
    if matches!(says, Says::Demanded) {
        let fields = "SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for host \"127.0.0.1\", user \"postgres\", \
            database \"postgres\", no encryption\0\0";
        client.write_all(b"E").await?;
        client.write_all(&(fields.len() as u32 + 4).to_be_bytes()).await?;
        client.write_all(fields.as_bytes()).await?;
        return client.shutdown().await;
    }
    plain.fetch_add(1, Ordering::SeqCst);
    server.write_all(&first).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

async fn refusal(options: &PostgresOptions) -> String {
    let error = PostgresStore::open(StoreKind::Orders, options).await.expect_err("it must be refused");
    assert!(matches!(error, DatabaseError::Tls(_)), "{error:?}");
    assert!(!error.is_passing(), "nobody waits for what does not pass: {error}");
    error.to_string()
}

async fn works(options: &PostgresOptions) {
    let store = postgres::open(StoreKind::Orders, options).await;
    store.commit(batch([commit("a")])).await.unwrap();
    assert_eq!(store.load(&[id("a")]).await.unwrap()[0].revision, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_proves_who_it_is_is_used_and_every_connection_is_encrypted() {
    let authority = Authority::new();
    let front = Front::start(authority.acceptor("localhost"), Says::Offered).await;
    let options = front.options("localhost", authority.verify());
    works(&options).await;
    let (before, _) = front.counts();
    assert!(before >= 2, "the opening one, and one of the pool: {before}");
    let rope = Rope { kind: StoreKind::Orders, head: watch::channel(0).0 };
    let bell = tokio::spawn(ring(options, vec![rope], Duration::from_secs(3_600)));
    while front.counts().0 == before {
        tokio::task::yield_now().await; // until the bell is connected, too
    }
    bell.abort();
    assert_eq!(front.counts().1, 0, "none is plain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_prove_who_it_is_is_refused_with_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let front = Front::start(authority.acceptor("localhost"), Says::Offered).await;
    let says = refusal(&front.options("localhost", other.verify())).await;
    assert!(
        says.contains("database.tls = \"verify\"") && says.contains("database.ca_file must hold"),
        "{says}"
    );
    let says = refusal(&front.options("localhost", PostgresTls::Verify { ca_file: None })).await;
    assert!(says.contains("database.ca_file"), "{says}");
    let says = refusal(&front.options("127.0.0.1", authority.verify())).await;
    assert!(says.contains("database.url must name the server's host as its certificate does"), "{says}");
    assert_eq!(front.counts().1, 0, "and nothing was said to it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_that_can_t_be_read_are_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("ca.pem");
    for (content, why) in [
        (None, "can't be read"),
        (Some(""), "has no certificate in it"),
        (Some("-----BEGIN CERTIFICATE-----\n"), "is not sound PEM"),
        (Some("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"), "can't be used"),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let tls = PostgresTls::Verify { ca_file: Some(file.clone()) };
        let says = refusal(&PostgresOptions { tls, ..postgres::options() }).await;
        assert!(says.contains("database.ca_file") && says.contains("ca.pem") && says.contains(why), "{says}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_checking_it_is_encrypted_if_the_server_offers_it() {
    let authority = Authority::new();
    let offers = Front::start(authority.acceptor("elsewhere.example"), Says::Offered).await;
    works(&offers.options("127.0.0.1", PostgresTls::Prefer)).await;
    assert!(matches!(offers.counts(), (2.., 0)), "{:?}", offers.counts());
    let has_none = Front::start(authority.acceptor("localhost"), Says::Refused).await;
    works(&has_none.options("127.0.0.1", PostgresTls::Prefer)).await;
    assert!(matches!(has_none.counts(), (0, 2..)), "{:?}", has_none.counts());
    let says = refusal(&has_none.options("localhost", authority.verify())).await;
    assert!(says.contains("offers no encrypted connections") && says.contains("database.tls"), "{says}");
    works(&offers.options("127.0.0.1", PostgresTls::Off)).await;
    assert!(offers.counts().1 >= 2, "{:?}", offers.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_demands_encryption_says_so_to_who_has_it_off() {
    let authority = Authority::new();
    let front = Front::start(authority.acceptor("localhost"), Says::Demanded).await;
    let says = refusal(&front.options("localhost", PostgresTls::Off)).await;
    assert!(says.contains("not encrypted") && says.contains("database.tls"), "{says}");
    works(&front.options("localhost", PostgresTls::Prefer)).await;
}
