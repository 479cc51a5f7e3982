//! From one query's bytes to the bytes of its answer, as far as the zone knows. Pure; what the zone does not own it
//! leaves to somebody else.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

use crate::zone::{Lookup, Zone};

/// How long an answer may be kept: what it says changes with the pods.
const TTL_S: u32 = 5;
/// How long it may be kept that a name does not exist.
const NEGATIVE_TTL_S: u32 = 5;
/// The largest answer in a datagram to who names no other size.
const DATAGRAM_MAX: u16 = 512;
/// What a datagram may hold at most, whatever the client says: it must not be fragmented.
const PAYLOAD_MAX: u16 = 1232;
const ALIASES_MAX: usize = 8;

/// How a query came, which bounds its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What becomes of a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answer(Vec<u8>),
    /// Not the cluster's: somebody else is asked. When nobody can be, this is the answer.
    Forward {
        otherwise: Vec<u8>,
    },
    /// It is no query.
    Nothing,
}

pub(crate) fn answer(zone: &Zone, query: &[u8], transport: Transport) -> Outcome {
    let Ok(asked) = Message::from_vec(query) else { return Outcome::Nothing };
    if asked.message_type() != MessageType::Query {
        return Outcome::Nothing;
    }
    let mut reply = reply_to(&asked);
    let [question] = asked.queries() else {
        reply.set_response_code(ResponseCode::FormErr);
        return Outcome::Answer(encode(&reply, &asked, transport));
    };
    if asked.op_code() != OpCode::Query || question.query_class() != DNSClass::IN {
        reply.set_response_code(ResponseCode::NotImp);
        return Outcome::Answer(encode(&reply, &asked, transport));
    }
    match fill(&mut reply, zone, question) {
        Filled::Whole => Outcome::Answer(encode(&reply, &asked, transport)),
        Filled::NotOurs => {
            reply.set_authoritative(false).set_response_code(ResponseCode::ServFail);
            Outcome::Forward { otherwise: encode(&reply, &asked, transport) }
        }
    }
}

/// A question for the addresses of one family.
pub(crate) fn query(name: &str, v4: bool) -> Option<Vec<u8>> {
    let kind = if v4 { RecordType::A } else { RecordType::AAAA };
    let name = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).ok()?;
    let mut message = Message::new();
    message.set_id(rand::random()).set_message_type(MessageType::Query).set_op_code(OpCode::Query);
    message.set_recursion_desired(true).add_query(Query::query(name, kind));
    message.to_vec().ok()
}

/// The addresses that an answer has, whatever names led there.
pub(crate) fn addresses_in(answer: &[u8]) -> Vec<IpAddr> {
    let Ok(message) = Message::from_vec(answer) else { return Vec::new() };
    let address = |record: &Record| match record.data() {
        RData::A(A(ip)) => Some(IpAddr::V4(*ip)),
        RData::AAAA(AAAA(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    };
    message.answers().iter().filter_map(address).collect()
}

fn reply_to(asked: &Message) -> Message {
    let mut reply = Message::new();
    reply.set_id(asked.id()).set_message_type(MessageType::Response).set_op_code(asked.op_code());
    reply.set_authoritative(true).set_recursion_desired(asked.recursion_desired()).set_recursion_available(true);
    reply.add_queries(asked.queries().iter().cloned());
    if asked.extensions().is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_MAX);
        reply.set_edns(edns);
    }
    reply
}

enum Filled {
    Whole,
    NotOurs,
}

fn fill(reply: &mut Message, zone: &Zone, question: &Query) -> Filled {
    let (kind, mut owner) = (question.query_type(), question.name().clone());
    for _ in 0..ALIASES_MAX {
        match zone.look_up(owner.to_ascii().to_ascii_lowercase().trim_end_matches('.')) {
            Lookup::Addresses(addresses) => add_addresses(reply, &owner, kind, &addresses),
            Lookup::Services(targets) if matches!(kind, RecordType::SRV | RecordType::ANY) => {
                for target in targets {
                    let Some(name) = absolute(&target.name) else { continue };
                    let data = RData::SRV(SRV::new(0, 100, target.port, name.clone()));
                    reply.add_answer(Record::from_rdata(owner.clone(), TTL_S, data));
                    reply.add_additionals(target.addresses.iter().map(|ip| address(&name, *ip)));
                }
            }
            Lookup::Pointers(names) if matches!(kind, RecordType::PTR | RecordType::ANY) => {
                let all = names.iter().filter_map(|name| Some(RData::PTR(PTR(absolute(name)?))));
                reply.add_answers(all.map(|data| Record::from_rdata(owner.clone(), TTL_S, data)).collect::<Vec<_>>());
            }
            Lookup::Services(_) | Lookup::Pointers(_) => {}
            Lookup::Alias(target) => {
                let Some(target) = absolute(&target) else { break };
                let data = RData::CNAME(CNAME(target.clone()));
                reply.add_answer(Record::from_rdata(owner.clone(), TTL_S, data));
                owner = target;
                continue;
            }
            Lookup::NoSuchName => {
                reply.set_response_code(ResponseCode::NXDomain);
            }
            // The client follows an alias that leads outside itself, as stub resolvers' servers may leave it to them.
            Lookup::NotOurs if !reply.answers().is_empty() => return Filled::Whole,
            Lookup::NotOurs => return Filled::NotOurs,
        }
        break;
    }
    if reply.answers().is_empty() {
        reply.add_name_servers(authority(zone));
    }
    Filled::Whole
}

fn add_addresses(reply: &mut Message, owner: &Name, kind: RecordType, addresses: &[IpAddr]) {
    let is_asked = |ip: &&IpAddr| match kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        other => other == RecordType::ANY,
    };
    reply.add_answers(addresses.iter().filter(is_asked).map(|ip| address(owner, *ip)).collect::<Vec<_>>());
}

fn address(owner: &Name, ip: IpAddr) -> Record {
    let data = match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    };
    Record::from_rdata(owner.clone(), TTL_S, data)
}

/// Who says that there is nothing, and for how long.
fn authority(zone: &Zone) -> Option<Record> {
    let (domain, server) = (absolute(zone.domain())?, absolute(&format!("ns.dns.{}", zone.domain()))?);
    let mail = absolute(&format!("hostmaster.{}", zone.domain()))?;
    let data = RData::SOA(SOA::new(server, mail, 1, 7200, 1800, 86_400, NEGATIVE_TTL_S));
    Some(Record::from_rdata(domain, NEGATIVE_TTL_S, data))
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The reply's bytes; where they do not fit into a datagram, only that more is to be had over TCP.
fn encode(reply: &Message, asked: &Message, transport: Transport) -> Vec<u8> {
    let bytes = reply.to_vec().unwrap_or_default();
    let announced = asked.extensions().as_ref().map_or(DATAGRAM_MAX, Edns::max_payload);
    let room = usize::from(announced.clamp(DATAGRAM_MAX, PAYLOAD_MAX));
    match transport {
        Transport::Udp if bytes.len() > room => reply.truncate().to_vec().unwrap_or_default(),
        Transport::Udp | Transport::Tcp => bytes,
    }
}

#[cfg(test)]
mod tests;
