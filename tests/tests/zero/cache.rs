//! A cache that cannot be written to its end: by a process that is killed, or on a disk that is full.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use samara_tests::guests;
use samara_tests::samara;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, outputs};
use tempfile::tempdir;

use super::input;

/// Serves a model with this cache, and asks it.
fn serves(model: &Path, cache: &Path) -> String {
    let server = Serve::new([model]).option("--cache-dir").option(cache.to_str().unwrap()).start();
    assert_eq!(outputs(&server.infer("echo", &input(3.0))), [Tensor::fp32("y", &[1], &[3.0])]);
    let log = server.log();
    server.stop();
    log
}

/// Killed at moments of which some are within a write.
#[test]
fn a_process_that_is_killed_leaves_a_cache_that_works() {
    let directory = tempdir().unwrap();
    let model = guests::write(directory.path(), "echoes", "echo");
    let whole = directory.path().join("whole");
    let began = Instant::now();
    serves(&model, &whole);
    let taken = began.elapsed();
    for part in 1..=10 {
        let cache = directory.path().join(format!("cache-{part}"));
        let mut child = samara::command()
            .args(["serve", "--listen", "127.0.0.1:0", "--cache-dir"])
            .args([&cache, &model])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(taken * part / 10);
        child.kill().unwrap();
        child.wait().unwrap();
        let log = serves(&model, &cache);
        assert!(!log.contains("ERROR"), "{log}");
        // What was half written was never taken for an entry.
        assert!(!log.contains("corrupt") && !log.contains("unusable"), "{log}");
    }
}

/// The smallest file system that there is, which is full before the first entry is written.
const FULL: &str = "mount -t tmpfs -o size=16k,mode=700 none";

/// Whether this user may have a file system of its own.
fn can_mount() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c", &format!("{FULL} /mnt")]);
    unshare.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn a_disk_that_is_full_is_no_reason_to_fail() {
    if !can_mount() {
        eprintln!("nothing is tested: this user may not mount anything, not even in a namespace of its own");
        return;
    }
    let directory = tempdir().unwrap();
    let model = guests::write(directory.path(), "echoes", "echo");
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let inner = format!(r#"{FULL} {}; exec "$0" "$@""#, cache.display());
    let full = samara::command_after(&format!(
        "set -- sh -c '{inner}' \"$0\" \"$@\"; set -- --map-root-user --mount \"$@\"; exec unshare \"$@\""
    ));
    let serve = Serve::by(full, "127.0.0.1:0", [&model]);
    let mut server = serve.option("--cache-dir").option(cache.to_str().unwrap()).start();
    assert_eq!(outputs(&server.infer("echo", &input(3.0))), [Tensor::fp32("y", &[1], &[3.0])]);
    server.logs(&["machine code is not cached", "WARN", "No space left on device"]);
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}
