//! The cluster's certificate authority, certificates, TLS settings and service-account tokens.
