//! The protocol's errors: a code, a status and a body. No other place makes them.

use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;
use tracing::error;

use crate::{Body, Error};

/// The protocol's error codes, as far as this registry has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unsupported,
    /// Ours to repair.
    Unknown,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid | Self::RangeInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid | Self::TagInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unsupported => "UNSUPPORTED",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestBlobUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::TagInvalid => StatusCode::BAD_REQUEST,
            Self::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::SizeInvalid => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An answer that is an error.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    code: Code,
    message: String,
    detail: serde_json::Value,
    /// Headers that the answer has beside.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: serde_json::Value::Null, headers: Vec::new() }
    }

    /// What exactly it is about.
    pub(super) fn about(self, detail: impl serde::Serialize) -> Self {
        Self { detail: json!(detail), ..self }
    }

    pub(super) fn with_headers(self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        Self { headers: headers.into_iter().collect(), ..self }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let error = json!({ "code": self.code.name(), "message": self.message, "detail": self.detail });
        let mut response = super::json(self.code.status(), &json!({ "errors": [error] }));
        response.headers_mut().extend(self.headers);
        response
    }
}

/// What a client can mend is told; what it cannot is logged here and not shown.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Digest { digest, .. } => Self::new(Code::DigestInvalid, message).about(digest),
            Error::DigestMismatch { expected, actual } => {
                Self::new(Code::DigestInvalid, message).about(json!({ "expected": expected, "actual": actual }))
            }
            Error::TooLarge { .. } => Self::new(Code::SizeInvalid, message),
            error => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                error!(%error, cause, "registry request failed");
                Self::new(Code::Unknown, "internal error")
            }
        }
    }
}
