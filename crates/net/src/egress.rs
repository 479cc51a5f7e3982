//! Whether a pod may leave for the host's network, and where to. The host itself is never a destination.

use std::net::IpAddr;

use ipnet::IpNet;

/// The policy for addresses outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Egress {
    /// Pods reach nothing outside the cluster.
    Denied,
    /// Pods reach everything outside, except these networks and what is the host's own.
    AllowedExcept(Vec<IpNet>),
}

impl Default for Egress {
    fn default() -> Self {
        Self::AllowedExcept(Vec::new())
    }
}

impl Egress {
    /// True when anything outside may be reached.
    pub fn is_allowed(&self) -> bool {
        match self {
            Self::Denied => false,
            Self::AllowedExcept(_) => true,
        }
    }

    /// Whether `ip` may be a destination, as far as the address alone tells.
    pub fn permits(&self, ip: IpAddr) -> bool {
        match self {
            Self::Denied => false,
            Self::AllowedExcept(denied) => is_global_enough(ip) && !denied.iter().any(|net| net.contains(&ip)),
        }
    }
}

fn is_global_enough(ip: IpAddr) -> bool {
    let special = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4().is_some(),
    };
    !(special || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(egress: &Egress, ip: &str, permitted: bool) {
        assert_eq!(egress.permits(ip.parse().unwrap()), permitted, "{ip}");
    }

    #[test]
    fn the_host_and_its_links_are_never_a_destination() {
        let egress = Egress::default();
        for ip in ["127.0.0.1", "127.9.9.9", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            check(&egress, ip, false);
        }
        for ip in ["::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1"] {
            check(&egress, ip, false);
        }
        check(&egress, "192.0.2.1", true);
        check(&egress, "2001:db8::1", true);
    }

    #[test]
    fn a_policy_can_deny_some_or_all() {
        let some = Egress::AllowedExcept(vec!["10.0.0.0/8".parse().unwrap()]);
        check(&some, "10.1.2.3", false);
        check(&some, "192.0.2.1", true);
        check(&Egress::Denied, "192.0.2.1", false);
    }
}
