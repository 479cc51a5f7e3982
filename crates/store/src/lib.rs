//! A revisioned key-value store with watches: etcd's model, embedded.
