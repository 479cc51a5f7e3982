//! Watches: what happened to the selected objects, as a stream of lines. A watch keeps no queue of its own: it reads the
//! shared stream of its kind, or catches up from the store's window, at the pace of its client.

mod frames;
mod ready;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use coracle_api::status::Status;
use coracle_store::{ListOptions as StoreList, Revision};
use futures::{FutureExt, StreamExt, stream};
use rand::Rng;
use tokio::sync::broadcast;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::answer::Answer;
use crate::fairness::{Client, Stream};
use crate::hub::{Batch, Change, Event, Parcel, Subscription};
use crate::options::ListOptions;
use crate::resources::Resource;
use crate::selection::Selection;
use crate::state::State;
use crate::versions::{self, Version};

pub(crate) use frames::Frames;
use ready::{Ready, Taken};

/// Initial objects that are read at one time, and the bytes in them that a watch holds on to whose client does not read.
const INITIAL_PAGE: usize = 500;
const INITIAL_BYTES_MAX: usize = 256 << 10;

/// Answers a watch: checks what it asks for, then streams until its time is over.
pub(crate) async fn watch(
    state: &Arc<State>,
    resource: Arc<Resource>,
    namespace: &str,
    options: &ListOptions,
    frames: Frames,
    client: &Client,
) -> Result<Answer, Status> {
    let selection = Selection::parse(&resource.kind, namespace, options)?;
    options.validate()?;
    let version = versions::parse_watch(&options.resource_version)?;
    let start = start(state, options, version).await?;
    let guard = state.fairness.stream(client)?;
    let timeout = timeout(state, options);
    let interval = state.config.limits.bookmark_interval;
    let mut watching = Watching {
        state: Arc::clone(state),
        resource,
        selection,
        frames,
        source: Source::Ended,
        position: start.revision(),
        ready: Taken::new(state),
        bookmarks: options.allow_bookmarks.then_some(interval),
        deadline: Instant::now() + timeout,
        alarm: Box::pin(tokio::time::sleep(timeout)),
        shutdown: Box::pin(state.token.clone().cancelled_owned()),
        _guard: guard,
    };
    watching.set_alarm();
    watching.begin(start, options).await;
    let lines = stream::unfold(watching, |mut watching| async move {
        let line = watching.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(line), watching))
    });
    Ok(Answer::stream("application/json", Body::from_stream(lines.fuse())))
}

/// Where a watch begins.
enum Start {
    /// With what is there now, then with what comes.
    Present { revision: Revision },
    /// With what comes after this revision.
    After { revision: Revision },
}

impl Start {
    fn revision(&self) -> Revision {
        match self {
            Self::Present { revision } | Self::After { revision } => *revision,
        }
    }
}

async fn start(state: &State, options: &ListOptions, version: Version) -> Result<Start, Status> {
    let present = Start::Present { revision: state.store.revision() };
    match (options.send_initial_events, version) {
        (Some(true), Version::At(asked)) => {
            versions::wait_for(&state.store, asked).await?;
            Ok(Start::Present { revision: state.store.revision() })
        }
        (Some(true), Version::Newest | Version::Any) => Ok(present),
        (Some(false), Version::Newest | Version::Any) => Ok(Start::After { revision: present.revision() }),
        (None, Version::Newest | Version::Any) => Ok(present),
        (_, Version::At(revision)) => Ok(Start::After { revision }),
    }
}

fn timeout(state: &State, options: &ListOptions) -> Duration {
    match options.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        None | Some(0) => state.config.limits.watch_timeout.mul_f64(rand::rng().random_range(1.0..2.0)),
        Some(seconds) => Duration::from_secs(seconds),
    }
}

/// One watch on its way.
struct Watching {
    state: Arc<State>,
    resource: Arc<Resource>,
    selection: Selection,
    frames: Frames,
    source: Source,
    /// Everything up to here has been sent or does not concern this watch.
    position: Revision,
    /// What has been read and not yet been taken by the client. Lines are made when they are taken, so this holds what
    /// one read returns at most: so many bytes, or one revision.
    ready: Taken,
    /// How often to say how far it has come.
    bookmarks: Option<Duration>,
    deadline: Instant,
    /// Goes off at the next bookmark or at the end. It is kept between events, as setting it is not free.
    alarm: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    _guard: Stream,
}

