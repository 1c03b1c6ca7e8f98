//! A process that is started when somebody connects, and ends when nobody does.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use samara_tests::guests;
use samara_tests::http::{Client, Reply, Request};
use samara_tests::samara::{self, Run, assert_says};
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, json_request, outputs};
use tempfile::{TempDir, tempdir};

use super::input;

/// What systemd does: a socket that is open before the process is, and longer.
struct Activator {
    directory: TempDir,
    model: PathBuf,
    socket: TcpListener,
}

impl Activator {
    fn new() -> Activator {
        let directory = tempdir().unwrap();
        let model = guests::write(directory.path(), "echoes", "echo");
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        Activator { directory, model, socket }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Starts a process with the socket as file descriptor 3.
    fn start(&self, options: &[&str]) -> Child {
        self.start_named("http", options)
    }

    fn start_named(&self, name: &str, options: &[&str]) -> Child {
        let script = format!("export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}; exec 3<&0 0</dev/null");
        samara::command_after(&script)
            .arg("serve")
            .args(options)
            .arg(&self.model)
            .stdin(OwnedFd::from(self.socket.try_clone().unwrap()))
            .stdout(Stdio::null())
            .stderr(File::create(self.directory.path().join("log")).unwrap())
            .spawn()
            .unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Whether somebody has connected whom nobody has answered yet: then it is time to start a process.
    fn is_wanted(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
        let patience = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        poll(&mut polled, Some(&patience)).unwrap() > 0
    }
}

fn ended(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn ask(address: SocketAddr, value: f32) -> Result<Reply, String> {
    let request = json_request("echo", &input(value));
    Client::http1(address).try_send(&request).map_err(|error| error.to_string())
}

#[test]
fn whoever_connects_before_the_process_runs_is_answered() {
    let activator = Activator::new();
    let address = activator.address();
    let asked = thread::spawn(move || ask(address, 4.0));
    while !activator.is_wanted() {
        assert!(!asked.is_finished());
    }
    let child = activator.start(&["--exit-when-idle-ms", "200"]);
    assert_eq!(outputs(&asked.join().unwrap().unwrap()), [Tensor::fp32("y", &[1], &[4.0])]);
    assert_eq!(ended(child).code(), Some(0), "{}", activator.log());
    assert_says(&activator.log(), &["nobody has asked anything"]);
}

/// Requests come all the time while processes end and others are started; each is answered.
#[test]
fn no_request_is_lost_when_a_process_ends() {
    const CLIENTS: u64 = 3;
    const REQUESTS: u64 = 40;
    let activator = Activator::new();
    let address = activator.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            thread::spawn(move || {
                for index in 0..REQUESTS {
                    // At about the time after which a process ends that nobody asks.
                    thread::sleep(Duration::from_millis(15 + (client * 7 + index) % 20));
                    let value = (client * REQUESTS + index) as f32;
                    let reply = ask(address, value).unwrap_or_else(|error| panic!("request {index} is lost: {error}"));
                    assert_eq!(outputs(&reply), [Tensor::fp32("y", &[1], &[value])]);
                }
            })
        })
        .collect();
    let mut starts = 0;
    while !clients.iter().all(thread::JoinHandle::is_finished) {
        if activator.is_wanted() {
            starts += 1;
            let child = activator.start(&["--exit-when-idle-ms", "10"]);
            assert_eq!(ended(child).code(), Some(0), "{}", activator.log());
        }
    }
    for client in clients {
        client.join().unwrap();
    }
    assert!(starts > 1, "no process ended while requests came");
}

#[test]
fn a_process_does_not_end_while_it_is_asked() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "loops", "loops");
    let mut server = Serve::new([path]).option("--exit-when-idle-ms 300").option("--deadline-ms 1500").start();
    server.infer("loops", &input(0.0)).expect(504);
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(100));
        server.get("/v2/health/live").expect(200);
    }
    // A connection that is kept and not used holds it up no more than none.
    let mut kept = server.client();
    kept.send(&Request::get("/v2/health/live")).expect(200);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn whoever_has_connected_and_not_asked_yet_is_waited_for() {
    let directory = tempdir().unwrap();
    let path = guests::write(directory.path(), "echoes", "echo");
    let mut server = Serve::new([path]).option("--exit-when-idle-ms 200").start();
    let mut slow = samara_tests::raw::Raw::connect(server.address());
    thread::sleep(Duration::from_millis(800));
    assert!(slow.write("GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"));
    assert_eq!(slow.reply().map(|(status, ..)| status), Some(200));
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn a_socket_can_be_for_metrics() {
    let activator = Activator::new();
    let mut child = activator.start_named("metrics", &["--listen", "127.0.0.1:0"]);
    let reply = Client::http1(activator.address()).send(&Request::get("/metrics"));
    assert_eq!(reply.status, 200);
    // It takes the place of an address of their own.
    assert_eq!(Client::http1(activator.address()).send(&Request::get("/v2/health/live")).status, 404);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_socket_that_is_none_to_listen_on_is_refused() {
    let mut command = samara::command_after("export LISTEN_PID=$$ LISTEN_FDS=1; exec 3</dev/null");
    let message = Run::of(command.args(["serve", "."])).fails();
    assert_says(&message, &["sockets that were passed", "none to listen on"]);
}

/// Who passes sockets to another process than this does not mean this.
#[test]
fn sockets_for_another_process_are_left_alone() {
    let activator = Activator::new();
    let script = "export LISTEN_PID=1 LISTEN_FDS=1; exec 3</dev/null";
    let server = Serve::by(samara::command_after(script), "127.0.0.1:0", [&activator.model]).start();
    assert_ne!(server.address(), activator.address());
    assert!(ask(server.address(), 1.0).is_ok());
    activator.socket.set_nonblocking(true).unwrap();
    assert_eq!(activator.socket.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
