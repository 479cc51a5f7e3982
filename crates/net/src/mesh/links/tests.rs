use super::*;

fn members(names: &[&str]) -> Event {
    let address = |name: &str| (name.to_owned(), vec![format!("192.0.2.{}:1", name.len()).parse().unwrap()]);
    Event::Members(names.iter().map(|name| address(name)).collect())
}

fn connected(peer: &str, id: u64, by: Dialler) -> Event {
    Event::Connected { peer: peer.into(), connection: ConnectionId(id), by }
}

fn dials(links: &mut Links) -> Vec<String> {
    let actions = std::iter::from_fn(|| links.poll_action());
    actions.filter_map(|action| if let Action::Dial { peer, .. } = action { Some(peer) } else { None }).collect()
}

#[test]
fn the_lower_name_dials_at_once_and_the_higher_after_a_head_start() {
    let start = Instant::now();
    let mut links = Links::new("b");
    links.handle(start, members(&["a", "b", "c"]));
    assert_eq!(dials(&mut links), ["c"]);
    assert_eq!(links.poll_timeout(), Some(start + HEAD_START));
    links.handle(start + HEAD_START, Event::Tick);
    assert_eq!(dials(&mut links), ["a"]);
    assert_eq!(links.way("a"), Way::Opening);
    links.handle(start + HEAD_START, Event::DialFailed { peer: "a".into() });
    assert_eq!(links.way("a"), Way::Nowhere);
}

#[test]
fn of_two_connections_dialled_at_the_same_time_both_sides_keep_the_same() {
    let start = Instant::now();
    for (me, peer, kept) in [("a", "b", ConnectionId(1)), ("b", "a", ConnectionId(2))] {
        let mut links = Links::new(me);
        links.handle(start, members(&["a", "b"]));
        links.handle(start, connected(peer, 1, Dialler::Us));
        links.handle(start, connected(peer, 2, Dialler::Them));
        assert_eq!(links.way(peer), Way::Direct(kept), "{me}");
        while links.poll_action().is_some() {}
        links.handle(start + SUPERSEDED_MAX, Event::Tick);
        let other = ConnectionId(3 - kept.0);
        assert_eq!(links.poll_action(), Some(Action::Retire { connection: other }));
    }
}

#[test]
fn a_connection_dialled_later_replaces_one_that_its_dialler_lost() {
    let start = Instant::now();
    let mut links = Links::new("a");
    links.handle(start, members(&["b"]));
    links.handle(start, connected("b", 1, Dialler::Us));
    links.handle(start + SIMULTANEOUS, connected("b", 2, Dialler::Them));
    assert_eq!(links.way("b"), Way::Direct(ConnectionId(2)));
    links.handle(start + SIMULTANEOUS, Event::Lost { connection: ConnectionId(2) });
    assert_eq!(links.way("b"), Way::Direct(ConnectionId(1)));
}

#[test]
fn who_cannot_be_dialled_is_reached_through_a_neighbour() {
    let start = Instant::now();
    let mut links = Links::new("a");
    links.handle(start, members(&["b", "c"]));
    links.handle(start, connected("b", 1, Dialler::Us));
    let heard = |sequence, reaches: &[&str]| Event::Heard {
        connection: ConnectionId(1),
        sequence,
        reaches: reaches.iter().map(|name| (*name).to_owned()).collect(),
    };
    links.handle(start, heard(2, &["c"]));
    links.handle(start, heard(1, &[]));
    assert_eq!(links.way("c"), Way::Relayed { by: "b".into(), connection: ConnectionId(1) });
    links.handle(start, connected("c", 2, Dialler::Them));
    assert_eq!(links.way("c"), Way::Direct(ConnectionId(2)));
    links.handle(start, Event::Lost { connection: ConnectionId(1) });
    links.handle(start, Event::Lost { connection: ConnectionId(2) });
    links.handle(start, Event::DialFailed { peer: "c".into() });
    assert_eq!(links.way("c"), Way::Nowhere);
}

#[test]
fn a_member_that_left_is_cut_off_and_a_stranger_is_not_kept() {
    let start = Instant::now();
    let mut links = Links::new("a");
    links.handle(start, members(&["b"]));
    links.handle(start, connected("b", 1, Dialler::Us));
    links.handle(start, connected("stranger", 2, Dialler::Them));
    assert_eq!(links.way("stranger"), Way::Nowhere);
    while links.poll_action().is_some() {}
    links.handle(start, members(&[]));
    assert_eq!(links.poll_action(), Some(Action::Close { connection: ConnectionId(1) }));
    assert_eq!(links.poll_action(), None);
    links.handle(start + STRANGER_MAX, Event::Tick);
    assert_eq!(links.poll_action(), Some(Action::Close { connection: ConnectionId(2) }));
    assert_eq!(links.peers().count(), 0);
}

#[test]
fn a_member_that_moved_is_dialled_where_it_is_now() {
    let start = Instant::now();
    let mut links = Links::new("a");
    links.handle(start, members(&["b"]));
    links.handle(start, connected("b", 1, Dialler::Us));
    while links.poll_action().is_some() {}
    let elsewhere: SocketAddr = "198.51.100.7:1".parse().unwrap();
    links.handle(start, Event::Members(BTreeMap::from([("b".into(), vec![elsewhere])])));
    assert_eq!(links.poll_action(), Some(Action::Dial { peer: "b".into(), addresses: vec![elsewhere] }));
    assert_eq!(links.way("b"), Way::Direct(ConnectionId(1)));
}
