//! Many nodes' links under a seed: latency, loss, reordering, NAT and partitions, and what must hold when the world is
//! quiet again.

use std::collections::BinaryHeap;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that will happen at a node.
struct Due {
    at: Instant,
    order: u64,
    node: usize,
    event: What,
}

enum What {
    Told(Event),
    /// Somebody's first packet arrives.
    Knock {
        from: usize,
        wire: usize,
    },
    /// A message arrives at one end of a connection.
    Word {
        wire: usize,
        end: usize,
        sequence: u64,
        reaches: BTreeSet<String>,
    },
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// A connection as the network sees it: whose two ends, and the number that each end gave it.
struct Wire {
    ends: [usize; 2],
    ids: [Option<ConnectionId>; 2],
    lost: [bool; 2],
}

struct World {
    now: Instant,
    random: StdRng,
    nodes: Vec<Links>,
    /// Who is behind a NAT: nobody's first packet gets in.
    hidden: Vec<bool>,
    /// Pairs that no packet passes between.
    cut: BTreeSet<(usize, usize)>,
    loss: f64,
    wires: Vec<Wire>,
    queue: BinaryHeap<Due>,
    n_scheduled: u64,
    n_dials: usize,
}

fn name(node: usize) -> String {
    format!("n{node:02}")
}

fn node_of(name: &str) -> usize {
    name[1..].parse().unwrap()
}

impl World {
    fn new(seed: u64, hidden: Vec<bool>, loss: f64) -> Self {
        let n_nodes = hidden.len();
        let mut world = Self {
            now: Instant::now(),
            random: StdRng::seed_from_u64(seed),
            nodes: (0..n_nodes).map(|node| Links::new(name(node))).collect(),
            hidden,
            cut: BTreeSet::new(),
            loss,
            wires: Vec::new(),
            queue: BinaryHeap::new(),
            n_scheduled: 0,
            n_dials: 0,
        };
        let address = |node: usize| vec![SocketAddr::from(([192, 0, 2, node as u8], 1))];
        let members: BTreeMap<_, _> = (0..n_nodes).map(|node| (name(node), address(node))).collect();
        for node in 0..n_nodes {
            let delay = Duration::from_millis(world.random.random_range(0..3000));
            world.schedule(delay, node, What::Told(Event::Members(members.clone())));
        }
        world
    }

    fn schedule(&mut self, delay: Duration, node: usize, event: What) {
        self.n_scheduled += 1;
        self.queue.push(Due { at: self.now + delay, order: self.n_scheduled, node, event });
    }

