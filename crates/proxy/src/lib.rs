//! Services: one immutable table that says which endpoint takes a connection, and the node ports that use it.
//!
//! [`table`] makes a [`Table`] from Services and EndpointSlices, and nothing else. A [`Proxy`] keeps one node's table
//! in step with the API server: what changes is compiled anew, the table is replaced whole, and it is read without a
//! lock. It listens on the node ports and at the addresses of load balancers, and hands what it accepts to the fabric;
//! and on the ports where load balancers outside ask whether this node has endpoints of a service.
//!
//! **Invariant:** a connection that was accepted is given to an endpoint that accepts it, or closed when there is none;
//! an endpoint that refuses is never the end of it while another one is there.

mod affinity;
mod backends;
mod compile;
mod datagrams;
mod health;
mod listening;
mod node_ports;
mod proxy;
mod table;
mod world;

#[cfg(test)]
mod tests;

pub use node_ports::NodePorts;
pub use proxy::{Config, Proxy};
pub use table::{Door, Node, Table, table};
pub use world::trim;
