//! A process that starts when the first client connects, as systemd starts it: with the listening socket passed to it.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::http::Connection;
use crate::report::Row;
use crate::samara::Samara;
use crate::statistics::{median, show};
use crate::tensor::{Form, infer_request};
use crate::zoo::Card;

const MODEL: &str = "efficientnet-lite0";
const ROUNDS: usize = 9;
const WARM: usize = 10;
const BAR: Duration = Duration::from_millis(30);

/// Gives what is its standard input to the command as the first passed socket; see sd_listen_fds(3).
const PASS: &str = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";

/// Each round has a socket and a process of its own. The shell that passes the socket on counts too.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let card = Card::read(MODEL)?;
    let component = samara.component(&card.build)?;
    let request = infer_request(MODEL, &card.first()?.inputs, Form::Binary)?;
    let mut rounds = Vec::new();
    // The first brings the files into the kernel's cache.
    for round in 0..=ROUNDS {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let mut command = Command::new("sh");
        command.args(["-c", PASS, "sh"]).arg(samara.binary()).arg("serve").arg(&component);
        command.arg("--cache-dir").arg(samara.code_cache()).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut connection = Connection::open(address)?;
        let mut child = command.stdin(OwnedFd::from(listener)).spawn().context("cannot run sh")?;
        let asked = (|| {
            let reply = connection.send(&request)?;
            let first = start.elapsed();
            ensure!(reply.status == 200, "status {}", reply.status);
            let warm = (0..WARM).map(|_| Ok(connection.time(&request)?.1)).collect::<Result<Vec<_>>>()?;
            Ok((first, median(&warm)))
        })();
        child.kill()?;
        child.wait()?;
        if round > 0 {
            rounds.push(asked?);
        }
    }
    let over: Vec<Duration> = rounds.iter().map(|(first, warm)| first.saturating_sub(*warm)).collect();
    let firsts: Vec<Duration> = rounds.iter().map(|(first, _)| *first).collect();
    let over = median(&over);
    Ok(vec![
        Row::new(
            format!("{MODEL}: first answer of a socket-activated process, from the connect on"),
            format!("{}, {} beside the inference", show(median(&firsts)), show(over)),
        )
        .compared_with("no process before")
        .bar("≤ 30 ms beside the inference", over <= BAR)
        .details(json!(
            rounds.iter().map(|(first, warm)| (first.as_micros() as u64, warm.as_micros() as u64)).collect::<Vec<_>>()
        )),
    ])
}
