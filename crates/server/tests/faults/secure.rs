//! Encryption and passwords on the way to Kafka, with a broker and certificates made for the test.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{
    cluster::{Bus, Cluster, free_port},
    servers,
};

const USER: &str = "alice";
const PASSWORD: &str = "not-for-the-log-4711";

#[test]
fn kafka_is_spoken_to_with_tls_and_each_kind_of_password() {
    let broker = Broker::start();
    for sasl in ["plain", "scram-sha-256", "scram-sha-512"] {
        let mut cluster = Cluster::new(Bus::Kafka);
        broker.settings(&mut cluster, sasl, &broker.ca());
        cluster.start_all();
        cluster.load(50, 100).finish();
        cluster.verify();
        for role in ["orders", "payments", "fulfillment", "relay"] {
            assert!(!cluster.log_of(role).contains(PASSWORD), "{sasl}: {role} says the password");
        }
    }
}

#[test]
fn a_broker_that_is_not_trusted_or_does_not_trust_us_is_told_of() {
    let broker = Broker::start();
    let stranger = broker.home.path().join("stranger.pem");
    fs::write(&stranger, authority().pem()).unwrap();
    for (what, ca, password, reason) in [
        ("another authority", stranger, PASSWORD, "certificate verify failed"),
        ("another password", broker.ca(), "wrong-one-0815", "Authentication failed"),
    ] {
        let mut cluster = Cluster::new(Bus::Kafka);
        broker.settings(&mut cluster, "scram-sha-256", &ca);
        cluster.set("kafka.password", password);
        cluster.spawn("payments", "payments");
        cluster.until(&format!("{what} is told of"), |cluster| {
            let answer = cluster.get("payments", "/health/ready");
            answer.is_some_and(|(status, body)| status == 503 && body.contains(reason))
        });
        assert!(!cluster.log_of("payments").contains(password), "the password is not said");
    }
}

/// A broker of one test.
struct Broker {
    home: TempDir,
    port: u16,
    process: Child,
}

impl Broker {
    fn start() -> Self {
        servers::up(); // they bring Kafka's programs
        let home = tempfile::tempdir().unwrap();
        let (port, inner, controller) = (free_port(), free_port(), free_port());
        let ca = authority();
        fs::write(home.path().join("ca.pem"), ca.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "broker"); // or it would look like its own authority
        let certificate = params.signed_by(&key, &ca).unwrap();
        let keystore = home.path().join("keystore.pem");
        fs::write(&keystore, key.serialize_pem() + &certificate.pem()).unwrap();
        let properties = home.path().join("server.properties");
        let login = "org.apache.kafka.common.security";
        let data = home.path().join("data");
        let text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=CLIENT://127.0.0.1:{port},INNER://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=CLIENT://localhost:{port},INNER://127.0.0.1:{inner}\n\
             listener.security.protocol.map=CLIENT:SASL_SSL,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=INNER\n\
             controller.listener.names=CONTROLLER\n\
             listener.name.client.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.client.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
             listener.name.client.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;\n\
             listener.name.client.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;\n\
             listener.name.client.ssl.keystore.type=PEM\n\
             listener.name.client.ssl.keystore.location={}\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=3\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            keystore.display(),
            data.display(),
        );
        fs::write(&properties, text).unwrap();
        let scram = |mechanism| format!("SCRAM-SHA-{mechanism}=[name={USER},password={PASSWORD}]");
        let formatted = java(home.path(), "kafka.tools.StorageTool")
            .args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c"])
            .arg(&properties)
            .args(["--add-scram", &scram("256"), "--add-scram", &scram("512")])
            .output()
            .unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let process = java(home.path(), "kafka.Kafka").arg(&properties).spawn().unwrap();
        let mut broker = Self { home, port, process };
        broker.until_up();
        broker
    }

    fn until_up(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the broker does not come up: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("broker.log")).unwrap_or_default()
    }

    fn ca(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    fn settings(&self, cluster: &mut Cluster, sasl: &str, ca: &Path) {
        cluster.set("kafka.brokers", &format!("localhost:{}", self.port));
        cluster.set("kafka.tls", "verify");
        cluster.set("kafka.ca_file", ca.to_str().unwrap());
        cluster.set("kafka.sasl", sasl);
        cluster.set("kafka.user", USER);
        cluster.set("kafka.password", PASSWORD);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn java(home: &Path, class: &str) -> Command {
    let log = fs::File::options().create(true).append(true).open(home.join("broker.log")).unwrap();
    let mut command = Command::new("java");
    command.args(["-Xmx384m", "-cp"]).arg(servers::kafka_libs().join("*")).arg(class);
    command.stdout(log).stderr(Stdio::null());
    command
}
