//! What version of Kubernetes this server speaks.

use serde_json::{Value, json};

/// The release whose API is served.
const RELEASE: &str = "1.37.1";

pub(super) fn version() -> Value {
    let (major, minor) = ("1", "37");
    let platform = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        other => other,
    };
    json!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": "36",
        "gitVersion": format!("v{RELEASE}+coracle.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.25",
        "compiler": "rustc",
        "platform": platform,
    })
}
