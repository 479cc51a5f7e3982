//! The only road to the API: in process or over HTTPS, with informers, events and leases.
