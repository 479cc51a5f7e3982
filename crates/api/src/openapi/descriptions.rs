//! What Kubernetes says about its types and fields. It is unpacked for as long as a document is made, and never kept.
//!
//! `cargo xtask descriptions` takes `data/descriptions.gz` from the sources of k8s-openapi (Apache-2.0).

use std::collections::HashMap;
use std::io::Read;

use flate2::read::GzDecoder;

static PACKED: &[u8] = include_bytes!("../../data/descriptions.gz");

/// What is the same for every list, in these places.
const LIST: &str = "io.k8s.List";
/// A type that describes its `apiVersion` and `kind`, which others share without saying so.
const TYPED: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Descriptions of types under an empty field's name, and of their fields.
#[derive(Debug)]
pub(super) struct Descriptions(HashMap<String, HashMap<String, String>>);

impl Descriptions {
    pub(super) fn unpack() -> Self {
        let mut text = String::new();
        GzDecoder::new(PACKED).read_to_string(&mut text).expect("the file is checked in, and is text");
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut types: HashMap<String, HashMap<String, String>> = HashMap::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (first, rest) = line.split_once('\t').unwrap_or((line, ""));
            let (field, description) = match first {
                "" => rest.split_once('\t').unwrap_or((rest, "")),
                name => {
                    name.clone_into(&mut current);
                    ("", rest)
                }
            };
            let words = types.entry(current.clone()).or_default();
            words.insert(field.to_owned(), description.replace("\\n", "\n"));
        }
        Self(types)
    }

    pub(super) fn of_type(&self, name: &str) -> Option<&str> {
        self.find(name, "")
    }

    pub(super) fn of_field(&self, parent: &str, field: &str) -> Option<&str> {
        let shared = || matches!(field, "apiVersion" | "kind").then(|| self.find(TYPED, field)).flatten();
        self.find(parent, field).or_else(|| self.0.contains_key(parent).then(shared).flatten())
    }

    pub(super) fn list_field(&self, field: &str) -> Option<&str> {
        self.find(LIST, field).or_else(|| self.find(TYPED, field))
    }

    fn find(&self, name: &str, field: &str) -> Option<&str> {
        self.0.get(name)?.get(field).map(String::as_str).filter(|description| !description.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_fields_are_described() {
        let descriptions = Descriptions::unpack();
        let found = descriptions.of_type("io.k8s.api.core.v1.Pod").unwrap();
        assert!(found.starts_with("Pod is a collection of containers"), "{found}");
        let found = descriptions.of_field("io.k8s.api.core.v1.Pod", "apiVersion").unwrap();
        assert!(found.starts_with("APIVersion defines the versioned schema"), "{found}");
        let found = descriptions.of_field("io.k8s.api.core.v1.Event", "type").unwrap();
        assert!(found.starts_with("Type of this event"), "{found}");
        let found = descriptions.of_field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "name").unwrap();
        assert!(found.starts_with("Name must be unique"), "{found}");
        assert_eq!(descriptions.of_field("com.example.v1.Widget", "kind"), None);
    }

    #[test]
    fn every_type_of_the_schema_that_kubernetes_describes_is_described_here() {
        let descriptions = Descriptions::unpack();
        for name in ["io.k8s.api.apps.v1.DeploymentSpec", "io.k8s.api.core.v1.Container"] {
            let message = crate::schema::message(name).unwrap();
            let silent: Vec<_> =
                message.fields().iter().filter(|f| descriptions.of_field(name, &f.name).is_none()).collect();
            assert!(silent.is_empty(), "{name}: {silent:?}");
        }
    }
}
