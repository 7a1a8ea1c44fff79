//! The Dockerfile and what is in `deploy`: the files parse, and what they name is there: settings, metrics with their labels,
//! roles, files, the version of Rust.
//!
//! * `tree` … the files. `known` … what there is to be named. `node` … YAML and JSON, with the place of each value.
//! * `expressions` … PromQL. `compose` … `compose.yaml`, and paths inside of its containers.

mod compose;
mod expressions;
mod known;
mod node;
mod tree;

use std::path::Path;

use self::{compose::Compose, expressions::Expression, known::Known, node::Node, tree::Tree};
use crate::{Failure, cargo::root};

/// What every alert tells whoever it wakes.
const ANNOTATIONS: &[&str] = &["summary", "description", "action"];

/// Everything that is wrong, each with its file and line, or path.
///
/// # Errors
/// The files can't be read, or what they may name can't be found.
pub fn check() -> Result<Vec<String>, Failure> {
    check_tree(&Tree::read(&root())?)
}

fn check_tree(tree: &Tree) -> Result<Vec<String>, Failure> {
    let known = Known::read(tree)?;
    let mut wrong = Vec::new();
    let mut parsed = Vec::new();
    for (file, text) in tree.checked() {
        known.check_names(file, text, &mut wrong);
        match Path::new(file).extension().and_then(|extension| extension.to_str()) {
            Some("yaml") => match node::yaml(file, text) {
                Ok(node) => parsed.push((file, node)),
                Err(error) => wrong.push(error),
            },
            Some("json") => match node::json(file, text) {
                Ok(node) => parsed.push((file, node)),
                Err(error) => wrong.push(error),
            },
            Some("md") => check_links(tree, file, text, &mut wrong),
            _ if file == tree::DOCKERFILE => check_dockerfile(&known, text, &mut wrong),
            _ => {}
        }
    }
    for (file, node) in &parsed {
        node.walk(&mut |node| check_query(&known, node, &mut wrong));
        check_rule_files(tree, file, node, &mut wrong);
    }
    match parsed.iter().find(|(file, _)| *file == tree::COMPOSE) {
        Some((_, node)) => Compose { tree, known: &known, node }.check(&parsed, &mut wrong),
        None => wrong.push(format!("{} is not there, or does not parse", tree::COMPOSE)),
    }
    Ok(wrong)
}

/// A rule or a query: its expression, and the labels that its texts show.
fn check_query(known: &Known, node: &Node, wrong: &mut Vec<String>) {
    if node.get("alert").is_some() {
        let annotations = node.get("annotations");
        for name in ANNOTATIONS.iter().filter(|name| annotations.and_then(|all| all.get(name)).is_none()) {
            wrong.push(format!("{}: the alert has no annotation `{name}`", node.at));
        }
    }
    let Some((expr, text)) = node.get("expr").and_then(|expr| Some((expr, expr.text()?))) else { return };
    let expression = match Expression::read(text) {
        Ok(expression) => expression,
        Err(error) => return wrong.push(format!("{}: {error}", expr.at)),
    };
    wrong.extend(expression.check(known).into_iter().map(|what| format!("{}: {what}", expr.at)));
    node.walk(&mut |shown| {
        for label in shown.text().map(expressions::labels_shown).unwrap_or_default() {
            if !expression.yields(known, label) {
                wrong.push(format!("{}: what is asked for has no label {label}", shown.at));
            }
        }
    });
}

/// Prometheus' rules lie beside its settings.
fn check_rule_files(tree: &Tree, file: &str, node: &Node, wrong: &mut Vec<String>) {
    for rules in node.get("rule_files").map(Node::items).unwrap_or_default() {
        let path = rules.text().unwrap_or_default();
        if !tree.has(&tree::beside(file, path)) {
            wrong.push(format!("{}: {path} is not there", rules.at));
        }
    }
}

/// Links of a page to files.
fn check_links(tree: &Tree, file: &str, text: &str, wrong: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.lines()) {
        let links = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        let files = links.map(|link| link.split('#').next().unwrap_or_default());
        for link in files.filter(|link| !link.is_empty() && !link.contains("://")) {
            if !tree.has(&tree::beside(file, link)) {
                wrong.push(format!("{file}:{number}: {link} is not there"));
            }
        }
    }
}

