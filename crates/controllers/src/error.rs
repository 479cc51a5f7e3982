//! What can go wrong while a loop acts. The driver retries; nothing else does.

use coracle_client::Key;

/// A step of a reconcile that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{step} {subject}")]
    Api { step: &'static str, subject: Key, source: Box<kube::Error> },
    #[error("{n_failed} of {n_all} deletions in namespace {namespace} failed")]
    Deletions { namespace: String, n_failed: usize, n_all: usize },
    #[error("discover the kinds of the API")]
    Discovery(#[source] Box<kube::Error>),
    #[error("{subject} is not there, or is another by now")]
    Replaced { subject: Key },
    #[error("no pod network is free for node {node}")]
    NoPodNetwork { node: String },
}

impl Error {
    /// Says at what a request failed.
    pub(crate) fn at(step: &'static str, subject: Key) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { step, subject, source: Box::new(source) }
    }

    /// The error and what it is due to, in one line; of the API's refusal no more than its message.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Api { source, .. } | Self::Discovery(source) => {
                format!("{self}: {}", crate::template::message(source))
            }
            Self::Deletions { .. } | Self::Replaced { .. } | Self::NoPodNetwork { .. } => self.to_string(),
        }
    }

    /// True when the API did not want the request, and will not want it a moment later either.
    pub(crate) fn is_refused(&self) -> bool {
        let Self::Api { source, .. } = self else { return false };
        matches!(&**source, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 413 | 422 | 429))
    }

    /// True when the world was newer than the cache: nothing is wrong, the next look will do.
    pub(crate) fn is_stale(&self) -> bool {
        match self {
            // What was meant, or its namespace, is gone or going.
            Self::Api { source, .. } => {
                coracle_client::is_conflict(source)
                    || coracle_client::is_not_found(source)
                    || crate::template::is_namespace_ending(source)
            }
            Self::Replaced { .. } => true,
            Self::Deletions { .. } | Self::Discovery(_) | Self::NoPodNetwork { .. } => false,
        }
    }
}

/// Lets what is already so count as done.
pub(crate) trait Tolerate<T> {
    /// `None` when what was asked for does not exist any more.
    fn unless_gone(self) -> kube::Result<Option<T>>;
}

impl<T> Tolerate<T> for kube::Result<T> {
    fn unless_gone(self) -> kube::Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if coracle_client::is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> Error {
        let status = Status::failure("exceeded quota: q", "Forbidden").with_code(code);
        Error::at("create a pod for", Key::new("default", "web"))(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_refusal_is_one_line_and_not_repeated_at_once() {
        assert_eq!(refused(403).line(), "create a pod for default/web: exceeded quota: q");
        let codes = [403, 422, 429, 404, 409, 500, 503];
        assert_eq!(codes.map(|code| refused(code).is_refused()), [true, true, true, false, false, false, false]);
        assert_eq!(codes.map(|code| refused(code).is_stale()), [false, false, false, true, false, false, false]);
    }
}
