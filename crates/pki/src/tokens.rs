//! Tokens of service accounts: signed claims as Kubernetes makes them (ES256), and their verification. Whether the
//! account, pod or node that a token names still exists is the caller's to ask.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use rcgen::{KeyPair, PublicKeyData};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Error;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub aud: Vec<String>,
    pub exp: u64,
    pub iat: u64,
    pub iss: String,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Bound,
    pub nbf: u64,
    pub sub: String,
}

/// The account that a token speaks for, and the objects that it dies with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    pub serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<u64>,
}

/// An object by name and identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub name: String,
    #[serde(default)]
    pub uid: String,
}

/// Why a token is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the token is malformed or not signed by this cluster")]
    Forged,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    TooEarly,
    #[error("the token was issued by another cluster")]
    OtherIssuer,
    #[error("the token is meant for another audience")]
    OtherAudience,
}

/// The key that signs tokens and verifies them.
pub struct TokenKey {
    id: String,
    /// A token's first part, which is the same for all.
    header: String,
    /// Of ring: every pod that starts needs a signature, and a portable one takes ten times as long.
    signing: EcdsaKeyPair,
    random: SystemRandom,
    verifying: DecodingKey,
    point: Vec<u8>,
}

impl TokenKey {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, Error> {
        let unusable = |cause: &dyn std::fmt::Display| Error::TokenKey { cause: cause.to_string() };
        let pair = KeyPair::from_pem(pem).map_err(|error| unusable(&error))?;
        let random = SystemRandom::new();
        let signing = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.serialized_der(), &random)
            .map_err(|error| unusable(&error))?;
        let verifying = DecodingKey::from_ec_der(pair.der_bytes());
        let id = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(pair.subject_public_key_info()));
        let header = Header { kid: Some(id.clone()), typ: None, ..Header::new(Algorithm::ES256) };
        let header = encoded(&header).map_err(|error| unusable(&error))?;
        Ok(Self { id, header, signing, random, verifying, point: pair.der_bytes().to_vec() })
    }

    /// The signed form of `claims`.
    pub fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let unsigned = |cause: &dyn std::fmt::Display| Error::TokenKey { cause: cause.to_string() };
        let mut token = format!("{}.{}", self.header, encoded(claims).map_err(|error| unsigned(&error))?);
        let signature = self.signing.sign(&self.random, token.as_bytes()).map_err(|error| unsigned(&error))?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The claims of `token`, if this key signed it, now lies within its time, `issuer` issued it, and it is meant for one
    /// of `audiences`.
    pub fn verify(&self, token: &str, issuer: &str, audiences: &[&str]) -> Result<Claims, Rejection> {
        use jsonwebtoken::errors::ErrorKind;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(audiences);
        validation.set_issuer(&[issuer]);
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        jsonwebtoken::decode(token, &self.verifying, &validation).map(|data| data.claims).map_err(|error| {
            match error.kind() {
                ErrorKind::ExpiredSignature => Rejection::Expired,
                ErrorKind::ImmatureSignature => Rejection::TooEarly,
                ErrorKind::InvalidIssuer => Rejection::OtherIssuer,
                ErrorKind::InvalidAudience => Rejection::OtherAudience,
                _ => Rejection::Forged,
            }
        })
    }

    /// Whom a token that this key signed is meant for; nobody, when it is not good at all.
    pub fn audiences(&self, token: &str, issuer: &str) -> Vec<String> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[issuer]);
        validation.validate_aud = false;
        jsonwebtoken::decode::<Claims>(token, &self.verifying, &validation)
            .map(|data| data.claims.aud)
            .unwrap_or_default()
    }

    /// The public half as a JSON Web Key Set, for those who verify tokens elsewhere.
    pub fn key_set(&self) -> serde_json::Value {
        // An uncompressed point: 0x04, then both coordinates.
        let coordinate = |range: std::ops::Range<usize>| BASE64_URL_SAFE_NO_PAD.encode(&self.point[range]);
        serde_json::json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": coordinate(1..33), "y": coordinate(33..65),
        }]})
    }
}

/// A part of a token.
fn encoded(part: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::Pki;

    const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

    fn claims() -> Claims {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Claims {
            aud: vec![ISSUER.into()],
            exp: now + 3600,
            iat: now,
            iss: ISSUER.into(),
            jti: "1".into(),
            kubernetes: Bound {
                namespace: "default".into(),
                serviceaccount: Reference { name: "robot".into(), uid: "u".into() },
                ..Bound::default()
            },
            nbf: now,
            sub: "system:serviceaccount:default:robot".into(),
        }
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let token = pki.token_key().sign(&claims()).unwrap();
        assert_eq!(pki.token_key().verify(&token, ISSUER, &["elsewhere", ISSUER]).unwrap(), claims());
        let reopened = Pki::open(dir.path()).unwrap();
        assert!(reopened.token_key().verify(&token, ISSUER, &[ISSUER]).is_ok());
    }

    #[test]
    fn a_token_is_refused_for_each_thing_that_is_wrong_with_it() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pki = Pki::open(ours.path()).unwrap();
        let key = pki.token_key();
        let check = |token: &str| key.verify(token, ISSUER, &[ISSUER]).unwrap_err();

        assert_eq!(check("nonsense"), Rejection::Forged);
        let stranger = Pki::open(theirs.path()).unwrap();
        assert_eq!(check(&stranger.token_key().sign(&claims()).unwrap()), Rejection::Forged);

        let expired = Claims { exp: claims().iat - 600, ..claims() };
        assert_eq!(check(&key.sign(&expired).unwrap()), Rejection::Expired);
        let early = Claims { nbf: claims().iat + 600, ..claims() };
        assert_eq!(check(&key.sign(&early).unwrap()), Rejection::TooEarly);
        let foreign = Claims { iss: "https://elsewhere".into(), ..claims() };
        assert_eq!(check(&key.sign(&foreign).unwrap()), Rejection::OtherIssuer);
        let misdirected = Claims { aud: vec!["vault".into()], ..claims() };
        let token = key.sign(&misdirected).unwrap();
        assert_eq!(check(&token), Rejection::OtherAudience);
        assert_eq!(key.audiences(&token, ISSUER), ["vault"]);
    }

    #[test]
    fn a_token_whose_payload_was_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path()).unwrap();
        let token = pki.token_key().sign(&claims()).unwrap();
        let mut parts: Vec<&str> = token.split('.').collect();
        let other = pki.token_key().sign(&Claims { sub: "system:admin".into(), ..claims() }).unwrap();
        parts[1] = other.split('.').nth(1).unwrap();
        assert_eq!(pki.token_key().verify(&parts.join("."), ISSUER, &[ISSUER]).unwrap_err(), Rejection::Forged);
    }

    #[test]
    fn the_public_key_is_published_with_both_coordinates() {
        let dir = tempfile::tempdir().unwrap();
        let set = Pki::open(dir.path()).unwrap().token_key().key_set();
        assert_eq!(set["keys"][0]["x"].as_str().unwrap().len(), 43);
        assert_eq!(set["keys"][0]["y"].as_str().unwrap().len(), 43);
    }
}