/// It builds with the version of Rust that everybody builds with.
fn check_dockerfile(known: &Known, text: &str, wrong: &mut Vec<String>) {
    let file = tree::DOCKERFILE;
    let mut images = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let image = line.trim().strip_prefix("FROM ")?.split_whitespace().next()?;
        Some((number, image.strip_prefix("rust:")?.split('-').next()?))
    });
    match images.next() {
        Some((_, version)) if version == known.rust => {}
        Some((number, version)) => wrong.push(format!(
            "{file}:{number}: it builds with Rust {version}, and {} says {}",
            tree::TOOLCHAIN,
            known.rust
        )),
        None => wrong.push(format!("{file}: no stage begins with FROM rust:{}", known.rust)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong once `from` is replaced in a file that is there.
    fn with(file: &str, from: &str, to: &str) -> Vec<String> {
        let mut tree = Tree::read(&root()).unwrap();
        let text = tree.texts.get_mut(file).unwrap();
        assert!(text.contains(from), "{file} has no {from:?} any more: plant another mistake");
        *text = text.replacen(from, to, 1);
        check_tree(&tree).unwrap()
    }

    /// The line on which `text` stands in a file.
    fn line(file: &str, text: &str) -> usize {
        let tree = Tree::read(&root()).unwrap();
        tree.texts[file].lines().position(|line| line.contains(text)).unwrap() + 1
    }

    #[test]
    fn what_is_deployed_is_there() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }

    const ALERTS: &str = "deploy/prometheus/alerts.yaml";
    const PROMETHEUS: &str = "deploy/prometheus/prometheus.yaml";
    const DASHBOARD: &str = "deploy/grafana/dashboard.json";
    const README: &str = "deploy/README.md";

    #[test]
    fn planted_mistakes_are_found_where_they_are() {
        let planted = [
            (
                tree::COMPOSE,
                "CARTWRIGHT__KAFKA__BROKERS",
                "CARTWRIGHT__KAFKA__BROKER",
                "there is no setting kafka.broker",
            ),
            (
                tree::COMPOSE,
                "DATABASE__URL_FILE",
                "DATABASE__URI_FILE",
                "there is no setting database.uri_file",
            ),
            (
                tree::DOCKERFILE,
                "CARTWRIGHT__HTTP__LISTEN",
                "CARTWRIGHT__LISTEN",
                "there is no setting listen",
            ),
            (tree::COMPOSE, "--role, payments", "--role, payment", "there is no role payment"),
            (tree::COMPOSE, "build: ..", "build: .", "deploy/Dockerfile is not there"),
            (tree::COMPOSE, "- ./prometheus:", "- ./prometheuses:", "deploy/prometheuses is not there"),
            (
                tree::COMPOSE,
                "/prometheus/prometheus.yaml",
                "/prometheus/prometheus.yml",
                "deploy/prometheus/prometheus.yml is not there",
            ),
            (
                tree::COMPOSE,
                "/dashboards/dashboard.json\n",
                "/dashboards/dashboards.json\n",
                "/etc/grafana/dashboards/dashboards.json is not there: nothing is mounted on it",
            ),
            (
                tree::COMPOSE,
                "secrets/database-url\n",
                "secrets/database-uri\n",
                "the service orders is not given the secret database-uri",
            ),
            (
                tree::COMPOSE,
                "file: ./secrets/grafana-password",
                "file: ./secrets/grafana",
                "deploy/secrets/grafana is not there, and deploy/secrets.sh does not make it",
            ),
            (PROMETHEUS, "alerts.yaml", "alarms.yaml", "alarms.yaml is not there"),
            (
                PROMETHEUS,
                "fulfillment, relay",
                "fulfilment, relay",
                "deploy/compose.yaml has no service fulfilment",
            ),
            (
                ALERTS,
                "max(cartwright_open_orders)",
                "max(cartwright_orders_open)",
                "cartwright_orders_open is not in docs/metrics.md",
            ),
            (
                ALERTS,
                "(cartwright_acceptance_seconds_bucket",
                "(cartwright_acceptance_seconds",
                "cartwright_acceptance_seconds is a histogram: it has _bucket, _sum and _count",
            ),
            (
                ALERTS,
                "{status=~",
                "{code=~",
                "cartwright_http_requests_total has no label code; it has method, route, status",
            ),
            (ALERTS, "role=\"relay\"", "role=\"relays\"", "there is no role relays"),
            (
                ALERTS,
                "max by (service) (cartwright_parked_events)",
                "max by (topic) (cartwright_parked_events)",
                "cartwright_parked_events has no label topic; it has service",
            ),
            (ALERTS, "{{ $labels.flow }}", "{{ $labels.flows }}", "what is asked for has no label flows"),
            (
                ALERTS,
                "          action: Look at its log",
                "          actions: Look at its log",
                "the alert has no annotation `action`",
            ),
            (ALERTS, "min by (instance, role) (", "min by (instance, role) ((", "a ( is never closed"),
            (README, "(../docs/metrics.md)", "(../docs/metric.md)", "../docs/metric.md is not there"),
        ];
        for (file, from, to, complaint) in planted {
            let found = with(file, from, to);
            let here = found
                .iter()
                .find(|found| found.starts_with(&format!("{file}:")) && found.ends_with(complaint));
            assert!(here.is_some(), "{file}: {from:?} became {to:?}, and was found as {found:?}");
        }
    }

    #[test]
    fn a_line_is_named() {
        let at = line(tree::COMPOSE, "CARTWRIGHT__KAFKA__BROKERS");
        let found = with(tree::COMPOSE, "CARTWRIGHT__KAFKA__BROKERS", "CARTWRIGHT__KAFKA__BROKER");
        assert_eq!(found, [format!("deploy/compose.yaml:{at}: there is no setting kafka.broker")]);

        let at = line(ALERTS, "max(cartwright_open_orders)");
        let found = with(ALERTS, "max(cartwright_open_orders)", "max(cartwright_orders)");
        assert_eq!(found, [format!("{ALERTS}:{at}: cartwright_orders is not in docs/metrics.md")]);

        let at = line(tree::DOCKERFILE, "FROM rust:");
        let found = with(tree::TOOLCHAIN, "channel = \"", "channel = \"9");
        assert!(found[0].starts_with(&format!("Dockerfile:{at}: it builds with Rust ")), "{found:?}");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_path_is_named_where_lines_say_nothing() {
        let found = with(DASHBOARD, "max(cartwright_open_orders)", "max(cartwright_orders)");
        assert_eq!(
            found,
            [
                "deploy/grafana/dashboard.json: panels[2].targets[0].expr: cartwright_orders is not in docs/metrics.md"
            ]
        );
        let found = with(DASHBOARD, "{{version}}", "{{revision}}");
        assert_eq!(
            found,
            [
                "deploy/grafana/dashboard.json: panels[4].targets[0].legendFormat: what is asked for has no label revision"
            ]
        );
    }

    #[test]
    fn files_that_do_not_parse_are_found() {
        let found = with(ALERTS, "groups:\n", "groups: [\n");
        assert!(found.iter().any(|found| found.starts_with(&format!("{ALERTS}:"))), "{found:?}");
        let found = with(DASHBOARD, "\"panels\": [", "\"panels\": [,");
        assert!(found.iter().any(|found| found.starts_with(&format!("{DASHBOARD}:"))), "{found:?}");
        let found = with(tree::COMPOSE, "  relay:\n", "  orders:\n");
        assert!(
            found.iter().any(|found| found.starts_with(&format!("{}:", tree::COMPOSE))),
            "twice: {found:?}"
        );
    }

    #[test]
    fn a_role_without_a_service_is_found() {
        let found = with(tree::COMPOSE, "--role, relay", "--role, orders");
        assert_eq!(found, ["deploy/compose.yaml: no service has the role relay"]);
    }

    #[test]
    fn what_is_gone_is_found() {
        for gone in [ALERTS, DASHBOARD, "deploy/secrets.sh"] {
            let mut tree = Tree::read(&root()).unwrap();
            tree.texts.remove(gone).unwrap();
            let found = check_tree(&tree).unwrap();
            assert!(found.iter().any(|found| found.contains("is not there")), "without {gone}: {found:?}");
        }
    }
}
