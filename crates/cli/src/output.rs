//! Objects as they are: JSON, YAML, or only their names.

mod yaml;

use std::io::Write;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    #[default]
    #[value(skip)]
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

/// Prints `objects` as one document: the object itself, or a list of them.
pub(crate) fn print(out: &mut dyn Write, mut objects: Vec<Value>, as_list: bool, output: Output) -> anyhow::Result<()> {
    objects.iter_mut().for_each(without_managed_fields);
    let document = match <[Value; 1]>::try_from(objects) {
        Ok([object]) if !as_list => object,
        Ok([object]) => list(vec![object]),
        Err(objects) => list(objects),
    };
    if output == Output::Yaml {
        out.write_all(yaml::to_string(&document).as_bytes())?;
        return Ok(());
    }
    document.serialize(&mut Serializer::with_formatter(&mut *out, PrettyFormatter::with_indent(b"    ")))?;
    writeln!(out)?;
    Ok(())
}

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

fn without_managed_fields(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}
