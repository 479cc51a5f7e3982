//! What the server fills in where the client left something out, as upstream's defaulting functions do.
