//! The pod network: addresses, routes, and streams between pods, in user space.
