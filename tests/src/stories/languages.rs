//! Guests that Rust did not make, and one that we did not write: C and Go exit with their codes, JavaScript and Python
//! serve, and ripgrep searches a volume. What its tool could not build is passed over, and says so.

use super::kubectl::says;
use crate::cluster::{Cluster, has_workload, manifest_file};
use crate::{http, wait};

#[test]
fn guests_in_other_languages_run_as_pods() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    let [c, go, search] = ["hello-c", "hello-go", "ripgrep"].map(|name| begin(&cluster, name));
    let [javascript, python] = ["hello-js", "hello-py"].map(|name| begin(&cluster, name));
    // Who comes last to be compiled is waited for longest.
    if javascript {
        answers(&cluster, "hello-js", 30086, "hello from JavaScript /some/path\n");
    }
    if python {
        answers(&cluster, "hello-py", 30087, "hello from Python /some/path\n");
    }
    if c {
        ends(
            &cluster,
            "hello-c",
            3,
            &["hello from C in ", "argument 1 is 3\n", "argument 2 is words\n", "and good-bye\n"],
        );
    }
    if go {
        ends(&cluster, "hello-go", 4, &["hello 1 from Go in ", "hello 2 from Go", "hello 3 from Go"]);
    }
    if search {
        ends(&cluster, "ripgrep", 0, &["/texts/..data/jabberwocky:2:the slithy toves\n"]);
    }
}

/// Pushes and applies it. False when there is nothing to push.
fn begin(cluster: &Cluster, name: &str) -> bool {
    if !has_workload(name) {
        println!("passed over: {name} was not built");
        return false;
    }
    cluster.push(name, &format!("{name}:v1"));
    says(cluster, &format!("apply -f {}", manifest_file(name)), &[" created"]);
    true
}

fn ends(cluster: &Cluster, pod: &str, code: i32, lines: &[&str]) {
    let path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
    wait::until(&format!("{pod} to end"), || match cluster.ask(&["get", "pod", pod, "-o", path]) {
        found if found == code.to_string() => Ok(()),
        _ => Err(cluster.ask(&["get", "pod", pod, "-o", "jsonpath={.status}"])),
    });
    says(cluster, &format!("logs {pod}"), lines);
}

/// It answers at a port of the node, and by the name of its service.
fn answers(cluster: &Cluster, name: &str, port: u16, text: &str) {
    // The largest take a while to compile, which the node does beside everything else.
    says(cluster, &format!("rollout status deployment/{name} --timeout=600s"), &["successfully rolled out"]);
    wait::until(&format!("{name} to answer"), || match http::get(cluster.node_port(port), "/some/path") {
        Ok(answer) if answer.status == 200 && answer.body.starts_with(text) => Ok(()),
        other => Err(format!("{other:?}; {}", cluster.ask(&["describe", "pod", "-l", &format!("app={name}")]))),
    });
}
