//! Amounts of resources: `500m`, `1.5Gi`, `2e3`. Exact decimal numbers, printed in the one form that Kubernetes stores.
