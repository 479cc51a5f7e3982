//! Names of services and pods, answered in process.
