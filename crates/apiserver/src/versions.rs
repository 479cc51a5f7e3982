//! Resource versions in requests: what they ask for, and what is said when it cannot be had.

use std::time::Duration;

use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use coracle_store::{Revision, Store};
use serde_json::json;

use crate::query::parse_uint;

/// How long a read waits for a version that has not been written yet.
const WAIT_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// What a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The newest there is.
    Newest,
    /// Whatever is at hand.
    Any,
    /// This one, in the sense that the request gives it.
    At(Revision),
}

fn parse(text: &str) -> Result<Version, FieldError> {
    match text {
        "" => Ok(Version::Newest),
        text => match parse_uint(text) {
            Ok(0) => Ok(Version::Any),
            Ok(revision) => Ok(Version::At(revision)),
            Err(why) => Err(FieldError::invalid("resourceVersion", &json!(text), &why)),
        },
    }
}

/// The version that a list asks for.
pub(crate) fn parse_list(text: &str) -> Result<Version, Status> {
    parse(text).map_err(|error| Status::bad_request(format!("invalid resource version: {error}")))
}

/// The version that a get or a watch asks for.
pub(crate) fn parse_watch(text: &str) -> Result<Version, Status> {
    parse(text).map_err(|error| Status::unknown(error.to_string()))
}

/// Waits a little for a version that has not been written yet.
pub(crate) async fn wait_for(store: &Store, asked: Revision) -> Result<(), Status> {
    let arrives = async {
        while store.revision() < asked {
            tokio::time::sleep(POLL).await;
        }
    };
    if store.revision() >= asked || tokio::time::timeout(WAIT_MAX, arrives).await.is_ok() {
        return Ok(());
    }
    Err(Status::too_large_resource_version(asked, store.revision(), 1))
}

/// 410 for a watch that begins in what has been forgotten.
pub(crate) fn too_old(asked: Revision, oldest: Revision) -> Status {
    Status::expired(format!("too old resource version: {asked} ({oldest})"))
}

/// What a client is told when the store does not answer.
pub(crate) fn store_failure(error: &coracle_store::Error) -> Status {
    match error {
        coracle_store::Error::Compacted { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.")
        }
        coracle_store::Error::FutureRevision { requested, current } => {
            Status::too_large_resource_version(*requested, *current, 1)
        }
        coracle_store::Error::TooLarge { bytes_max, .. } => Status::too_large(format!("limit is {bytes_max}")),
        coracle_store::Error::Closed => Status::service_unavailable("the server is shutting down"),
        error => {
            tracing::error!(%error, "store refused");
            Status::internal(&error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_version_is_refused_in_the_words_of_each_verb() {
        assert_eq!(parse_list("").unwrap(), Version::Newest);
        assert_eq!(parse_list("0").unwrap(), Version::Any);
        assert_eq!(parse_watch("17").unwrap(), Version::At(17));
        let list = parse_list("abc").unwrap_err();
        let why = "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax";
        assert_eq!((list.code, list.message), (400, format!("invalid resource version: {why}")));
        let watch = parse_watch("abc").unwrap_err();
        assert_eq!((watch.code, watch.message.as_str()), (500, why));
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_does_not_come_is_too_large() {
        let status = wait_for(&Store::memory(), 1000).await.unwrap_err();
        assert_eq!(status.code, 504);
        assert!(status.message.contains("Too large resource version: 1000"), "{}", status.message);
    }
}
