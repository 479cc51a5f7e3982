//! Real guests in real containers, on a network that exists only here.

mod it {
    mod commands;
    mod host;
    mod http;
    mod limits;
    mod loading;
    mod sockets;
}
