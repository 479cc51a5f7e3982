//! Manifests, tags, lists and referrers, and what a restart keeps.

use http::Method;
use serde_json::json;

use super::{Server, digest_of, image, index};
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::{Descriptor, Digest, Limits};

#[tokio::test]
async fn a_manifest_is_served_by_tag_and_by_digest_as_it_came() {
    let server = Server::new();
    let config = server.put_blob("team/app", "{}").await;
    let layer = server.put_blob("team/app", "layer").await;
    let manifest = image(&config, &layer);
    let digest = digest_of(&manifest);
    let put = server.put_manifest("team/app", "v1", &manifest).await.expect(201);
    assert_eq!(put.header("location"), format!("/v2/team/app/manifests/{digest}"));
    for reference in ["v1".to_owned(), digest.to_string()] {
        let path = format!("/v2/team/app/manifests/{reference}");
        assert_eq!(server.get(&path).await.expect(200).body, manifest.to_string());
        let head = server.head(&path).await.expect(200);
        assert_eq!(
            (head.header("content-type"), head.header("docker-content-digest")),
            (OCI_MANIFEST, &*digest.to_string())
        );
        assert_eq!(head.header("content-length"), manifest.to_string().len().to_string());
    }
    assert_eq!(server.get("/v2/team/app/manifests/v2").await.code(), (404, "MANIFEST_UNKNOWN".into()));
    assert_eq!(server.get("/v2/team/manifests/v1").await.code(), (404, "NAME_UNKNOWN".into()));
    server.put_manifest("team/app", &digest.to_string(), &manifest).await.expect(201);
    let other = Digest::of(b"other").to_string();
    assert_eq!(server.put_manifest("team/app", &other, &manifest).await.code(), (400, "DIGEST_INVALID".into()));
}

#[tokio::test]
async fn a_manifest_is_taken_only_when_all_that_it_names_is_there() {
    let server = Server::new();
    let there = server.put_blob("a", "{}").await;
    server.put_blob("b", "elsewhere").await;
    let elsewhere = Descriptor::of("application/wasm", b"elsewhere");
    let manifest = image(&there, &elsewhere);
    let refused = server.put_manifest("a", "v1", &manifest).await;
    assert_eq!(refused.code(), (404, "MANIFEST_BLOB_UNKNOWN".into()));
    assert_eq!(refused.json()["errors"][0]["detail"], json!([elsewhere.digest]));
    server.get("/v2/a/manifests/v1").await.expect(404);
    let file = server.dir.path().join("blobs/sha256").join(digest_of(&manifest).hex());
    assert!(!file.exists());

    let foreign = Descriptor { urls: vec!["https://example.com/layer".into()], ..elsewhere };
    server.put_manifest("a", "v1", &image(&there, &foreign)).await.expect(201);
    let part = json!(Descriptor::of(OCI_MANIFEST, b"unknown"));
    let refused = server.put_manifest("a", "v2", &index(&[part])).await;
    assert_eq!(refused.code(), (404, "MANIFEST_BLOB_UNKNOWN".into()));
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let server = Server::with_limits(Limits { manifest_bytes_max: 2000, ..Limits::default() });
    let config = server.put_blob("a", "{}").await;
    let good = image(&config, &config);
    let put = async |content_type: &'static str, body: String| {
        server.call(Method::PUT, "/v2/a/manifests/v1", &[("content-type", content_type)], body).await.code()
    };
    let invalid = (400, "MANIFEST_INVALID".to_owned());
    assert_eq!(put(OCI_MANIFEST, "{".into()).await, invalid);
    assert_eq!(put(OCI_MANIFEST, json!({ "schemaVersion": 1 }).to_string()).await, invalid);
    assert_eq!(put(OCI_MANIFEST, json!({ "schemaVersion": 2 }).to_string()).await, invalid);
    assert_eq!(put(OCI_INDEX, good.to_string()).await, invalid);
    assert_eq!(put("application/json", json!({ "schemaVersion": 2, "config": config }).to_string()).await, invalid);
    assert_eq!(put(OCI_MANIFEST, good.to_string().replace("sha256:", "sha256:x")).await, invalid);
    let large = format!("{good}{}", " ".repeat(2000));
    assert_eq!(put(OCI_MANIFEST, large).await, (413, "SIZE_INVALID".into()));
    let bad_tag = server.put_manifest("a", "-v1", &good).await;
    assert_eq!(bad_tag.code(), (400, "MANIFEST_INVALID".into()));
}

