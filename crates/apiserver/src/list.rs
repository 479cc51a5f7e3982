//! Lists: pages of stored objects, spliced together without being read where nothing has to be looked for.

use bytes::{BufMut, Bytes, BytesMut};
use coracle_api::columns::{self, IncludeObject, TableOptions};
use coracle_api::status::Status;
use coracle_store::{Error as StoreError, KeyValue, ListOptions as StoreList, Revision};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::continue_token::Continuation;
use crate::handler::Call;
use crate::negotiate::Form;
use crate::options::ListOptions;
use crate::resources::Resource;
use crate::selection::Selection;
use crate::state::State;
use crate::verbs;
use crate::versions::{self, Version, store_failure};

/// Objects that are looked through at one time when only some are wanted.
const SCAN: usize = 500;

/// What an item needs beside what is stored of it.
const ITEM_BYTES: usize = 64;

/// A page of a list.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<KeyValue>,
    /// The revision that all items are from.
    pub(crate) revision: Revision,
    next: Option<String>,
    n_remaining: Option<usize>,
}

impl Page {
    /// About how large it will be when it is written.
    fn n_bytes(&self) -> usize {
        self.items.iter().map(|kv| kv.value.len() + ITEM_BYTES).sum()
    }

    /// The list's own metadata.
    pub(crate) fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            metadata["continue"] = json!(next);
        }
        if let Some(n_remaining) = self.n_remaining {
            metadata["remainingItemCount"] = json!(n_remaining);
        }
        metadata
    }
}

/// Answers a list.
pub(crate) async fn list(
    state: &State,
    resource: &Resource,
    call: &Call,
    options: &ListOptions,
    form: Form,
    include_object: IncludeObject,
) -> Result<Answer, Status> {
    let page = match read(state, resource, verbs::place(resource, call), options).await? {
        Read::Page(page) => page,
        Read::Expired(answer) => return Ok(answer),
    };
    let reserved = state.fairness.reserve(&call.client, page.n_bytes()).await;
    Ok(Answer::bytes(200, reserved.attach(write(resource, &page, form, include_object))))
}

/// What became of reading a page.
pub(crate) enum Read {
    Page(Page),
    /// The continue token is too old; the answer holds a fresh one.
    Expired(Answer),
}

/// Reads the page that `options` ask for.
pub(crate) async fn read(
    state: &State,
    resource: &Resource,
    namespace: &str,
    options: &ListOptions,
) -> Result<Read, Status> {
    let selection = Selection::parse(&resource.kind, namespace, options)?;
    options.validate()?;
    let place = place(state, options).await?;
    let limit = usize::try_from(options.limit).ok().filter(|limit| *limit > 0);
    let after = place.after.as_ref().map(|after| format!("{}{after}", selection.prefix));
    let found = if let Some(key) = only_key(resource, namespace, &selection) {
        one(state, resource, &selection, &key, place.revision).await
    } else if selection.is_everything() {
        everything(state, &selection, place.revision, after, limit).await
    } else {
        matching(state, resource, &selection, place.revision, after, limit).await
    };
    match found {
        Ok(page) => Ok(Read::Page(page)),
        Err(StoreError::Compacted { .. }) if place.after.is_some() => {
            Ok(Read::Expired(expired(place.after.unwrap_or_default())))
        }
        Err(error) => Err(store_failure(&error)),
    }
}

/// Where a page begins and at which revision.
struct Place {
    revision: Option<Revision>,
    after: Option<String>,
}

async fn place(state: &State, options: &ListOptions) -> Result<Place, Status> {
    if !options.continue_token.is_empty() {
        let continuation = Continuation::decode(&options.continue_token)?;
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        return Ok(Place { revision: continuation.revision, after: Some(continuation.after) });
    }
    let now = Place { revision: None, after: None };
    let Version::At(asked) = versions::parse_list(&options.resource_version)? else { return Ok(now) };
    // Without a match, a page of a version is exactly that version's, as it was before there were matches.
    let is_exact = options.version_match == "Exact" || (options.version_match.is_empty() && options.limit > 0);
    versions::wait_for(&state.store, asked).await?;
    Ok(if is_exact { Place { revision: Some(asked), after: None } } else { now })
}

/// The key of the only object that can be found.
fn only_key(resource: &Resource, namespace: &str, selection: &Selection) -> Option<String> {
    let name = selection.exact_name()?;
    let is_placed = !resource.kind.namespaced || !namespace.is_empty();
    is_placed.then(|| resource.kind.key(namespace, name))
}

