//! Load for minutes, with a fault every few seconds, and a client that looks at every answer.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use samara_tests::guests;
use serde_json::json;

use super::open_loop::{OpenLoop, Replies};
use crate::http::{Connection, Request};
use crate::process::{descriptors, resident_bytes};
use crate::report::Row;
use crate::samara::{Samara, Server};
use crate::tensor::{Form, Tensor, infer_request, outputs_of};
use crate::zoo::{Build, Card};

/// The model under load, and the one that goes and comes back.
const MODEL: &str = "magika";
const COMES_AND_GOES: &str = "magika-again";
/// How long, unless `SAMARA_SOAK_SECONDS` says otherwise.
const TIME: Duration = Duration::from_secs(600);
/// How long load is made at a time; memory is looked at in between.
const PIECE: Duration = Duration::from_secs(30);
const PART: f64 = 0.7;
const FAULT_EVERY: Duration = Duration::from_secs(3);
/// How often the client asks that looks at the answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const GROWTH: f64 = 0.02;

/// What the faults and the looks share.
struct Node<'a> {
    server: &'a Server,
    admin: SocketAddr,
    request: Request,
    expected: Vec<Tensor>,
    cache: &'a Path,
    done: AtomicBool,
    looks: AtomicUsize,
    wrong: AtomicUsize,
    failed: AtomicUsize,
}

