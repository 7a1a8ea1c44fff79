//! `compose.yaml`: what its services are given is there, outside of the containers and inside.

use super::{
    known::Known,
    node::Node,
    tree::{self, Tree, beside},
};

/// Where a container finds the secrets that it is given.
const SECRETS: &str = "/run/secrets/";

/// The file, and what is around it.
pub struct Compose<'a> {
    pub tree: &'a Tree,
    pub known: &'a Known,
    pub node: &'a Node,
}

/// A file or folder of ours that a container sees.
struct Mount<'a> {
    at: &'a str,
    ours: String,
    inside: &'a str,
}

impl Compose<'_> {
    /// Checks it, and what the other files say about services and about paths in their containers.
    pub fn check(&self, files: &[(&str, Node)], wrong: &mut Vec<String>) {
        let services = entries(self.node, "services");
        for (name, service) in services {
            self.check_build(service, wrong);
            let mounts = mounts(service);
            for mount in mounts.iter().filter(|mount| !self.tree.has(&mount.ours)) {
                wrong.push(format!("{}: {} is not there", mount.at, mount.ours));
            }
            for part in ["environment", "command"].into_iter().filter_map(|part| service.get(part)) {
                self.check_paths(name, service, &mounts, part, wrong);
            }
            for (file, node) in files {
                let seen =
                    |mount: &Mount<'_>| *file == mount.ours || file.starts_with(&format!("{}/", mount.ours));
                if mounts.iter().any(seen) {
                    self.check_paths(name, service, &mounts, node, wrong);
                }
            }
        }
        self.check_roles(services, wrong);
        self.check_secrets(wrong);
        for (_, node) in files {
            node.walk(&mut |node| check_discovery(node, services, wrong));
        }
    }

    fn check_build(&self, service: &Node, wrong: &mut Vec<String>) {
        let Some(build) = service.get("build") else { return };
        let part = |name| build.get(name).and_then(Node::text);
        let context = build.text().or_else(|| part("context")).unwrap_or(".");
        let dockerfile =
            beside(tree::COMPOSE, &format!("{context}/{}", part("dockerfile").unwrap_or("Dockerfile")));
        if !self.tree.has(&dockerfile) {
            wrong.push(format!("{}: {dockerfile} is not there", build.at));
        }
    }

    /// Paths in texts such as `/etc/x` and `--file=/etc/x`: secrets that the service is given, and files of ours.
    fn check_paths(
        &self,
        name: &str,
        service: &Node,
        mounts: &[Mount<'_>],
        within: &Node,
        wrong: &mut Vec<String>,
    ) {
        let secrets = items(service, "secrets");
        let given = |secret: &str| secrets.iter().any(|given| given.text() == Some(secret));
        within.walk(&mut |node| {
            let text = node.text().unwrap_or_default();
            let path = text.rsplit('=').next().unwrap_or_default();
            if let Some(secret) = path.strip_prefix(SECRETS) {
                if !given(secret) {
                    wrong.push(format!("{}: the service {name} is not given the secret {secret}", node.at));
                }
            } else if let Some(missing) = self.missing(mounts, path) {
                wrong.push(format!("{}: {missing}", node.at));
            }
        });
    }

    /// Why a path in a container is not there, if it should be a file of ours.
    fn missing(&self, mounts: &[Mount<'_>], path: &str) -> Option<String> {
        let below = |path: &str, of: &str| path == of || path.starts_with(&format!("{of}/"));
        if !path.starts_with('/') {
            return None;
        }
        if let Some(mount) = mounts.iter().find(|mount| below(path, mount.inside)) {
            let ours = format!("{}{}", mount.ours, &path[mount.inside.len()..]);
            return (!self.tree.has(&ours)).then(|| format!("{ours} is not there"));
        }
        // Beside a file that is mounted, or above it, only what is mounted is there.
        let folder = |inside: &str| inside.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let beside =
            mounts.iter().any(|mount| mount.inside.contains('.') && below(path, &folder(mount.inside)));
        let above = mounts.iter().any(|mount| below(mount.inside, path));
        (beside && !above).then(|| format!("{path} is not there: nothing is mounted on it"))
    }

    /// Each role has a service.
    fn check_roles(&self, services: &[(String, Node)], wrong: &mut Vec<String>) {
        let commands = services.iter().filter_map(|(_, service)| service.get("command"));
        let words: Vec<&str> = commands
            .flat_map(|command| command.items().iter().chain([command]).filter_map(Node::text))
            .flat_map(|text| text.split([' ', ',']))
            .collect();
        for role in self.known.roles.iter().filter(|role| !words.contains(&role.as_str())) {
            wrong.push(format!("{}: no service has the role {role}", tree::COMPOSE));
        }
    }

    /// The files of secrets are made by a script.
    fn check_secrets(&self, wrong: &mut Vec<String>) {
        let script = self.tree.text(tree::SECRETS);
        for file in entries(self.node, "secrets").iter().filter_map(|(_, secret)| secret.get("file")) {
            let path = beside(tree::COMPOSE, file.text().unwrap_or_default());
            let name = path.rsplit('/').next().unwrap_or_default();
            let mut made = script.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            if !made.any(|word| word == name) {
                wrong.push(format!(
                    "{}: {path} is not there, and {} does not make it",
                    file.at,
                    tree::SECRETS
                ));
            }
        }
    }
}

/// Services that Prometheus finds by their names.
fn check_discovery(node: &Node, services: &[(String, Node)], wrong: &mut Vec<String>) {
    for name in
        items(node, "dns_sd_configs").iter().filter_map(|each| each.get("names")).flat_map(Node::items)
    {
        let text = name.text().unwrap_or_default();
        if services.iter().all(|(service, _)| service != text) {
            wrong.push(format!("{}: {} has no service {text}", name.at, tree::COMPOSE));
        }
    }
}

fn entries<'a>(node: &'a Node, name: &str) -> &'a [(String, Node)] {
    node.get(name).map(Node::entries).unwrap_or_default()
}

fn items<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    node.get(name).map(Node::items).unwrap_or_default()
}

/// The volumes of a service that are files or folders of ours: `./ours:/inside:ro`.
fn mounts(service: &Node) -> Vec<Mount<'_>> {
    let mounts = items(service, "volumes").iter().filter_map(|volume| {
        let (ours, rest) = volume.text()?.split_once(':')?;
        let inside = rest.split(':').next()?;
        ours.starts_with('.').then(|| Mount { at: &volume.at, ours: beside(tree::COMPOSE, ours), inside })
    });
    mounts.collect()
}
