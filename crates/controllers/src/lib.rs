//! The control loops: each a pure plan on one driver.
