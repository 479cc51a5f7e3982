//! Everything that exists, by uid and by owner, from one metadata watch per kind. It decides nothing.

use coracle_client::{Informer, Key};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::DynamicObject;
use kube::{Api, Client};
use std::sync::Arc;

use super::{BY_OWNER, BY_UID, Item, Metadata, Names};
use crate::discovery::Served;

/// An object as the graph knows it.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) item: Item,
    pub(super) meta: Arc<Metadata>,
}

impl Tracked {
    pub(super) fn key(&self) -> Key {
        Key::new(&self.item.namespace, &self.item.name)
    }
}

#[derive(Clone)]
pub(super) struct Kind {
    served: Served,
    informer: Informer<Metadata>,
}

impl Kind {
    pub(super) fn api(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        if self.served.is_namespaced {
            Api::namespaced_with(client.clone(), namespace, &self.served.resource)
        } else {
            Api::all_with(client.clone(), &self.served.resource)
        }
    }
}

#[derive(Default)]
pub(super) struct Graph {
    kinds: Vec<Kind>,
    names: Names,
}

impl Graph {
    /// Adds a kind, unless it is known already.
    pub(super) fn add(&mut self, client: &Client, served: Served) -> Option<usize> {
        let name = (served.resource.group.clone(), served.resource.kind.clone());
        if self.names.contains_key(&name) {
            return None;
        }
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &served.resource);
        let informer = Informer::metadata(api)
            .trimmed(trim)
            .indexed(BY_UID, |object: &Metadata| object.metadata.uid.clone().into_iter().collect())
            .indexed(BY_OWNER, |object: &Metadata| {
                object.metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
            });
        self.kinds.push(Kind { served, informer });
        self.names.insert(name, self.kinds.len() - 1);
        Some(self.kinds.len() - 1)
    }

    pub(super) fn informer(&self, kind_idx: usize) -> &Informer<Metadata> {
        &self.kinds[kind_idx].informer
    }

    pub(super) fn informers(&self) -> impl Iterator<Item = &Informer<Metadata>> {
        self.kinds.iter().map(|kind| &kind.informer)
    }

    pub(super) fn kind(&self, kind_idx: usize) -> Kind {
        self.kinds[kind_idx].clone()
    }

    /// The kind that an owner reference names, in whatever version.
    pub(super) fn kind_of(&self, reference: &OwnerReference) -> Option<Kind> {
        let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
        let kind_idx = self.names.get(&(group.to_owned(), reference.kind.clone()))?;
        Some(self.kind(*kind_idx))
    }

    pub(super) fn find(&self, uid: &str) -> Option<Tracked> {
        self.lookup(BY_UID, uid).next()
    }

    pub(super) fn dependents(&self, uid: &str) -> Vec<Tracked> {
        self.lookup(BY_OWNER, uid).collect()
    }

    fn lookup(&self, index: &'static str, uid: &str) -> impl Iterator<Item = Tracked> {
        let found = move |(kind_idx, kind): (usize, &Kind)| {
            let objects = kind.informer.by_index(index, uid).into_iter();
            objects.map(move |meta| tracked(kind_idx, meta)).collect::<Vec<_>>()
        };
        self.kinds.iter().enumerate().flat_map(found)
    }
}

fn tracked(kind_idx: usize, meta: Arc<Metadata>) -> Tracked {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let object = &meta.metadata;
    let item = Item { kind_idx, namespace: text(&object.namespace), name: text(&object.name), uid: text(&object.uid) };
    Tracked { item, meta }
}

/// Labels and annotations say nothing about ownership.
fn trim(object: &mut Metadata) {
    object.metadata.labels = None;
    object.metadata.annotations = None;
}