/// Where the next events come from.
enum Source {
    /// The objects that were there at the beginning, a page at a time.
    Initial { after: Option<String>, end_mark: bool },
    /// The store's window, until the shared stream can be joined.
    Behind(Box<coracle_store::Watch>),
    /// The shared stream.
    Live(broadcast::Receiver<Arc<Parcel>>),
    /// Nothing more will come.
    Ended,
}

/// What a live watch waits for.
enum Woken {
    /// Nothing, when this watch has fallen behind.
    Events(Option<Batch>),
    Alarm,
    Shutdown,
}

impl Watching {
    async fn begin(&mut self, start: Start, options: &ListOptions) {
        match start {
            Start::Present { .. } => {
                let end_mark = options.send_initial_events == Some(true) && options.allow_bookmarks;
                self.source = Source::Initial { after: None, end_mark };
            }
            Start::After { revision } => match self.state.began.get() {
                Some(oldest) if revision < *oldest => self.fail(&versions::too_old(revision, *oldest)),
                Some(_) | None => self.follow().await,
            },
        }
    }

    /// The next line, or `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            while let Some(ready) = self.ready.pop() {
                if let Some(line) = self.line(&ready) {
                    return Some(line);
                }
            }
            match &mut self.source {
                Source::Ended => return None,
                Source::Initial { .. } => self.read_initial().await,
                Source::Behind(_) => self.catch_up().await,
                Source::Live(_) => self.wait().await,
            }
        }
    }

    /// The line of what this watch sees, if it sees it.
    fn line(&mut self, ready: &Ready) -> Option<Bytes> {
        match ready {
            Ready::Line(line) => Some(line.clone()),
            Ready::Event(event) => {
                let change = self.sees(event)?;
                Some(self.frames.event(&self.resource, event, change))
            }
            Ready::Initial(kv) if self.selection.is_everything() && self.frames.are_plain() => {
                Some(self.frames.stored(&self.resource, &kv.value, kv.mod_revision))
            }
            Ready::Initial(kv) => {
                let object = self.resource.decode(kv);
                let is_selected = self.selection.matches(&self.resource.kind, &object);
                is_selected.then(|| self.frames.added(&self.resource, kv, &object))
            }
        }
    }

    async fn read_initial(&mut self) {
        let Source::Initial { after, end_mark } = &mut self.source else { return };
        let (after, end_mark) = (after.take(), *end_mark);
        let page = StoreList {
            revision: Some(self.position),
            after,
            limit: Some(INITIAL_PAGE),
            bytes_max: Some(INITIAL_BYTES_MAX),
            uncounted: true,
        };
        let Ok(page) = self.state.store.list(&self.selection.prefix, page).await else {
            return self.fail(&versions::too_old(self.position, self.state.store.compacted()));
        };
        if page.more {
            let after = page.items.last().map(|kv| kv.key.to_string());
            self.source = Source::Initial { after, end_mark };
        }
        page.items.into_iter().for_each(|kv| self.ready.push(Ready::Initial(kv)));
        if page.more {
            return;
        }
        if end_mark {
            let line = self.frames.bookmark(&self.resource, self.position, true);
            self.ready.push(Ready::Line(line));
        }
        self.follow().await;
    }

    /// Joins the shared stream when it reaches back far enough, or else the store's window.
    async fn follow(&mut self) {
        match self.subscribe().await {
            Some(subscription) if subscription.after <= self.position => {
                self.source = Source::Live(subscription.receiver);
            }
            Some(_) => self.fall_behind().await,
            None => self.source = Source::Ended,
        }
    }

    async fn subscribe(&self) -> Option<Subscription> {
        self.resource.hub.subscribe(&self.state.store, &self.state.scope).await.ok()
    }

    async fn fall_behind(&mut self) {
        match self.state.store.watch(&self.selection.prefix, self.position).await {
            Ok(watch) => self.source = Source::Behind(Box::new(watch)),
            Err(_) => self.fail(&versions::too_old(self.position, self.state.store.compacted())),
        }
    }

    /// Takes what the store's window holds; when that is all, joins the shared stream and takes the rest.
    async fn catch_up(&mut self) {
        if self.drain_window() {
            return;
        }
        let Some(subscription) = self.subscribe().await else {
            self.source = Source::Ended;
            return;
        };
        // Joined before the rest of the window is read, so nothing falls between the two; what is in both is told
        // apart by its revision. When there is more than one portion, the stream has to wait.
        self.drain_window();
        if let Source::Behind(watch) = &self.source
            && watch.progress() >= Some(subscription.after)
        {
            self.source = Source::Live(subscription.receiver);
        }
    }

    /// Takes one batch of the store's window; false when there is none now.
    fn drain_window(&mut self) -> bool {
        let Source::Behind(watch) = &mut self.source else { return false };
        match watch.recv().now_or_never() {
            None => false,
            Some(Err(_)) => {
                self.fail(&versions::too_old(self.position, self.state.store.compacted()));
                false
            }
            Some(Ok(events)) => {
                self.take(events.into_iter().map(|event| Arc::new(Event::new(event))));
                true
            }
        }
    }

    async fn wait(&mut self) {
        let woken = {
            let Source::Live(receiver) = &mut self.source else { return };
            tokio::select! {
                biased;
                () = self.shutdown.as_mut() => Woken::Shutdown,
                () = self.alarm.as_mut() => Woken::Alarm,
                parcel = receiver.recv() => Woken::Events(parcel.ok().and_then(|parcel| parcel.open())),
            }
        };
        match woken {
            Woken::Events(Some(batch)) => self.take(batch.iter().cloned()),
            Woken::Events(None) => self.fall_behind().await,
            Woken::Alarm => {
                let ends = Instant::now() >= self.deadline;
                self.set_alarm();
                self.mark().await;
                if ends {
                    self.source = Source::Ended;
                }
            }
            Woken::Shutdown => self.source = Source::Ended,
        }
    }

    fn set_alarm(&mut self) {
        let next = self.bookmarks.map_or(self.deadline, |interval| self.deadline.min(Instant::now() + interval));
        self.alarm.as_mut().reset(next);
    }

    /// Queues `events`, which are whole revisions. What it has had is passed over.
    fn take(&mut self, events: impl IntoIterator<Item = Arc<Event>>) {
        let seen = self.position;
        for event in events.into_iter().filter(|event| event.revision > seen) {
            self.position = event.revision;
            self.ready.push(Ready::Event(event));
        }
    }

    fn sees(&self, event: &Event) -> Option<Change> {
        if !self.selection.covers(&event.key) {
            return None;
        }
        if self.selection.is_everything() {
            return Some(event.change());
        }
        event.seen_by(&self.resource, |object| self.selection.matches(&self.resource.kind, object))
    }

    /// Says how far this watch has come. What is still on its way is taken first.
    async fn mark(&mut self) {
        if self.bookmarks.is_none() {
            return;
        }
        let Ok(mut watch) = self.state.store.watch(&self.selection.prefix, self.position).await else { return };
        // One portion is enough: what comes after it has not been passed over, and `progress` knows.
        if let Some(Ok(events)) = watch.recv().now_or_never() {
            self.take(events.into_iter().map(|event| Arc::new(Event::new(event))));
        }
        if let Some(progress) = watch.progress() {
            self.position = self.position.max(progress);
            let line = self.frames.bookmark(&self.resource, self.position, false);
            self.ready.push(Ready::Line(line));
        }
    }

    /// Tells the client why it has to begin anew, and ends.
    fn fail(&mut self, status: &Status) {
        self.ready.push(Ready::Line(Frames::error(status)));
        self.source = Source::Ended;
    }
}
