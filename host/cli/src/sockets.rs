//! Sockets that whoever started the process has opened for it: socket activation, as systemd does it,
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html>.

use anyhow::{Context, Result, bail};
use listenfd::ListenFd;
use samara_server::Sockets;

/// The variable that tells what each socket is for.
const NAMES: &str = "LISTEN_FDNAMES";

/// The sockets that this process was given. It has to be called before there are other threads, as it clears the variables by
/// which they are told, which are for no process but this.
pub fn from_env() -> Result<Sockets> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for index in 0..passed.len() {
        let socket = passed
            .take_tcp_listener(index)
            .with_context(|| format!("of the sockets that were passed, number {index} is none to listen on by TCP"))?;
        let place = match names.next() {
            Some("metrics") => &mut sockets.metrics,
            Some("grpc") => &mut sockets.grpc,
            _ => &mut sockets.http,
        };
        if place.is_some() {
            bail!(
                "two of the sockets that were passed are for the same: in a unit of systemd, `FileDescriptorName=metrics` \
                 says that one is for metrics, `grpc` for gRPC, and any other name that it is for requests over HTTP"
            );
        }
        *place = socket;
    }
    Ok(sockets)
}
