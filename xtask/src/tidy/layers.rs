//! Checks the layers of docs/architecture.md: which crate may depend on which.

use super::Problem;
use crate::workspace::{Dependency, Metadata, Package};

/// Each crate, and the workspace's crates that it may use. No arrow points up, and server and
/// client do not know each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("qsse-topic", &[]),
    ("qsse-proto", &["qsse-topic"]),
    ("qsse-store", &["qsse-proto", "qsse-topic"]),
    ("qsse-log", &["qsse-proto", "qsse-store", "qsse-topic"]),
    ("qsse-transport", &["qsse-proto", "qsse-topic"]),
    (
        "qsse-server",
        &["qsse-log", "qsse-proto", "qsse-topic", "qsse-transport"],
    ),
    (
        "qsse-client",
        &["qsse-proto", "qsse-topic", "qsse-transport"],
    ),
    ("qsse-admin", &["qsse-proto", "qsse-server", "qsse-topic"]),
    ("qsse-http", &["qsse-proto", "qsse-server", "qsse-topic"]),
    (
        "qsse-auth",
        &["qsse-server", "qsse-topic", "qsse-transport"],
    ),
    (
        "qsse",
        &[
            "qsse-auth",
            "qsse-client",
            "qsse-proto",
            "qsse-server",
            "qsse-topic",
            "qsse-transport",
        ],
    ),
    (
        "qsse-cli",
        &[
            "qsse-admin",
            "qsse-auth",
            "qsse-client",
            "qsse-http",
            "qsse-proto",
            "qsse-server",
            "qsse-topic",
            "qsse-transport",
        ],
    ),
    (
        "qsse-testing",
        &["qsse-proto", "qsse-topic", "qsse-transport"],
    ),
    (
        "qsse-attack",
        &[
            "qsse-client",
            "qsse-proto",
            "qsse-testing",
            "qsse-transport",
        ],
    ),
    (
        "qsse-fuzz",
        &[
            "qsse-auth",
            "qsse-client",
            "qsse-proto",
            "qsse-server",
            "qsse-testing",
            "qsse-topic",
            "qsse-transport",
        ],
    ),
    ("qsse-sim", TOOL),
    ("qsse-interop", TOOL),
    ("qsse-soak", TOOL),
    (
        "qsse-bench",
        &[
            "qsse-client",
            "qsse-http",
            "qsse-proto",
            "qsse-server",
            "qsse-topic",
            "qsse-transport",
        ],
    ),
    ("qsse-examples", &["qsse", "qsse-http", "qsse-topic"]),
    ("xtask", &[]),
];

/// The crates that a program may use that tests whole servers and clients.
const TOOL: &[&str] = &[
    "qsse-client",
    "qsse-log",
    "qsse-proto",
    "qsse-server",
    "qsse-store",
    "qsse-testing",
    "qsse-topic",
    "qsse-transport",
];

/// Packages that only some crates may use, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "quinn",
        QUIC,
        "only qsse-transport knows which QUIC there is",
    ),
    (
        "quinn-proto",
        // The attacks break handshakes off, which no QUIC library does for its users.
        &["qsse-transport", "qsse-testing", "qsse-attack"],
        "only qsse-transport knows which QUIC there is",
    ),
    ("socket2", QUIC, "sockets are qsse-transport's"),
];

const QUIC: &[&str] = &["qsse-transport", "qsse-testing"];

/// Crates without I/O, and the features of tokio that each may use.
const TOKIO_FEATURES: &[(&str, &[&str])] = &[
    ("qsse-topic", &[]),
    ("qsse-proto", &[]),
    ("qsse-log", &["sync", "time"]),
];

pub(super) fn check(metadata: &Metadata) -> Vec<Problem> {
    let mut problems = Vec::new();
    let members: Vec<_> = metadata
        .members()
        .map(|package| package.name.as_str())
        .collect();
    for package in metadata.members() {
        problems.extend(check_package(package, &members));
        let is_task = package.name == "xtask";
        if metadata.is_default_member(package) == is_task {
            let message = "default-members are all packages but xtask";
            problems.push(Problem::at(&package.name, message));
        }
    }
    problems
}

