//! Seats for requests at work. A free seat goes to the client that has the fewest of those who wait; no client has more
//! than its share, so that one that holds its seats for long leaves some to the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Client;

/// How many, for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) n_seats: usize,
    /// What one client may have.
    pub(super) share_max: usize,
    /// Requests of one client that may wait; twice the seats may wait in all.
    pub(super) queue_max: usize,
}

#[derive(Debug)]
pub(super) struct Seating {
    bounds: Bounds,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    n_taken: usize,
    n_waiting: usize,
    n_arrivals: u64,
    /// Only clients that have a seat or wait for one.
    clients: HashMap<Client, Party>,
}

/// One client's seats, and its requests that wait.
#[derive(Debug, Default)]
struct Party {
    n_seats: usize,
    queue: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    arrival: u64,
    call: oneshot::Sender<Seat>,
}

/// A request at work, until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    /// `None` once it has been passed on.
    held: Option<(Arc<Seating>, Client)>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((seating, client)) = self.held.take() {
            seating.leave(client);
        }
    }
}

/// What an arrival meets.
enum Met {
    Seat(Seat),
    Queue(oneshot::Receiver<Seat>),
    TooMany,
}

impl Seating {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, table: Mutex::default() })
    }

    /// A seat, as soon as there is one for this client; `None` when too many wait already.
    pub(super) async fn seat(self: &Arc<Self>, client: &Client) -> Option<Seat> {
        match self.arrive(client) {
            Met::Seat(seat) => Some(seat),
            // The sender is kept until it has sent.
            Met::Queue(call) => call.await.ok(),
            Met::TooMany => None,
        }
    }

    pub(super) fn n_taken(&self) -> usize {
        self.table.lock().n_taken
    }

    pub(super) fn n_waiting(&self) -> usize {
        let mut table = self.table.lock();
        table.forget_the_gone();
        table.n_waiting
    }

    fn arrive(self: &Arc<Self>, client: &Client) -> Met {
        let mut table = self.table.lock();
        let party = table.clients.entry(client.clone()).or_default();
        let is_free = party.queue.is_empty() && party.n_seats < self.bounds.share_max;
        if is_free && table.n_taken < self.bounds.n_seats {
            return Met::Seat(self.take(&mut table, client.clone()));
        }
        if self.is_full(&table, client) {
            table.forget_the_gone();
        }
        if self.is_full(&table, client) {
            return Met::TooMany;
        }
        let (call, called) = oneshot::channel();
        table.n_arrivals += 1;
        table.n_waiting += 1;
        let arrival = table.n_arrivals;
        table.clients.entry(client.clone()).or_default().queue.push_back(Waiting { arrival, call });
        Met::Queue(called)
    }

    fn is_full(&self, table: &Table, client: &Client) -> bool {
        let n_own = table.clients.get(client).map_or(0, |party| party.queue.len());
        n_own >= self.bounds.queue_max || table.n_waiting >= self.bounds.n_seats * 2
    }

    fn take(self: &Arc<Self>, table: &mut Table, client: Client) -> Seat {
        table.n_taken += 1;
        table.clients.entry(client.clone()).or_default().n_seats += 1;
        Seat { held: Some((Arc::clone(self), client)) }
    }

    /// Frees a seat, and calls those whose turn it is.
    fn leave(self: &Arc<Self>, client: Client) {
        let mut table = self.table.lock();
        table.n_taken -= 1;
        if let Some(party) = table.clients.get_mut(&client) {
            party.n_seats -= 1;
            if party.n_seats == 0 && party.queue.is_empty() {
                table.clients.remove(&client);
            }
        }
        while table.n_taken < self.bounds.n_seats {
            let Some((next, call)) = table.next(self.bounds.share_max) else { return };
            let seat = self.take(&mut table, next);
            if let Err(mut unwanted) = call.send(seat) {
                // Who waited has gone. Its seat is taken back here, as `leave` must not be called within itself.
                if let Some((_, gone)) = unwanted.held.take() {
                    table.give_back(&gone);
                }
            }
        }
    }
}

