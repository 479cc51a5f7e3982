//! Chooses a node for each pod, and says why not.
