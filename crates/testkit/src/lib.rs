//! A real API server over an in-memory store, fixtures and wait_for, for tests.
