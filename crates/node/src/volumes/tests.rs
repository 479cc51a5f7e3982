//! What volumes hold, how they are written, and where they are mounted.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::environment::Facts;
use crate::objects::Objects;

fn pod(volume: Value) -> core::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "a"}], "volumes": [volume]},
    }))
    .unwrap()
}

fn objects() -> Objects {
    let mut objects = Objects::default();
    let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="}});
    objects.insert_config_map("cfg", serde_json::from_value(map).unwrap());
    objects.insert_secret("sec", serde_json::from_value(json!({"data": {"key": "dmFsdWU="}})).unwrap());
    objects
}

/// A volume's files as `path=content mode`.
fn held(volume: Value) -> Result<Vec<String>, String> {
    let mut volume = volume;
    volume["name"] = "v".into();
    let pod = pod(volume);
    let allocatable = BTreeMap::new();
    let facts = Facts { pod: &pod, pod_addresses: &[], host_addresses: &[], allocatable: &allocatable };
    let wishes = tokens(pod.spec.as_ref().unwrap());
    let tokens: HashMap<TokenWish, Token> = wishes.into_iter().map(|wish| (wish, "jwt".to_owned())).collect();
    let materials = Materials { facts, objects: &objects(), tokens: &tokens };
    let volume = &pod.spec.as_ref().unwrap().volumes.as_ref().unwrap()[0];
    let files = payload(volume, materials).map_err(|error| error.to_string())?;
    let shown = |(path, file): (&String, &File)| {
        format!("{path}={} {:o}", String::from_utf8_lossy(&file.content).escape_default(), file.mode)
    };
    Ok(files.iter().map(shown).collect())
}

#[test]
fn a_config_map_is_a_directory_of_its_keys() {
    assert_eq!(held(json!({"configMap": {"name": "cfg"}})).unwrap(), ["a=1 644", "b=2 644", "c=\\u{0}\\u{1} 644"]);
    let items = json!({"configMap": {"name": "cfg", "defaultMode": 256, "items": [{"key": "a", "path": "x/y", "mode": 384}, {"key": "b", "path": "z"}]}});
    assert_eq!(held(items).unwrap(), ["x/y=1 600", "z=2 400"]);
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(held(json!({"configMap": {"name": "none"}})).unwrap_err(), "configmap \"none\" not found");
    assert_eq!(held(json!({"secret": {"secretName": "none"}})).unwrap_err(), "secret \"none\" not found");
    assert!(held(json!({"secret": {"secretName": "none", "optional": true}})).unwrap().is_empty());
    let items = json!({"configMap": {"name": "cfg", "items": [{"key": "z", "path": "z"}]}});
    assert_eq!(held(items).unwrap_err(), "configmap references non-existent config key: z");
    let out = json!({"configMap": {"name": "cfg", "items": [{"key": "a", "path": "../a"}]}});
    assert_eq!(held(out).unwrap_err(), "path \"../a\" leads out of its volume");
}

#[test]
fn a_projected_volume_gathers_token_certificate_and_fields() {
    let projected = json!({"projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "cfg", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        {"secret": {"name": "sec"}},
    ]}});
    assert_eq!(held(projected).unwrap(), ["ca.crt=1 644", "key=value 644", "namespace=shop 644", "token=jwt 644"]);
}

#[test]
fn what_a_sandbox_cannot_have_is_known_by_name() {
    let of = |volume: Value| Source::of(&serde_json::from_value(volume).unwrap());
    assert_eq!(of(json!({"name": "v", "emptyDir": {}})), Source::Empty);
    assert_eq!(of(json!({"name": "v", "hostPath": {"path": "/"}})), Source::Unsupported("hostPath"));
    assert_eq!(Error::Unsupported("hostPath").to_string(), "hostPath volumes cannot be given to a wasm sandbox");
}

#[test]
fn files_change_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("v");
    let files = |entries: &[(&str, &str)]| -> Files {
        let file = |content: &str| File { content: content.into(), mode: 0o644 };
        entries.iter().map(|(path, content)| ((*path).to_owned(), file(content))).collect()
    };
    write(&volume, &files(&[("a", "1"), ("deep/b", "2"), ("gone", "x")])).unwrap();
    assert_eq!(fs::read_to_string(volume.join("deep/b")).unwrap(), "2");
    write(&volume, &files(&[("a", "3"), ("deep/b", "4"), ("new", "5")])).unwrap();
    assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "3");
    assert_eq!(fs::read_to_string(volume.join("new")).unwrap(), "5");
    let mut names: Vec<_> =
        fs::read_dir(&volume).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("..v"));
    names.sort();
    assert_eq!(names, ["..data", "a", "deep", "new"]);
}

