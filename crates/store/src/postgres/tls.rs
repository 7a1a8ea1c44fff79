//! Encrypted connections to PostgreSQL, made by rustls with the cryptography that our HTTP client brings along.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    config::SslNegotiation,
    error::SqlState,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, client};

/// How connections are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PostgresTls {
    /// Not at all.
    Off,
    /// If the server offers it, whoever the server is.
    #[default]
    Prefer,
    /// Always, and only with the host of the url, as a certificate says.
    Verify {
        /// The authorities that may have signed it, as PEM; none: those that the system trusts.
        ca_file: Option<PathBuf>,
    },
}

/// What makes connections encrypted.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    pub(super) fn new(tls: &PostgresTls, negotiation: SslNegotiation) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let client = match tls {
            PostgresTls::Off | PostgresTls::Prefer => {
                client.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
            }
            PostgresTls::Verify { ca_file: Some(file) } => client.with_root_certificates(authorities(file)?),
            PostgresTls::Verify { ca_file: None } => client.with_platform_verifier().map_err(|error| {
                format!("the certificates that this system trusts can't be read ({error}); name a file with the setting database.ca_file")
            })?,
        };
        let mut client = client.with_no_client_auth();
        if negotiation == SslNegotiation::Direct {
            client.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Self(Arc::new(client)))
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let wrong = |why: String| format!("the file of the setting database.ca_file ({}) {why}", file.display());
    let pem = std::fs::read(file).map_err(|error| wrong(format!("can't be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("is not sound PEM: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(format!("has a certificate that can't be used: {error}")))?;
    }
    if roots.is_empty() { Err(wrong("has no certificate in it".to_owned())) } else { Ok(roots) }
}

/// What stands in the way of an encrypted connection, and what to do; `None` if it is something else, or may pass.
pub(super) fn trouble(tls: &PostgresTls, error: &tokio_postgres::Error) -> Option<String> {
    if let Some(refusal) = error.as_db_error() {
        let demands = *refusal.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            && refusal.message().contains("no encryption");
        return demands.then(|| {
            format!(
                "the server refuses connections like this that are not encrypted ({}): with the setting \
                 database.tls = \"verify\" they are (\"prefer\": unchecked), unless sslmode=disable in database.url says otherwise",
                refusal.message()
            )
        });
    }
    let cause = error.source()?;
    if let Some(io) = cause.downcast_ref::<io::Error>() {
        let error: &rustls::Error = io.get_ref()?.downcast_ref()?;
        return Some(match error {
            rustls::Error::InvalidCertificate(wrong) => unproven(tls, wrong),
            error => {
                format!("no encrypted connection can be agreed upon ({error}); see the setting database.tls")
            }
        });
    }
    // The only word for it that the library has.
    (cause.to_string() == "server does not support TLS").then(|| {
        "the server offers no encrypted connections, and the setting database.tls (or sslmode in database.url) demands \
         them: switch them on there (ssl = on), or set database.tls to \"prefer\""
            .to_owned()
    })
}

fn unproven(tls: &PostgresTls, wrong: &CertificateError) -> String {
    let advice = match (wrong, tls) {
        (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }, _) => {
            "database.url must name the server's host as its certificate does"
        }
        (
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
            PostgresTls::Verify { ca_file: Some(_) },
        ) => {
            "the setting database.ca_file must hold the certificate of the authority that signed the server's"
        }
        (CertificateError::UnknownIssuer | CertificateError::BadSignature, _) => {
            "this system doesn't trust the authority that signed it; name that authority's certificate with the setting database.ca_file"
        }
        _ => "the server needs another certificate",
    };
    format!("the server does not prove who it is, as database.tls = \"verify\" demands ({wrong}): {advice}")
}

/// Takes any server for the right one, as libpq does unless told otherwise.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Nobody knows whose certificate it is, so it does not matter who signs with it.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Encrypts one connection to this host.
pub(super) struct ToHost {
    connector: TlsConnector,
    host: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToHost> {
        Ok(ToHost { connector: TlsConnector::from(self.0.clone()), host: host.to_owned() })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for ToHost {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let none =
                |_| rustls::Error::General("database.url names no host that a certificate could".to_owned());
            let host = ServerName::try_from(self.host).map_err(none).map_err(io::Error::other)?;
            Ok(Encrypted(self.connector.connect(host, stream).await?))
        })
    }
}

/// An encrypted connection.
pub(crate) struct Encrypted<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
