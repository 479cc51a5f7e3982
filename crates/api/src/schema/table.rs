//! The built-in types: parses the tables once and links the messages to each other.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};

use super::{Link, Message, link::Linker, rows};

static TABLE: LazyLock<Table> = LazyLock::new(Table::parse);

/// A message by its name in OpenAPI, for example `io.k8s.api.apps.v1.Deployment`.
pub fn message(name: &str) -> Option<&'static Message> {
    TABLE.slots.get(name).map(|slot| slot.get())
}

/// A message by its protobuf package and name, for example `k8s.io.api.apps.v1` and `Deployment`.
pub fn wire_message(package: &str, name: &str) -> Option<&'static Message> {
    message(&rows::openapi_name(package, name))
}

/// A built-in message as part of another.
pub(super) fn link(name: &str) -> Option<Link> {
    TABLE.slots.get(name).map(|slot| Link::Builtin(slot))
}

/// Every built-in message, by name.
pub fn messages() -> impl Iterator<Item = (&'static str, &'static Message)> {
    TABLE.slots.iter().map(|(name, slot)| (*name, slot.get()))
}

/// The place of a message, so that messages may refer to each other in circles.
#[derive(Debug, Default)]
pub struct Slot(OnceLock<Message>);

impl Slot {
    pub(super) fn get(&self) -> &Message {
        self.0.get().expect("every slot is filled before the table is published")
    }
}

struct Table {
    slots: BTreeMap<&'static str, &'static Slot>,
}

impl Table {
    fn parse() -> Table {
        let (rows, merges) = (rows::fields(), rows::merges());
        let slots: BTreeMap<&'static str, &'static Slot> =
            rows.keys().map(|name| (&*String::leak(name.clone()), &*Box::leak(Box::default()))).collect();
        let linker = Linker { slots: &slots, rows: &rows, merges: &merges };
        for (name, slot) in &slots {
            slot.0.set(linker.message(name)).expect("names are unique");
        }
        Table { slots }
    }
}
