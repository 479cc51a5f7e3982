//! What a command is about: `TYPE`, `TYPE NAME…`, `TYPE,TYPE` or `TYPE/NAME…`.

use anyhow::bail;

use crate::discovery::{Discovery, ResourceType};

/// A resource type, and those of its objects that are meant: none named means all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: ResourceType,
    pub(crate) names: Vec<String>,
}

/// Reads a command's words.
pub(crate) fn parse(words: &[String], discovery: &Discovery) -> anyhow::Result<Vec<Target>> {
    if words.iter().any(|word| word.contains('/')) {
        return words.iter().map(|word| one(word, discovery)).collect();
    }
    let Some((types, names)) = words.split_first() else {
        bail!("say which type of resource, such as `pods`; `coracle api-resources` lists them");
    };
    let mut targets = Vec::new();
    for name in types.split(',') {
        let found = discovery.find_all(name)?;
        targets.extend(found.into_iter().map(|found| Target { resource: found.clone(), names: names.to_vec() }));
    }
    Ok(targets)
}

fn one(word: &str, discovery: &Discovery) -> anyhow::Result<Target> {
    match word.split_once('/') {
        Some((resource, name)) if !name.is_empty() && !name.contains('/') => {
            Ok(Target { resource: discovery.find(resource)?.clone(), names: vec![name.to_owned()] })
        }
        _ => bail!("{word:?} is not TYPE/NAME, as the others are"),
    }
}

/// Reads words that must name exactly one object; without a type, one of `default_type`.
pub(crate) fn parse_one(
    words: &[String],
    default_type: &str,
    discovery: &Discovery,
) -> anyhow::Result<(ResourceType, String)> {
    let words = match words {
        [name] if !name.contains('/') => vec![default_type.to_owned(), name.clone()],
        words => words.to_vec(),
    };
    match &parse(&words, discovery)?[..] {
        [Target { resource, names }] if names.len() == 1 => Ok((resource.clone(), names[0].clone())),
        _ => bail!("name one object, as TYPE/NAME"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::tests::known;

    fn parsed(line: &str) -> Result<Vec<(String, Vec<String>)>, String> {
        let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        let targets = parse(&words, &known()).map_err(|error| error.to_string())?;
        Ok(targets.into_iter().map(|target| (target.resource.plural, target.names)).collect())
    }

    #[test]
    fn words_are_types_and_names() {
        let expected = |targets: &[(&str, &[&str])]| {
            let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            Ok(targets.iter().map(|(plural, names)| (plural.to_string(), owned(names))).collect())
        };
        assert_eq!(parsed("po"), expected(&[("pods", &[])]));
        assert_eq!(parsed("po a b"), expected(&[("pods", &["a", "b"])]));
        assert_eq!(parsed("po,deploy"), expected(&[("pods", &[]), ("deployments", &[])]));
        assert_eq!(parsed("po/a deploy/b"), expected(&[("pods", &["a"]), ("deployments", &["b"])]));
        assert_eq!(parsed("all"), expected(&[("pods", &[]), ("deployments", &[])]));
        for bad in ["", "po/", "po/a b", "po/a/b", "podz"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
