//! How others verify this cluster's service-account tokens.

use serde_json::json;

use crate::answer::Answer;
use crate::handler::Reply;
use crate::state::State;

pub(super) fn configuration(state: &State) -> Reply {
    let issuer = state.config.issuer();
    let configuration = json!({
        "issuer": issuer,
        "jwks_uri": format!("https://{}/openid/v1/jwks", state.config.advertise),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    Answer::json(200, &configuration).into()
}

pub(super) fn keys(state: &State) -> Reply {
    Answer::json(200, &state.pki.token_key().key_set()).into()
}