#[tokio::test]
async fn deleting_a_tag_keeps_the_manifest_and_deleting_the_manifest_takes_its_tags() {
    let server = Server::new();
    let digest = server.put_image("a", "v1", "one").await;
    server.put_image("a", "v2", "one").await;
    server.put_image("a", "other", "two").await;
    server.delete("/v2/a/manifests/v1").await.expect(202);
    assert_eq!(server.delete("/v2/a/manifests/v1").await.code(), (404, "MANIFEST_UNKNOWN".into()));
    server.get(&format!("/v2/a/manifests/{digest}")).await.expect(200);
    server.delete(&format!("/v2/a/manifests/{digest}")).await.expect(202);
    server.get("/v2/a/manifests/v2").await.expect(404);
    assert_eq!(server.get("/v2/a/tags/list").await.json(), json!({ "name": "a", "tags": ["other"] }));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::new();
    for tag in ["v3", "v1", "v2", "latest"] {
        server.put_image("a", tag, "layer").await;
    }
    server.put_blob("team/b", "content").await;
    let first = server.get("/v2/a/tags/list?n=3").await.expect(200);
    assert_eq!(first.json()["tags"], json!(["latest", "v1", "v2"]));
    let next = first.header("link").strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let second = server.get(next).await.expect(200);
    assert_eq!((second.json()["tags"].clone(), second.header("link")), (json!(["v3"]), ""));
    assert_eq!(server.get("/v2/a/tags/list?n=0").await.json()["tags"], json!([]));
    assert_eq!(server.get("/v2/_catalog").await.json(), json!({ "repositories": ["a", "team/b"] }));
    assert_eq!(server.get("/v2/_catalog?last=a").await.json(), json!({ "repositories": ["team/b"] }));
    assert_eq!(server.get("/v2/team/tags/list").await.code(), (404, "NAME_UNKNOWN".into()));
}

#[tokio::test]
async fn what_refers_to_a_manifest_is_listed_with_it() {
    let server = Server::new();
    let subject = server.put_image("a", "v1", "layer").await;
    let config = server.put_blob("a", "{}").await;
    let referrers = format!("/v2/a/referrers/{subject}");
    assert_eq!(server.get(&referrers).await.expect(200).json()["manifests"], json!([]));

    let mut signature = image(&config, &config);
    signature["subject"] = json!(Descriptor { digest: subject, ..Descriptor::of(OCI_MANIFEST, b"") });
    signature["artifactType"] = json!("application/signature");
    signature["annotations"] = json!({ "by": "me" });
    let put = server.put_manifest("a", &digest_of(&signature).to_string(), &signature).await.expect(201);
    assert_eq!(put.header("oci-subject"), subject.to_string());

    let listed = server.get(&referrers).await.expect(200);
    assert_eq!((listed.header("content-type"), listed.header("oci-filters-applied")), (OCI_INDEX, ""));
    let one = json!({
        "mediaType": OCI_MANIFEST,
        "digest": digest_of(&signature),
        "size": signature.to_string().len(),
        "artifactType": "application/signature",
        "annotations": { "by": "me" },
    });
    assert_eq!(listed.json()["manifests"], json!([one]));
    let filtered = server.get(&format!("{referrers}?artifactType=application%2Fsbom")).await.expect(200);
    assert_eq!(
        (filtered.json()["manifests"].clone(), filtered.header("oci-filters-applied")),
        (json!([]), "artifactType")
    );
    server.delete(&format!("/v2/a/manifests/{}", digest_of(&signature))).await.expect(202);
    assert_eq!(server.get(&referrers).await.json()["manifests"], json!([]));
}

#[tokio::test]
async fn a_restart_keeps_what_was_pushed_and_nothing_else() {
    let server = Server::new();
    let digest = server.put_image("team/app", "v1", "layer").await;
    let upload = server.post("/v2/team/app/blobs/uploads/", "").await.header("location").to_owned();
    let stray = server.dir.path().join("blobs/sha256").join(Digest::of(b"stray").hex());
    std::fs::write(&stray, "stray").unwrap();
    let half_written = server.dir.path().join("repositories/team/app/_tags/.new-1");
    std::fs::write(&half_written, "sha").unwrap();

    let server = server.reopen();
    assert_eq!(server.head("/v2/team/app/manifests/v1").await.header("docker-content-digest"), digest.to_string());
    server.get(&format!("/v2/team/app/blobs/{}", Digest::of(b"layer"))).await.expect(200);
    server.get(&upload).await.expect(404);
    assert!(!stray.exists() && !half_written.exists());
    assert_eq!(std::fs::read_dir(server.dir.path().join("uploads")).unwrap().count(), 0);
}