    fn latency(&mut self) -> Duration {
        // A retransmission for each loss; and so what was sent later may arrive earlier.
        let mut delay = Duration::from_millis(self.random.random_range(1..80));
        while self.random.random_bool(self.loss) {
            delay += Duration::from_millis(200);
        }
        delay
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn set_cut(&mut self, cut: BTreeSet<(usize, usize)>) {
        self.cut = cut;
        for wire in 0..self.wires.len() {
            let [a, b] = self.wires[wire].ends;
            if self.is_cut(a, b) {
                self.lose(wire, 0);
                self.lose(wire, 1);
            }
        }
    }

    /// One end notices, some time, that nothing arrives any more.
    fn lose(&mut self, wire: usize, end: usize) {
        let Wire { ends, ids, lost } = &mut self.wires[wire];
        if std::mem::replace(&mut lost[end], true) {
            return;
        }
        let (node, id) = (ends[end], ids[end]);
        if let Some(connection) = id {
            let delay = IDLE_TIMEOUT.mul_f64(self.random.random_range(0.7..1.0));
            self.schedule(delay, node, What::Told(Event::Lost { connection }));
        }
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.queue.peek().map(|due| due.at);
            let timer = (0..self.nodes.len()).filter_map(|n| Some((self.nodes[n].poll_timeout()?, n))).min();
            match (due, timer) {
                (Some(due), timer) if due <= end && timer.is_none_or(|(at, _)| due <= at) => {
                    let next = self.queue.pop().expect("it was seen");
                    self.now = next.at;
                    self.happen(next.node, next.event);
                }
                (_, Some((at, node))) if at <= end => {
                    self.now = self.now.max(at);
                    self.happen(node, What::Told(Event::Tick));
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn happen(&mut self, node: usize, what: What) {
        let event = match what {
            What::Told(event) => event,
            What::Knock { from, wire } => {
                let connection = ConnectionId(self.n_scheduled + 1_000_000);
                self.n_scheduled += 1;
                self.wires[wire].ids[1] = Some(connection);
                if self.is_cut(from, node) || self.wires[wire].lost != [false; 2] {
                    self.wires[wire].lost[1] = false;
                    self.lose(wire, 1);
                }
                Event::Connected { peer: name(from), connection, by: Dialler::Them }
            }
            What::Word { wire, end, sequence, reaches } => {
                match (self.wires[wire].ids[end], self.wires[wire].lost[end]) {
                    (_, true) => return,
                    (Some(connection), false) => Event::Heard { connection, sequence, reaches },
                    // What is said during the handshake waits for its end.
                    (None, false) => {
                        return self.schedule(
                            Duration::from_millis(50),
                            node,
                            What::Word { wire, end, sequence, reaches },
                        );
                    }
                }
            }
        };
        self.nodes[node].handle(self.now, event);
        self.obey(node);
    }

    fn obey(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].poll_action() {
            self.act(node, action);
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Dial { peer, .. } => self.dial(node, node_of(&peer)),
            Action::Close { connection } | Action::Retire { connection } => self.hang_up(node, connection),
            Action::Tell { connection, sequence, reaches } => {
                let Some((wire, end)) = self.wire(node, connection) else { return };
                let (to, is_lost) = (self.wires[wire].ends[1 - end], self.wires[wire].lost[end]);
                if !is_lost {
                    let delay = self.latency();
                    self.schedule(delay, to, What::Word { wire, end: 1 - end, sequence, reaches });
                }
            }
        }
    }

    fn dial(&mut self, from: usize, to: usize) {
        self.n_dials += 1;
        let handshake_lost = self.random.random_bool(self.loss.powi(3));
        if self.hidden[to] || self.is_cut(from, to) || handshake_lost {
            self.schedule(DIAL_TIMEOUT, from, What::Told(Event::DialFailed { peer: name(to) }));
            return;
        }
        let connection = ConnectionId(self.n_scheduled + 1_000_000);
        self.n_scheduled += 1;
        self.wires.push(Wire { ends: [from, to], ids: [Some(connection), None], lost: [false; 2] });
        let wire = self.wires.len() - 1;
        let (there, back) = (self.latency(), self.latency());
        self.schedule(there + back, from, What::Told(Event::Connected { peer: name(to), connection, by: Dialler::Us }));
        self.schedule(there + back + there, to, What::Knock { from, wire });
    }

    fn hang_up(&mut self, node: usize, connection: ConnectionId) {
        let Some((wire, end)) = self.wire(node, connection) else { return };
        self.wires[wire].lost[end] = true;
        self.schedule(Duration::ZERO, node, What::Told(Event::Lost { connection }));
        let Wire { ends, ids, lost } = &mut self.wires[wire];
        if let (false, Some(connection)) = (std::mem::replace(&mut lost[1 - end], true), ids[1 - end]) {
            let other = ends[1 - end];
            let delay = self.latency();
            self.schedule(delay, other, What::Told(Event::Lost { connection }));
        }
    }

    fn wire(&self, node: usize, connection: ConnectionId) -> Option<(usize, usize)> {
        self.wires.iter().enumerate().find_map(|(idx, wire)| {
            (0..2).find(|end| wire.ends[*end] == node && wire.ids[*end] == Some(connection)).map(|end| (idx, end))
        })
    }

    fn are_neighbours(&self, a: usize, b: usize) -> bool {
        a != b && !(self.hidden[a] && self.hidden[b]) && !self.is_cut(a, b)
    }

    /// Everybody is reached directly where packets pass, through a common neighbour where not, and not else.
    fn check(&self) {
        let n_nodes = self.nodes.len();
        for a in 0..n_nodes {
            for b in (0..n_nodes).filter(|b| *b != a) {
                let way = self.nodes[a].way(&name(b));
                let through = (0..n_nodes).any(|c| self.are_neighbours(a, c) && self.are_neighbours(c, b));
                match way {
                    Way::Direct(id) => {
                        assert!(self.are_neighbours(a, b), "{a} believes that it reaches {b}");
                        let (wire, end) = self.wire(a, id).unwrap();
                        let theirs = self.wires[wire].ids[1 - end].unwrap();
                        assert_eq!(self.nodes[b].way(&name(a)), Way::Direct(theirs), "{a} and {b} use different ones");
                    }
                    Way::Relayed { by, .. } => {
                        assert!(!self.are_neighbours(a, b), "{a} takes a detour to {b}");
                        let by = node_of(&by);
                        assert!(self.are_neighbours(a, by) && self.are_neighbours(by, b), "{by} does not reach {b}");
                    }
                    Way::Opening | Way::Nowhere => {
                        assert!(!self.are_neighbours(a, b) && !through, "{a} does not reach {b}: {way:?}");
                    }
                }
            }
        }
        let alive = self.wires.iter().filter(|wire| wire.lost == [false; 2]).count();
        let pairs = (0..n_nodes).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|(a, b)| self.are_neighbours(*a, *b));
        assert_eq!(alive, pairs.count(), "one connection for each pair");
    }
}

fn quiet() -> Duration {
    SUPERSEDED_MAX + REDIAL_MAX * 3 + IDLE_TIMEOUT + DIAL_TIMEOUT * 3
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn links_find_their_way_whatever_the_network_does(
        seed in any::<u64>(),
        hidden in prop::collection::vec(prop::bool::weighted(0.3), 2..7),
        loss in 0.0..0.4f64,
        n_changes in 0..4usize,
    ) {
        let n_nodes = hidden.len();
        let mut world = World::new(seed, hidden, loss);
        world.run_for(Duration::from_secs(5));
        for _ in 0..n_changes {
            let pairs = (0..n_nodes).flat_map(|a| (a + 1..n_nodes).map(move |b| (a, b)));
            let cut: BTreeSet<_> = pairs.filter(|_| world.random.random_bool(0.4)).collect();
            world.set_cut(cut);
            let pause = Duration::from_millis(world.random.random_range(0..40_000));
            world.run_for(pause);
        }
        world.run_for(quiet());
        world.check();
        world.set_cut(BTreeSet::new());
        world.run_for(quiet());
        world.check();
    }
}

#[test]
fn a_node_that_cannot_be_dialled_is_not_dialled_all_the_time() {
    let mut world = World::new(7, vec![true, true, false], 0.0);
    world.run_for(Duration::from_secs(3600));
    world.check();
    let n_at_most = 3600 / (REDIAL_MAX + DIAL_TIMEOUT).as_secs() as usize * 2 + 30;
    assert!(world.n_dials < n_at_most, "{} dials in an hour", world.n_dials);
}
