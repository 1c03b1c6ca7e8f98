//! Sockets that are open before the server starts: systemd's, or whoever else starts it when somebody connects.

use std::net::TcpListener as Socket;

use tokio::net::TcpListener;

use crate::ServeError;

/// Sockets that are open already. What is not among them, the server opens.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Sockets {
    /// Where requests come.
    pub http: Option<Socket>,
    /// Where gRPC is spoken.
    pub grpc: Option<Socket>,
    /// Where metrics are asked for.
    pub metrics: Option<Socket>,
}

/// What the network's threads make of a socket.
pub(crate) fn adopt(socket: Socket) -> Result<TcpListener, ServeError> {
    socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)).map_err(ServeError::Socket)
}