/// A name, and what is done.
type Fault<N> = (&'static str, fn(&N) -> Result<()>);

/// Memory and descriptors count from after the first piece.
pub fn run(samara: &Samara) -> Result<Vec<Row>> {
    let time = match std::env::var("SAMARA_SOAK_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().context("SAMARA_SOAK_SECONDS")?),
        Err(_) => TIME,
    };
    let folder = tempfile::tempdir()?;
    // A code cache that may be harmed.
    let cache = folder.path().join("cache");
    let card = Card::read(MODEL)?;
    let again = Build { name: COMES_AND_GOES.to_owned(), ..card.build.clone() };
    let models = folder.path().join("models");
    fs::create_dir(&models)?;
    for build in [&card.build, &again] {
        fs::copy(samara.component(build)?, models.join(format!("{}.wasm", build.name)))?;
    }
    for fixture in ["traps", "loops"] {
        guests::write(&models, fixture, fixture);
    }
    let configuration = folder.path().join("samara.toml");
    fs::write(&configuration, "[model.loops]\ndeadline_ms = 200\n")?;
    let options = [
        format!("--config={}", configuration.display()),
        format!("--cache-dir={}", cache.display()),
        "--admin-listen=127.0.0.1:0".to_owned(),
        "--queue=1024".to_owned(),
    ];
    let server = samara.serve_bare(&[models], &options)?;
    let vector = card.first()?;
    let request = infer_request(MODEL, &vector.inputs, Form::Binary)?;
    let expected = outputs_of(&Connection::open(server.address())?.send(&request)?)?;
    let path = format!("/v2/models/{MODEL}/infer");
    let peak = OpenLoop::closed(server.address(), &path, &request, 4, 1000).run()?.rate();
    let node = Node {
        server: &server,
        admin: server.admin()?,
        request: request.clone(),
        expected,
        cache: &cache,
        done: AtomicBool::new(false),
        looks: AtomicUsize::new(0),
        wrong: AtomicUsize::new(0),
        failed: AtomicUsize::new(0),
    };
    let pieces = (time.as_secs_f64() / PIECE.as_secs_f64()).ceil().max(2.0) as usize;
    let (loads, memory, faults) = thread::scope(|scope| {
        let looking = scope.spawn(|| node.look());
        let harming = scope.spawn(|| node.harm());
        let loaded = (|| {
            let (mut loads, mut memory) = (Vec::new(), Vec::new());
            for _ in 0..pieces {
                loads.push(OpenLoop::new(server.address(), &path, &request, PART * peak, PIECE).run()?);
                memory.push((resident_bytes(server.process())?, descriptors(server.process())?));
            }
            anyhow::Ok((loads, memory))
        })();
        // The others end, whatever became of the load.
        node.done.store(true, Ordering::Relaxed);
        looking.join().map_err(|_| anyhow!("a client panicked"))??;
        let faults = harming.join().map_err(|_| anyhow!("the faults panicked"))??;
        loaded.map(|(loads, memory)| (loads, memory, faults))
    })?;
    Ok(rows(&node, &loads, &memory, faults))
}

fn rows(node: &Node<'_>, loads: &[Replies], memory: &[(u64, usize)], faults: usize) -> Vec<Row> {
    let sent: usize = loads.iter().map(Replies::total).sum();
    let load_failures: usize = loads.iter().map(|load| load.other_than(&[200])).sum();
    let (looks, wrong, failed) =
        (node.looks.load(Ordering::Relaxed), node.wrong.load(Ordering::Relaxed), node.failed.load(Ordering::Relaxed));
    // The first piece fills what stays.
    let (first, last) = (memory[1.min(memory.len() - 1)], memory[memory.len() - 1]);
    let growth = last.0 as f64 / first.0 as f64 - 1.0;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let seconds = loads.len() as u64 * PIECE.as_secs();
    vec![
        Row::new(
            format!("soak: {seconds} s of {MODEL} at 70 % of its peak, {faults} faults: wrong answers, and failures not injected"),
            format!("{wrong} of {looks} looked at; {} of {}", failed + load_failures, sent + looks),
        )
        .compared_with("traps, deadlines, harmed cache entries, unloads, SIGHUPs, vanished clients, in turns")
        .bar("none", wrong == 0 && failed == 0 && load_failures == 0 && faults > 0)
        .details(json!({"loads": loads, "memory": memory, "faults": faults, "looks": looks})),
        Row::new("soak: resident memory, descriptors at the end", format!("{:.1} MiB, {:+.2} %; {}", mib(last.0), growth * 100.0, last.1))
            .compared_with(format!("{:.1} MiB, {} after a minute", mib(first.0), first.1))
            .bar("within 2 %, none more", growth <= GROWTH && last.1 <= first.1),
    ]
}

impl Node<'_> {
    /// Asks again and again, and compares every answer bit by bit.
    fn look(&self) -> Result<()> {
        let mut connection = Connection::open(self.server.address())?;
        while !self.done.load(Ordering::Relaxed) {
            let reply = match connection.send(&self.request) {
                Ok(reply) => reply,
                Err(_) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    connection = Connection::open(self.server.address())?;
                    continue;
                }
            };
            self.looks.fetch_add(1, Ordering::Relaxed);
            if reply.status != 200 {
                self.failed.fetch_add(1, Ordering::Relaxed);
            } else if outputs_of(&reply)? != self.expected {
                self.wrong.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// One fault after another; how many there were.
    fn harm(&self) -> Result<usize> {
        let faults: [Fault<Self>; 6] = [
            ("trap", Self::trap),
            ("deadline", Self::overdue),
            ("cache", Self::harm_cache),
            ("unload", Self::unload_and_load),
            ("reload", Self::reload),
            ("vanish", Self::vanish),
        ];
        let mut count = 0;
        for (name, fault) in faults.iter().cycle() {
            let next = Instant::now() + FAULT_EVERY;
            while Instant::now() < next {
                if self.done.load(Ordering::Relaxed) {
                    return Ok(count);
                }
                thread::sleep(LOOK_EVERY);
            }
            fault(self).with_context(|| format!("fault: {name}"))?;
            count += 1;
        }
        Ok(count)
    }

    /// A request to a model that is not the one under load, which must be answered with one of these statuses.
    fn expect(&self, model: &str, statuses: &[u16]) -> Result<()> {
        let input = Tensor {
            shape: vec![1],
            data: 1.0_f32.to_le_bytes().into(),
            ..Tensor::empty("x", samara_protocol::Datatype::Fp32)
        };
        let reply = Connection::open(self.server.address())?.send(&infer_request(model, &[input], Form::Json)?)?;
        ensure!(statuses.contains(&reply.status), "status {} instead of {statuses:?}", reply.status);
        Ok(())
    }

    fn trap(&self) -> Result<()> {
        self.expect("traps", &[500])
    }

    fn overdue(&self) -> Result<()> {
        // Refused at once where it would have to wait, as it needs all the time that it has.
        self.expect("loops", &[503, 504])
    }

    /// Replaces the machine code in the cache by something else, as a failing disk might; what is mapped stays.
    fn harm_cache(&self) -> Result<()> {
        let code = self.cache.join("code");
        for entry in fs::read_dir(&code)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "cwasm") {
                let mut bytes = fs::read(&path)?;
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0xff;
                let partial = code.join("harmed");
                fs::write(&partial, &bytes)?;
                fs::rename(&partial, &path)?;
            }
        }
        // What is loaded from now on has to be compiled again.
        self.unload_and_load()
    }

    fn unload_and_load(&self) -> Result<()> {
        let request = Request::post(
            &format!("/v2/models/{COMES_AND_GOES}/infer"),
            self.request.body().to_vec(),
            self.request.header_length(),
        );
        for (action, status) in [("unload", 503), ("load", 200)] {
            let call = Request::post(&format!("/v2/repository/models/{COMES_AND_GOES}/{action}"), b"{}".to_vec(), None);
            let reply = Connection::open(self.admin)?.send(&call)?;
            ensure!(reply.status == 200, "{action}: status {}", reply.status);
            let reply = Connection::open(self.server.address())?.send(&request)?;
            ensure!(reply.status == status, "after {action}: status {} instead of {status}", reply.status);
            if status == 200 && outputs_of(&reply)? != self.expected {
                self.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn reload(&self) -> Result<()> {
        let process = i32::try_from(self.server.process()).ok().and_then(Pid::from_raw);
        kill_process(process.context("no process")?, Signal::HUP)?;
        Ok(())
    }

    /// A client that sends half of a request and goes, and one that sends all of it and does not wait.
    fn vanish(&self) -> Result<()> {
        for part in [2, 1] {
            let mut stream = TcpStream::connect(self.server.address())?;
            let bytes = self.request.bytes();
            stream.write_all(&bytes[..bytes.len() / part])?;
        }
        Ok(())
    }
}
