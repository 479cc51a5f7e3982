//! What a path under `/v2/` means. A repository's name has slashes of its own, so paths are read from their end.

use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::Digest;
use crate::reference::{is_repository, is_tag};

/// A manifest's name within its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TagOrDigest {
    Tag(String),
    Digest(Digest),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Base,
    Catalog,
    Tags { name: String },
    Manifest { name: String, reference: TagOrDigest },
    Blob { name: String, digest: Digest },
    Uploads { name: String },
    Upload { name: String, id: Uuid },
    Referrers { name: String, digest: Digest },
}

/// Reads a path.
pub(super) fn parse(path: &str) -> Result<Route, Problem> {
    // Some clients encode the colon of a digest, which need not be.
    let path = path.replace("%3A", ":").replace("%3a", ":");
    let no_such_path = || Problem::new(Code::NameInvalid, format!("{path} is no path of the registry"));
    let path = path.strip_prefix("/v2").ok_or_else(no_such_path)?;
    match path {
        "" | "/" => return Ok(Route::Base),
        "/_catalog" => return Ok(Route::Catalog),
        _ => {}
    }
    let parts: Vec<&str> = path.strip_prefix('/').ok_or_else(no_such_path)?.split('/').collect();
    match &parts[..] {
        [name @ .., "tags", "list"] => Ok(Route::Tags { name: repository(name)? }),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            Ok(Route::Uploads { name: repository(name)? })
        }
        [name @ .., "blobs", "uploads", id] => {
            let unknown = |_| Problem::new(Code::BlobUploadUnknown, "no such upload").about(id);
            Ok(Route::Upload { name: repository(name)?, id: Uuid::parse_str(id).map_err(unknown)? })
        }
        [name @ .., "manifests", reference] => {
            Ok(Route::Manifest { name: repository(name)?, reference: tag_or_digest(reference)? })
        }
        [name @ .., "blobs", digest] => Ok(Route::Blob { name: repository(name)?, digest: digest.parse()? }),
        [name @ .., "referrers", digest] => Ok(Route::Referrers { name: repository(name)?, digest: digest.parse()? }),
        _ => Err(no_such_path()),
    }
}

fn repository(parts: &[&str]) -> Result<String, Problem> {
    let name = parts.join("/");
    if is_repository(&name) {
        Ok(name)
    } else {
        Err(Problem::new(Code::NameInvalid, "invalid repository name").about(name))
    }
}

fn tag_or_digest(reference: &str) -> Result<TagOrDigest, Problem> {
    if reference.contains(':') {
        return Ok(TagOrDigest::Digest(reference.parse()?));
    }
    if is_tag(reference) {
        return Ok(TagOrDigest::Tag(reference.into()));
    }
    Err(Problem::new(Code::TagInvalid, "invalid tag").about(reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let digest = Digest::of(b"");
        let id = Uuid::nil();
        let name = || "team/tags/app".to_owned();
        for (path, route) in [
            ("/v2".to_owned(), Route::Base),
            ("/v2/".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            ("/v2/team/tags/app/tags/list".to_owned(), Route::Tags { name: name() }),
            (
                "/v2/team/tags/app/manifests/v1".to_owned(),
                Route::Manifest { name: name(), reference: TagOrDigest::Tag("v1".into()) },
            ),
            (
                format!("/v2/a/manifests/{digest}").replace(':', "%3A"),
                Route::Manifest { name: "a".into(), reference: TagOrDigest::Digest(digest) },
            ),
            (format!("/v2/a/blobs/{digest}"), Route::Blob { name: "a".into(), digest }),
            (format!("/v2/a/referrers/{digest}"), Route::Referrers { name: "a".into(), digest }),
            ("/v2/a/blobs/uploads/".to_owned(), Route::Uploads { name: "a".into() }),
            (format!("/v2/a/blobs/uploads/{id}"), Route::Upload { name: "a".into(), id }),
        ] {
            assert_eq!(parse(&path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        for path in [
            "/",
            "/v2x",
            "/v2/tags/list",
            "/v2/../etc/tags/list",
            "/v2/a//b/tags/list",
            "/v2/A/tags/list",
            "/v2/_blobs/tags/list",
            "/v2/a/manifests/",
            "/v2/a/manifests/..",
            "/v2/a/manifests/sha256:12",
            "/v2/a/blobs/sha512:12",
            "/v2/a/blobs/uploads/..",
            "/v2/a/b/c",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
