//! Sets of field paths: what a manager owns. Parsed from and printed as FieldsV1; set algebra; membership.

mod element;
mod serial;

use std::{collections::BTreeMap, collections::btree_map::Entry, fmt};

pub use element::{Atom, Element};
pub use serial::ParseError;

/// A path from an object's root.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Element>);

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| write!(formatter, "{element}"))
    }
}

/// A set of field paths. A path may be in the set without its prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// No node is neither a member nor has members below it.
    nodes: BTreeMap<Element, Node>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    children: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    pub fn new() -> Set {
        Set::default()
    }

    /// A set of paths of plain field names, such as `["spec", "replicas"]`.
    pub fn of_fields(paths: &[&[&str]]) -> Set {
        let mut set = Set::new();
        for path in paths {
            set.insert(path.iter().map(|name| Element::field(name)));
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a path. The empty path, which is the object itself, is never owned.
    pub fn insert(&mut self, path: impl IntoIterator<Item = Element>) {
        let mut path = path.into_iter().peekable();
        let mut set = self;
        while let Some(element) = path.next() {
            let node = set.nodes.entry(element).or_default();
            node.member |= path.peek().is_none();
            set = &mut node.children;
        }
    }

    /// Adds a child and what is below it; a walk over an object builds its set bottom up with this.
    pub(crate) fn put(&mut self, element: Element, member: bool, children: Set) {
        if !member && children.is_empty() {
            return;
        }
        match self.nodes.entry(element) {
            Entry::Vacant(entry) => {
                entry.insert(Node { member, children });
            }
            Entry::Occupied(mut entry) => {
                let node = entry.get_mut();
                node.member |= member;
                node.children = node.children.union(&children);
            }
        }
    }

    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.nodes.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.nodes.get(first).is_some_and(|node| node.children.has(rest)),
        }
    }

    pub(crate) fn has_child(&self, element: &Element) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// What is below a child.
    pub(crate) fn below(&self, element: &Element) -> Option<&Set> {
        self.nodes.get(element).map(|node| &node.children).filter(|set| !set.is_empty())
    }

    /// The children, each with whether it is a member and what is below it.
    pub(crate) fn children(&self) -> impl Iterator<Item = (&Element, bool, &Set)> {
        self.nodes.iter().map(|(element, node)| (element, node.member, &node.children))
    }

    /// Every path in the set.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Path>) {
        for (element, node) in &self.nodes {
            prefix.push(element.clone());
            if node.member {
                paths.push(Path(prefix.clone()));
            }
            node.children.collect(prefix, paths);
            prefix.pop();
        }
    }

    pub fn union(&self, other: &Set) -> Set {
        let mut union = self.clone();
        union.extend(other);
        union
    }

    /// Adds everything of another set.
    pub fn extend(&mut self, other: &Set) {
        for (element, node) in &other.nodes {
            match self.nodes.get_mut(element) {
                Some(mine) => {
                    mine.member |= node.member;
                    mine.children.extend(&node.children);
                }
                None => {
                    self.nodes.insert(element.clone(), node.clone());
                }
            }
        }
    }

    pub fn intersection(&self, other: &Set) -> Set {
        self.combine(other, |mine, theirs| {
            let theirs = theirs?;
            Some(Node { member: mine.member && theirs.member, children: mine.children.intersection(&theirs.children) })
        })
    }

    pub fn difference(&self, other: &Set) -> Set {
        self.combine(other, |mine, theirs| match theirs {
            None => Some(mine.clone()),
            Some(theirs) => Some(Node {
                member: mine.member && !theirs.member,
                children: mine.children.difference(&theirs.children),
            }),
        })
    }

    /// The difference, where a member of the other set takes everything below it along.
    pub fn recursive_difference(&self, other: &Set) -> Set {
        self.combine(other, |mine, theirs| match theirs {
            None => Some(mine.clone()),
            Some(theirs) if theirs.member => None,
            Some(theirs) => {
                Some(Node { member: mine.member, children: mine.children.recursive_difference(&theirs.children) })
            }
        })
    }

    fn combine(&self, other: &Set, node: impl Fn(&Node, Option<&Node>) -> Option<Node>) -> Set {
        let nodes = self
            .nodes
            .iter()
            .filter_map(|(element, mine)| {
                let combined = node(mine, other.nodes.get(element))?;
                (!combined.is_empty()).then(|| (element.clone(), combined))
            })
            .collect();
        Set { nodes }
    }
}

#[cfg(test)]
mod tests;
