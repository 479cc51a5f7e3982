//! What can be chosen about an API server, and every limit that it keeps.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::Ipv4Net;

/// How one API server presents itself and what it hands out.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients of the cluster's own Service reach this server. The listener's address unless said otherwise.
    pub advertise: SocketAddr,
    /// Names and addresses besides the usual ones under which the server's certificate is good.
    pub names: Vec<String>,
    pub service_cidr: Ipv4Net,
    pub node_ports: std::ops::RangeInclusive<u16>,
    pub cluster_domain: String,
    pub limits: Limits,
}

impl Config {
    /// The usual settings of a cluster whose server is reached at `advertise`.
    pub fn new(advertise: SocketAddr) -> Self {
        Self {
            advertise,
            names: Vec::new(),
            service_cidr: Ipv4Net::new(Ipv4Addr::new(10, 96, 0, 0), 16).expect("16 is a prefix length"),
            node_ports: 30000..=32767,
            cluster_domain: "cluster.local".to_owned(),
            limits: Limits::default(),
        }
    }

    /// The first service address, which is the API server's own.
    pub fn service_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.service_cidr.network()) + 1)
    }

    /// The issuer and audience of this cluster's service-account tokens.
    pub fn issuer(&self) -> String {
        "https://kubernetes.default.svc".to_owned()
    }

    /// Every name and address under which the server's certificate is good.
    pub(crate) fn certificate_names(&self, listen: SocketAddr) -> Vec<String> {
        let mut names: Vec<String> =
            ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned).to_vec();
        names.push(format!("kubernetes.default.svc.{}", self.cluster_domain));
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for address in [self.service_address().into(), loopback, listen.ip(), self.advertise.ip()] {
            if !address.is_unspecified() {
                names.push(address.to_string());
            }
        }
        names.extend(self.names.iter().cloned());
        names.sort();
        names.dedup();
        names
    }
}

/// What one request, one client or all together may ask of the server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Requests at work at one time that only read. One client may have half of them; the cluster's own parts have half
    /// as many again for themselves. Watches and log streams count until they begin.
    pub reads_max: usize,
    /// The same for requests that write.
    pub writes_max: usize,
    /// Requests of one client that wait for their turn, of each of the two sorts.
    pub queue_max: usize,
    /// Watches and other streams at one time. The cluster's own parts have as many again for themselves.
    pub streams_max: usize,
    /// The same for one client.
    pub streams_per_client_max: usize,
    /// Bytes of large bodies, asked and answered, at one time. The cluster's own parts have as many again.
    pub memory_bytes_max: usize,
    /// The same for one client.
    pub memory_per_client_bytes_max: usize,
    /// Connections at one time.
    pub connections_max: usize,
    /// How long a request other than a stream may take. Where an image is pushed, how long nothing may come of it.
    pub request_timeout: Duration,
    /// How long a peer may take nothing of a large answer before its connection is ended.
    pub stall_timeout: Duration,
    /// How long a TLS handshake or the head of a request may take.
    pub head_timeout: Duration,
    /// How long requests in flight may still take at shutdown.
    pub drain_timeout: Duration,
    /// How often an idle watch that allows bookmarks receives one.
    pub bookmark_interval: Duration,
    /// A watch without timeoutSeconds ends after this long, or up to twice as long.
    pub watch_timeout: Duration,
    /// Answers from this size on are compressed when the client asks for it.
    pub gzip_bytes_min: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 3 << 20,
            reads_max: 400,
            writes_max: 200,
            queue_max: 100,
            streams_max: 20_000,
            streams_per_client_max: 10_000,
            memory_bytes_max: 512 << 20,
            memory_per_client_bytes_max: 128 << 20,
            connections_max: 10_000,
            request_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            bookmark_interval: Duration::from_secs(60),
            watch_timeout: Duration::from_secs(1800),
            gzip_bytes_min: 128 << 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_service_address_and_the_usual_names_are_on_the_certificate() {
        let config = Config::new("127.0.0.1:6443".parse().unwrap());
        assert_eq!(config.service_address(), Ipv4Addr::new(10, 96, 0, 1));
        let names = config.certificate_names("0.0.0.0:6443".parse().unwrap());
        for name in ["localhost", "127.0.0.1", "10.96.0.1", "kubernetes.default.svc.cluster.local"] {
            assert!(names.iter().any(|n| n == name), "{name} is not among {names:?}");
        }
        assert!(!names.iter().any(|n| n == "0.0.0.0"));
    }
}
