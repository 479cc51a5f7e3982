//! The world outside the cluster.

use super::*;

/// An address of this machine that is not loopback, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel only chooses the source address that it would use.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip()).filter(|ip| !ip.is_loopback())
}

fn pod_of_open_node(address: &str) -> Arc<PodNetwork> {
    let fabric = Fabric::new(FabricConfig { pod_cidrs: vec!["198.18.0.0/24".parse().unwrap()], ..Default::default() });
    pod(&fabric, address)
}

#[tokio::test]
async fn the_hosts_own_addresses_are_out_of_reach() {
    let client = pod_of_open_node("198.18.0.2");
    assert_eq!(outcome(&client, "169.254.169.254:80").await, Err(NetworkError::AccessDenied));
    assert_eq!(outcome(&client, "[::ffff:169.254.169.254]:80").await, Err(NetworkError::AccessDenied));
    if let Some(own) = own_address() {
        let host = tokio::net::TcpListener::bind((own, 0)).await.unwrap();
        let to = host.local_addr().unwrap().to_string();
        assert_eq!(outcome(&client, &to).await, Err(NetworkError::AccessDenied));
        let socket = client.bind_udp(at("0.0.0.0:0")).unwrap();
        assert_eq!(socket.send_to(bytes::Bytes::new(), at(&to)).await, Err(NetworkError::AccessDenied));
    }
}

#[tokio::test]
async fn a_mapped_loopback_address_is_the_pods_own() {
    let client = pod_of_open_node("198.18.0.2");
    let host = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = host.local_addr().unwrap().port();
    let to = format!("[::ffff:127.0.0.1]:{port}");
    assert_eq!(outcome(&client, &to).await, Err(NetworkError::ConnectionRefused));
}

#[tokio::test]
async fn a_policy_that_denies_denies() {
    let fabric = Fabric::new(FabricConfig { egress: Egress::Denied, ..FabricConfig::default() });
    let client = pod(&fabric, "198.18.0.2");
    assert_eq!(outcome(&client, "198.51.100.1:80").await, Err(NetworkError::AccessDenied));
    assert_eq!(client.resolve("example.com").await, Err(NetworkError::NameUnresolvable));
}
