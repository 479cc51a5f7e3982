//! `token`: what a machine needs to join as a node. Tokens are bootstrap tokens: Secrets of `kube-system` of their own type.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use coracle_pki::JoinToken;
use jiff::Timestamp;
use rand::Rng;
use serde_json::{Value, json};

use crate::connect::Connection;
use crate::discovery::array;
use crate::server::{JSON, Server, is_not_found, query};
use crate::table::Table;

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const PREFIX: &str = "bootstrap-token-";
const GROUP: &str = "system:bootstrappers:coracle:nodes";
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

#[derive(Debug, Args)]
pub struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token by which machines join as nodes
    Create(Create),
    /// List the tokens
    List(List),
    /// End a token; nodes that have joined with it stay
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    /// How long it is good; 0 means for ever
    #[arg(long, default_value = "24h", value_parser = duration)]
    ttl: Duration,
    /// What it is for
    #[arg(long, default_value = "")]
    description: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The token, or its first part
    #[arg(required = true)]
    tokens: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Token {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        match self.verb {
            Verb::Create(create) => create.run(out).await,
            Verb::List(list) => list.run(out).await,
            Verb::Revoke(revoke) => revoke.run(out).await,
        }
    }
}

impl Create {
    async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let ca_hash = self.connection.ca_hash().await?;
        let server = self.connection.open().await?;
        let token = JoinToken { id: random(6), secret: random(16), ca_hash };
        let expires = (!self.ttl.is_zero()).then(|| Timestamp::now() + self.ttl);
        server.post(SECRETS, &secret(&token, expires, &self.description)).await.context("keep the token")?;
        writeln!(out, "{token}")?;
        // Not a result: scripts read the token alone.
        eprintln!("\nOn the machine that joins:\n\n  coracle agent --server {} --token {token}\n", base(&server.url));
        Ok(())
    }
}

impl List {
    async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let server = self.connection.open().await?;
        let now = Timestamp::now();
        let found = tokens(&server).await?;
        let rows = found.iter().map(|found| {
            let expires = decoded(found, "expiration");
            let left = match expires.parse::<Timestamp>() {
                _ if expires.is_empty() => "never".to_owned(),
                Ok(expires) if expires > now => format!("in {}", human(expires.duration_since(now).as_secs())),
                Ok(_) | Err(_) => "expired".to_owned(),
            };
            vec![decoded(found, "token-id"), left, decoded(found, "auth-extra-groups"), decoded(found, "description")]
        });
        let headers = ["TOKEN", "EXPIRES", "GROUPS", "DESCRIPTION"].map(str::to_owned).to_vec();
        let table = Table { headers, rows: rows.collect() };
        table.print(out, &table.widths(&[], true), true)?;
        Ok(())
    }
}

impl Revoke {
    async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let server = self.connection.open().await?;
        for token in &self.tokens {
            let id = token.split('.').next().unwrap_or_default();
            if id.is_empty() || !id.bytes().all(|c| ALPHABET.contains(&c)) {
                bail!("{token:?} is no token");
            }
            match server.delete(&format!("{SECRETS}/{PREFIX}{id}"), &json!({})).await {
                Err(error) if is_not_found(&error) => bail!("there is no token {id}"),
                deleted => deleted?,
            };
            writeln!(out, "token {id} revoked")?;
        }
        Ok(())
    }
}

async fn tokens(server: &Server) -> anyhow::Result<Vec<Value>> {
    let uri = format!("{SECRETS}{}", query(&[("fieldSelector", Some(&format!("type={TYPE}")))]));
    let list = server.get(&uri, JSON).await?;
    Ok(array(&list["items"]).filter(|secret| secret["type"] == TYPE).cloned().collect())
}

fn secret(token: &JoinToken, expires: Option<Timestamp>, description: &str) -> Value {
    let mut data = json!({
        "token-id": token.id,
        "token-secret": token.secret,
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": GROUP,
    });
    if let Some(expires) = expires {
        data["expiration"] = json!(expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    if !description.is_empty() {
        data["description"] = json!(description);
    }
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": TYPE,
        "metadata": {"name": format!("{PREFIX}{}", token.id), "namespace": "kube-system"},
        "stringData": data,
    })
}

fn decoded(secret: &Value, key: &str) -> String {
    let bytes = BASE64_STANDARD.decode(secret["data"][key].as_str().unwrap_or_default());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

fn random(length: usize) -> String {
    // The operating system's own randomness, as for keys.
    let mut random = rand::rngs::OsRng;
    let mut pick = || {
        let idx = rand::TryRngCore::unwrap_mut(&mut random).random_range(0..ALPHABET.len());
        char::from(ALPHABET[idx])
    };
    (0..length).map(|_| pick()).collect()
}

fn base(url: &str) -> &str {
    url.trim_end_matches('/')
}

fn human(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Durations as Go prints them: `24h`, `30m0s`; `0` alone is allowed.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    span.try_into().map_err(|_| "a duration cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_as_a_bootstrap_token() {
        let token = JoinToken { id: random(6), secret: random(16), ca_hash: [1; 32] };
        assert_eq!(token.to_string().parse::<JoinToken>().unwrap(), token);
        let kept = secret(&token, Some("2030-01-01T00:00:00.5Z".parse().unwrap()), "for the shed");
        assert_eq!(kept["metadata"]["name"], format!("bootstrap-token-{}", token.id));
        assert_eq!(kept["stringData"]["expiration"], "2030-01-01T00:00:00Z");
        assert_eq!(kept["stringData"]["description"], "for the shed");
        assert!(secret(&token, None, "")["stringData"].get("expiration").is_none());
    }

    #[test]
    fn times_left_are_told_in_one_unit() {
        assert_eq!([59, 600, 86_399, 864_000].map(human), ["59s", "10m", "23h", "10d"]);
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        assert!(duration("-1h").is_err());
    }
}