impl Table {
    /// Whose turn it is: of those who wait and have not got their share, who has the fewest seats, then who came first.
    fn next(&mut self, share_max: usize) -> Option<(Client, oneshot::Sender<Seat>)> {
        let waiting = self.clients.iter().filter(|(_, party)| party.n_seats < share_max);
        let first = waiting.filter_map(|(client, party)| Some((party.n_seats, party.queue.front()?.arrival, client)));
        let client = first.min_by_key(|(n_seats, arrival, _)| (*n_seats, *arrival))?.2.clone();
        let waiting = self.clients.get_mut(&client)?.queue.pop_front()?;
        self.n_waiting -= 1;
        Some((client, waiting.call))
    }

    fn give_back(&mut self, client: &Client) {
        self.n_taken -= 1;
        if let Some(party) = self.clients.get_mut(client) {
            party.n_seats -= 1;
        }
    }

    fn forget_the_gone(&mut self) {
        for party in self.clients.values_mut() {
            party.queue.retain(|waiting| !waiting.call.is_closed());
        }
        self.clients.retain(|_, party| party.n_seats > 0 || !party.queue.is_empty());
        self.n_waiting = self.clients.values().map(|party| party.queue.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use coracle_api::identity::User;
    use futures::FutureExt;

    use super::*;

    fn client(name: &str) -> Client {
        Client::new(&User::new(name, &[]), None)
    }

    fn seating(n_seats: usize, share_max: usize, queue_max: usize) -> Arc<Seating> {
        Seating::new(Bounds { n_seats, share_max, queue_max })
    }

    fn seated(seating: &Arc<Seating>, name: &str) -> Seat {
        seating.seat(&client(name)).now_or_never().flatten().expect("there is a seat")
    }

    #[tokio::test]
    async fn a_free_seat_goes_to_who_has_the_fewest() {
        let seating = seating(2, 2, 8);
        let (first, _second) = (seated(&seating, "greedy"), seated(&seating, "greedy"));
        let Met::Queue(more) = seating.arrive(&client("greedy")) else { panic!("there is no seat") };
        let Met::Queue(modest) = seating.arrive(&client("modest")) else { panic!("there is no seat") };
        drop(first);
        let seat = modest.now_or_never().expect("it is the modest one's turn, though it came later").unwrap();
        drop(seat);
        assert!(more.now_or_never().is_some());
    }

    #[tokio::test]
    async fn nobody_gets_more_than_a_share_even_while_seats_are_free() {
        let seating = seating(4, 2, 8);
        let (_first, second) = (seated(&seating, "greedy"), seated(&seating, "greedy"));
        let Met::Queue(mut third) = seating.arrive(&client("greedy")) else { panic!("that is more than its share") };
        let _other = seated(&seating, "modest");
        assert!(third.try_recv().is_err());
        drop(second);
        assert!(third.try_recv().is_ok());
    }

    #[tokio::test]
    async fn queues_are_bounded_and_forget_who_has_gone() {
        let seating = seating(1, 1, 2);
        let seat = seated(&seating, "a");
        let Met::Queue(gone) = seating.arrive(&client("a")) else { panic!("there is no seat") };
        let Met::Queue(_waits) = seating.arrive(&client("a")) else { panic!("there is no seat") };
        assert!(matches!(seating.arrive(&client("a")), Met::TooMany));
        assert!(matches!(seating.arrive(&client("b")), Met::TooMany), "all queues together are bounded too");
        drop(gone);
        let Met::Queue(patient) = seating.arrive(&client("b")) else { panic!("one has gone") };
        drop(_waits);
        drop(seat);
        drop(patient.now_or_never().expect("who has gone is passed over").unwrap());
        assert_eq!((seating.n_taken(), seating.n_waiting(), seating.table.lock().clients.len()), (0, 0, 0));
    }
}