fn mounted(dir: &std::path::Path, mount: Value) -> Result<Vec<String>, String> {
    let spec: core::PodSpec = serde_json::from_value(json!({
        "containers": [{"name": "a", "volumeMounts": [mount]}],
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "cfg", "configMap": {"name": "cfg"}}],
    }))
    .unwrap();
    let directories = Directories::below(dir);
    create(&directories.volume("tmp")).unwrap();
    let file = File { content: b"1".to_vec(), mode: 0o644 };
    write(&directories.volume("cfg"), &Files::from([("key".to_owned(), file)])).unwrap();
    let variables = [("NAME".to_owned(), "n".to_owned())];
    let mounts = mounts(&spec, &spec.containers[0], &variables, &directories).map_err(|error| error.to_string())?;
    let shown = |mount: &coracle_runtime::Mount| {
        let host = mount.host.strip_prefix(dir).unwrap().display().to_string();
        format!("{} {host}{}", mount.guest, if mount.read_only { " ro" } else { "" })
    };
    Ok(mounts.iter().map(shown).collect())
}

#[test]
fn mounts_lead_into_their_volumes() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = |mount: Value| mounted(dir.path(), mount);
    assert_eq!(mounted(json!({"name": "tmp", "mountPath": "/tmp"})).unwrap(), ["/tmp volumes/tmp"]);
    assert_eq!(mounted(json!({"name": "tmp", "mountPath": "/t", "readOnly": true})).unwrap(), ["/t volumes/tmp ro"]);
    assert_eq!(mounted(json!({"name": "cfg", "mountPath": "/etc/cfg"})).unwrap(), ["/etc/cfg volumes/cfg ro"]);
    assert_eq!(
        mounted(json!({"name": "tmp", "mountPath": "/t", "subPathExpr": "x/$(NAME)"})).unwrap(),
        ["/t volumes/tmp/x/n"]
    );
    assert_eq!(
        mounted(json!({"name": "tmp", "mountPath": "/t", "subPath": "../x"})).unwrap_err(),
        "path \"../x\" leads out of its volume"
    );
    assert_eq!(mounted(json!({"name": "no", "mountPath": "/t"})).unwrap_err(), "there is no volume \"no\"");
}

#[test]
fn a_single_file_is_given_as_a_directory_that_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mount = json!({"name": "cfg", "mountPath": "/etc/app/conf.yaml", "subPath": "key"});
    assert_eq!(mounted(dir.path(), mount).unwrap(), ["/etc/app singles/a/~etc~app ro"]);
    assert_eq!(fs::read_to_string(dir.path().join("singles/a/~etc~app/conf.yaml")).unwrap(), "1");
}

#[test]
fn a_link_that_a_guest_left_behind_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    create(&dir.path().join("volumes/tmp")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("volumes/tmp/evil")).unwrap();
    let mount = json!({"name": "tmp", "mountPath": "/t", "subPath": "evil"});
    assert_eq!(mounted(dir.path(), mount).unwrap_err(), "path \"evil\" leads out of its volume");
}

#[test]
fn etc_is_the_nodes_unless_the_pod_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let directories = Directories::below(dir.path());
    let files = vec![("hosts", "ours".to_owned()), ("hostname", "a".to_owned())];
    let own = dir.path().join("singles/c/~etc");
    let mount = |host: &std::path::Path| coracle_runtime::Mount {
        host: host.to_owned(),
        guest: "/etc".to_owned(),
        read_only: true,
    };

    let mut mounts = Vec::new();
    let (made, mut make) = add_etc(&mut mounts, "c", files.clone(), &directories).unwrap();
    assert_eq!((mounts, &made), (vec![mount(&own)], &own));
    assert!(!own.exists());
    make().unwrap();
    assert_eq!(std::fs::read_to_string(own.join("hosts")).unwrap(), "ours");

    let mut mounts = vec![mount(dir.path())];
    assert!(add_etc(&mut mounts, "c", files.clone(), &directories).is_none());
    assert_eq!(mounts, [mount(dir.path())]);

    std::fs::write(own.join("hosts"), "the pod's").unwrap();
    let mut mounts = vec![mount(&own)];
    let (_, mut make) = add_etc(&mut mounts, "c", files, &directories).unwrap();
    make().unwrap();
    assert_eq!(mounts, [mount(&own)]);
    assert_eq!(std::fs::read_to_string(own.join("hosts")).unwrap(), "the pod's");
}