fn check_package(package: &Package, members: &[&str]) -> Vec<Problem> {
    let name = package.name.as_str();
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
        return vec![Problem::at(
            name,
            "has no place in the LAYERS of xtask/src/tidy/layers.rs",
        )];
    };
    let mut problems = Vec::new();
    for used in package
        .dependencies
        .iter()
        .filter(|used| used.kind.as_deref() != Some("dev"))
    {
        if members.contains(&used.name.as_str()) && !allowed.contains(&used.name.as_str()) {
            let message = format!(
                "must not depend on {}: it is not below it in docs/architecture.md (allowed: {})",
                used.name,
                if allowed.is_empty() {
                    "none of ours".to_owned()
                } else {
                    allowed.join(", ")
                }
            );
            problems.push(Problem::at(name, message));
        }
        for (reserved, users, reason) in RESERVED {
            if used.name == *reserved && !users.contains(&name) {
                problems.push(Problem::at(
                    name,
                    format!("must not depend on {reserved}: {reason}"),
                ));
            }
        }
        problems.extend(check_tokio(name, used));
    }
    problems
}

fn check_tokio(name: &str, used: &Dependency) -> Option<Problem> {
    let (_, allowed) = TOKIO_FEATURES
        .iter()
        .find(|(crate_name, _)| *crate_name == name)?;
    if used.name != "tokio" {
        return None;
    }
    let excess: Vec<_> = used
        .features
        .iter()
        .filter(|feature| !allowed.contains(&feature.as_str()))
        .collect();
    if allowed.is_empty() || !excess.is_empty() {
        let message = format!("does no I/O and must not use tokio with {excess:?}");
        return Some(Problem::at(name, message));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: serde_json::Value) -> Package {
        serde_json::from_value(serde_json::json!({
            "id": name, "name": name, "version": "0.1.0", "manifest_path": "Cargo.toml",
            "dependencies": dependencies, "targets": []
        }))
        .expect("as cargo writes it")
    }

    fn uses(name: &str, used: &str, kind: Option<&str>, features: &[&str]) -> Vec<Problem> {
        let dependency = serde_json::json!([{ "name": used, "kind": kind, "features": features }]);
        let members: Vec<_> = LAYERS.iter().map(|(name, _)| *name).collect();
        check_package(&package(name, dependency), &members)
    }

    #[test]
    fn arrows_point_down() {
        assert!(uses("qsse-server", "qsse-log", None, &[]).is_empty());
        assert_eq!(uses("qsse-log", "qsse-server", None, &[]).len(), 1);
        assert_eq!(uses("qsse-client", "qsse-server", None, &[]).len(), 1);
        assert_eq!(
            uses("qsse-client", "qsse-server", Some("build"), &[]).len(),
            1
        );
        assert!(uses("qsse-client", "qsse-server", Some("dev"), &[]).is_empty());
        assert_eq!(uses("qsse-server", "qsse-testing", None, &[]).len(), 1);
        assert_eq!(
            uses("qsse-new", "serde", None, &[]).len(),
            1,
            "a crate nobody placed"
        );
    }

    #[test]
    fn one_published_crate_names_quinn() {
        assert!(uses("qsse-transport", "quinn", None, &[]).is_empty());
        assert_eq!(uses("qsse-server", "quinn", None, &[]).len(), 1);
        assert_eq!(uses("qsse-client", "quinn-proto", None, &[]).len(), 1);
    }

    #[test]
    fn crates_without_io_have_no_runtime() {
        assert!(uses("qsse-log", "tokio", None, &["sync"]).is_empty());
        assert_eq!(uses("qsse-log", "tokio", None, &["sync", "net"]).len(), 1);
        assert_eq!(uses("qsse-proto", "tokio", None, &[]).len(), 1);
        assert!(uses("qsse-server", "tokio", None, &["net"]).is_empty());
    }

    #[test]
    fn no_layer_allows_one_that_allows_it() {
        for (name, allowed) in LAYERS {
            for used in *allowed {
                let back = LAYERS
                    .iter()
                    .find(|(layer, _)| layer == used)
                    .expect("a crate")
                    .1;
                assert!(!back.contains(name), "{name} and {used} allow each other");
            }
        }
    }
}