async fn one(
    state: &State,
    resource: &Resource,
    selection: &Selection,
    key: &str,
    revision: Option<Revision>,
) -> Result<Page, StoreError> {
    let (newest, found) = match revision {
        None => state.store.get(key).await?,
        Some(_) => {
            let list = state.store.list(key, StoreList { revision, limit: Some(1), ..StoreList::default() }).await?;
            (list.revision, list.items.into_iter().find(|kv| *kv.key == *key))
        }
    };
    let matches = |kv: &KeyValue| selection.matches(&resource.kind, &resource.decode(kv));
    Ok(Page { items: found.into_iter().filter(matches).collect(), revision: newest, ..Page::default() })
}

async fn everything(
    state: &State,
    selection: &Selection,
    revision: Option<Revision>,
    after: Option<String>,
    limit: Option<usize>,
) -> Result<Page, StoreError> {
    let list =
        state.store.list(&selection.prefix, StoreList { revision, after, limit, ..StoreList::default() }).await?;
    let next = next(selection, list.items.last().filter(|_| list.more), list.revision);
    let n_remaining = list.more.then_some(list.n_remaining);
    Ok(Page { revision: list.revision, next, n_remaining, items: list.items })
}

async fn matching(
    state: &State,
    resource: &Resource,
    selection: &Selection,
    mut revision: Option<Revision>,
    mut after: Option<String>,
    limit: Option<usize>,
) -> Result<Page, StoreError> {
    let mut page = Page::default();
    // Without a limit the whole is read at once: nothing changes in between, and nothing is compacted away.
    let scan = limit.map(|_| SCAN);
    loop {
        let part = StoreList { revision, after: after.take(), limit: scan, uncounted: true, ..StoreList::default() };
        let list = state.store.list(&selection.prefix, part).await?;
        (page.revision, revision) = (list.revision, Some(list.revision));
        let n_items = list.items.len();
        let mut last = None;
        for (idx, kv) in list.items.into_iter().enumerate() {
            last = Some(kv.clone());
            if selection.matches(&resource.kind, &resource.decode(&kv)) {
                page.items.push(kv);
            }
            if limit.is_some_and(|limit| page.items.len() >= limit) {
                let more = list.more || idx + 1 < n_items;
                page.next = next(selection, last.as_ref().filter(|_| more), list.revision);
                return Ok(page);
            }
        }
        match last {
            Some(last) if list.more => after = Some(last.key.to_string()),
            _ => return Ok(page),
        }
    }
}

fn next(selection: &Selection, last: Option<&KeyValue>, revision: Revision) -> Option<String> {
    let after = last?.key.strip_prefix(&selection.prefix)?.to_owned();
    Some(Continuation { revision: Some(revision), after }.encode())
}

/// 410 with a token by which the client may go on from the present.
fn expired(after: String) -> Answer {
    let mut body = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .to_json();
    body["metadata"]["continue"] = json!(Continuation { revision: None, after }.encode());
    Answer::json(410, &body)
}

/// The page in the form that the client wants.
pub(crate) fn write(resource: &Resource, page: &Page, form: Form, include_object: IncludeObject) -> Bytes {
    let objects = || page.items.iter().map(|kv| resource.decode(kv)).collect::<Vec<_>>();
    let shaped = match form {
        Form::Object => return splice(resource, page),
        Form::Partial(version) => columns::partial_list(&objects(), page.metadata(), version),
        Form::Table(version) => {
            let options = TableOptions { now: Timestamp::now(), include_object, no_headers: false, version };
            columns::table(&resource.kind, &objects(), page.metadata(), options)
        }
    };
    serde_json::to_vec(&shaped).expect("a JSON value always serialises").into()
}

fn splice(resource: &Resource, page: &Page) -> Bytes {
    let mut out = BytesMut::with_capacity(page.n_bytes() + 256);
    let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", resource.kind.list_kind(), resource.api_version);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(b"\"metadata\":");
    serde_json::to_writer((&mut out).writer(), &page.metadata()).expect("memory takes every byte");
    out.extend_from_slice(b",\"items\":[");
    for (idx, kv) in page.items.iter().enumerate() {
        if idx > 0 {
            out.extend_from_slice(b",");
        }
        resource.write_item(&mut out, &kv.value, kv.mod_revision);
    }
    out.extend_from_slice(b"]}");
    out.freeze()
}
