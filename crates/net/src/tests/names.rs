//! Names, as whoever answers for them says.

use super::*;

struct Known;

impl Names for Known {
    fn resolve(&self, from: &PodIdentity, name: &str) -> Answer {
        match name {
            "web" if from.namespace == "default" => Answer::Addresses(vec![ip("10.96.0.1")]),
            "alias" => Answer::Alias("web".into()),
            "loop" => Answer::Alias("loop".into()),
            "empty" => Answer::Addresses(vec![]),
            _ => Answer::NoSuchName,
        }
    }
}

#[tokio::test]
async fn a_pod_knows_itself_and_what_the_cluster_knows() {
    let node = node(1);
    node.set_names(Arc::new(Known));
    let pod = pod(&node, "10.244.1.2");
    let check = async |name: &str, expected: Result<&[&str], NetworkError>| {
        let expected = expected.map(|ips| ips.iter().map(|text| ip(text)).collect());
        assert_eq!(pod.resolve(name).await, expected, "{name}");
    };
    check("192.0.2.1", Ok(&["192.0.2.1"])).await;
    check("[::1]", Ok(&["::1"])).await;
    check("LocalHost", Ok(&["127.0.0.1", "::1"])).await;
    check("pod-10.244.1.2", Ok(&["10.244.1.2"])).await;
    check("WEB", Ok(&["10.96.0.1"])).await;
    check("alias", Ok(&["10.96.0.1"])).await;
    for unknown in ["loop", "empty", "nothing"] {
        check(unknown, Err(NetworkError::NameUnresolvable)).await;
    }
    check("", Err(NetworkError::InvalidArgument)).await;
    check(&"a".repeat(256), Err(NetworkError::InvalidArgument)).await;
}
