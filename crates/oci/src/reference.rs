//! The names of images, by the grammar that every container tool shares. It looks nothing up.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error};

const TAG_DEFAULT: &str = "latest";
const TAG_CHARS_MAX: usize = 128;
const REPOSITORY_CHARS_MAX: usize = 255;

/// An image's name: `[registry/]repository[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host and port; `None` is this cluster's own registry.
    pub registry: Option<String>,
    pub repository: String,
    /// `latest` when the name has neither a tag nor a digest.
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// What a registry is asked for: the digest if the name has one, else the tag.
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => TAG_DEFAULT.into(),
        }
    }

    /// The name that means exactly `digest`, whatever happens to tags: `[registry/]repository@digest`.
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why| Error::Reference { reference: text.into(), why };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(|_| invalid("its digest is not sha256"))?)),
            None => (text, None),
        };
        let (registry, path) = split_registry(name);
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if registry.is_some_and(|registry| !is_registry(registry)) {
            return Err(invalid("its registry is not a host and port"));
        }
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid("its repository has upper-case letters"));
        }
        if !is_repository(repository) {
            return Err(invalid(
                "its repository is not made of lower-case letters and digits, separated by . _ - or /",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid("its tag is not made of letters, digits, _ . and -"));
        }
        let tag = tag.or(digest.is_none().then_some(TAG_DEFAULT));
        Ok(Self { registry: registry.map(Into::into), repository: repository.into(), tag: tag.map(Into::into), digest })
    }
}

/// The canonical form: it parses to the same reference, and names a tag wherever there is no digest.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The first part is a registry if it looks like a host, as docker decides it.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => (Some(host), path),
        Some(_) | None => (None, name),
    }
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        Some(_) | None => (registry, None),
    };
    let is_ipv6 = || {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_label = |label: &str| {
        let edges = [label.bytes().next(), label.bytes().next_back()];
        edges.iter().all(|byte| byte.is_some_and(|byte| byte.is_ascii_alphanumeric()))
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    port.is_none_or(|port| port.parse::<u16>().is_ok()) && (host.split('.').all(is_label) || is_ipv6())
}

/// True for the distribution protocol's repository names.
pub(crate) fn is_repository(name: &str) -> bool {
    name.len() <= REPOSITORY_CHARS_MAX && name.split('/').all(is_repository_part)
}

/// Runs of letters and digits, separated by one dot, one or two underscores, or any number of dashes.
fn is_repository_part(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = [part.bytes().next(), part.bytes().next_back()];
    let separators = part.split(|char: char| char.is_ascii() && is_plain(char as u8));
    edges.iter().all(|byte| byte.is_some_and(is_plain))
        && separators
            .into_iter()
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

/// True for the distribution protocol's tags.
pub(crate) fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_CHARS_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_have_a_canonical_form() {
        let pinned = format!("ghcr.io/org/app:v1@{DIGEST}");
        let by_digest = format!("app@{DIGEST}");
        for (text, registry, repository, wanted, canonical) in [
            ("hello-http:v1", None, "hello-http", "v1", "hello-http:v1"),
            ("hello", None, "hello", "latest", "hello:latest"),
            ("team/hello", None, "team/hello", "latest", "team/hello:latest"),
            ("localhost/hello:1", Some("localhost"), "hello", "1", "localhost/hello:1"),
            ("localhost:5000/a/b", Some("localhost:5000"), "a/b", "latest", "localhost:5000/a/b:latest"),
            ("[::1]:5000/a:v", Some("[::1]:5000"), "a", "v", "[::1]:5000/a:v"),
            ("10.0.0.1/a", Some("10.0.0.1"), "a", "latest", "10.0.0.1/a:latest"),
            ("a__b.c---d", None, "a__b.c---d", "latest", "a__b.c---d:latest"),
            (&pinned, Some("ghcr.io"), "org/app", DIGEST, &pinned),
            (&by_digest, None, "app", DIGEST, &by_digest),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.registry.as_deref(), registry, "{text}");
            assert_eq!((&*reference.repository, &*reference.wanted()), (repository, wanted), "{text}");
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }
    }

    #[test]
    fn bad_names_say_why() {
        for (text, why) in [
            ("", "repository"),
            ("Hello", "upper-case"),
            ("a//b", "repository"),
            ("a/", "repository"),
            ("-a", "repository"),
            ("a..b", "repository"),
            ("a___b", "repository"),
            ("a b", "repository"),
            ("ü", "repository"),
            ("a:", "tag"),
            ("a:v1:v2", "tag"),
            ("a:-v", "tag"),
            ("a@sha256:12", "digest"),
            ("a@", "digest"),
            ("-x.example/a", "registry"),
            ("example:port/a", "registry"),
            ("x..y/a", "registry"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(format!("a:{}", "x".repeat(129)).parse::<Reference>().is_err());
        assert!("x".repeat(256).parse::<Reference>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_parses_has_a_stable_canonical_form(text in "[a-c.:/@_A-]{0,20}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
