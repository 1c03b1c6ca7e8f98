//! The machine code that is kept: used when it is whole, made again when it is not, and never taken from where others
//! can put it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use samara_tests::guests;
use samara_tests::server::{Serve, Server};
use samara_tests::tensor::{Tensor, outputs};
use tempfile::{TempDir, tempdir};

/// A component, and a cache directory in which nothing is yet.
struct Place {
    directory: TempDir,
    component: PathBuf,
}

impl Place {
    fn new() -> Place {
        let directory = tempdir().unwrap();
        let component = guests::write(directory.path(), "echoes", "echo");
        Place { directory, component }
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// Serves the component, and asks it something.
    fn serve(&self) -> Server {
        let server = Serve::new([&self.component])
            .option("--cache-dir")
            .option(self.cache().to_str().unwrap())
            .environment("SAMARA_LOG", "debug")
            // With several, it depends on which of them compiled what before in which form a function reaches Cranelift.
            .environment("RAYON_NUM_THREADS", "1")
            .start();
        let reply = server.infer("echo", &[Tensor::fp32("x", &[2], &[1.0, 2.0])]);
        assert_eq!(outputs(&reply), [Tensor::fp32("y", &[2], &[1.0, 2.0])]);
        server
    }

    fn code(&self) -> PathBuf {
        let files = files(&self.cache(), "cwasm");
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

/// All files below a directory whose names end like that.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

#[test]
fn machine_code_is_kept_for_its_owner_alone() {
    let place = Place::new();
    place.serve().stop();
    let code = place.code();
    for path in code.ancestors().take_while(|path| path.starts_with(place.cache())) {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn machine_code_that_is_whole_is_used_again() {
    let place = Place::new();
    place.serve().stop();
    let before = fs::metadata(place.code()).unwrap().modified().unwrap();
    let server = place.serve();
    assert_eq!(fs::metadata(place.code()).unwrap().modified().unwrap(), before);
    assert!(!server.log().contains("corrupt"), "{}", server.log());
}

#[test]
fn a_corrupt_entry_is_made_again_and_the_log_says_so() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("a bit is flipped", |code| {
            let middle = code.len() / 2;
            code[middle] ^= 1;
        }),
        ("the end is cut off", |code| code.truncate(code.len() / 2)),
        ("nothing is left", Vec::clear),
        ("it is something else", |code| *code = b"This was machine code once.".to_vec()),
    ];
    for (what, damage) in damages {
        let place = Place::new();
        place.serve().stop();
        let code = place.code();
        let whole = fs::read(&code).unwrap();
        let mut damaged = whole.clone();
        damage(&mut damaged);
        fs::write(&code, &damaged).unwrap();

        let server = place.serve();
        let log = server.log();
        assert!(log.contains("corrupt") && log.contains("WARN"), "{what}: {log}");
        assert!(log.contains(code.file_name().unwrap().to_str().unwrap()), "{what}: {log}");
        server.stop();
        assert!(fs::read(place.code()).unwrap() == whole, "{what}: the entry is not as it was");

        let server = place.serve();
        assert!(!server.log().contains("corrupt"), "{what}: {}", server.log());
    }
}

/// Whether most functions were there already; some reach Cranelift in another form each time.
fn mostly_reused(log: &str) -> bool {
    let count = |name: &str| -> u32 {
        let (_, rest) = log.split_once(name).expect(name);
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    count("reused=") > 4 * count("new=")
}

/// Two components with the same functions and other data, as two models are. Names of one length, as the functions have
/// addresses in them that depend on it.
#[test]
fn functions_that_components_share_are_compiled_once() {
    let place = Place::new();
    place.serve().logs(&["reused=0"]);
    let kept = files(&place.cache(), "functions");
    assert_eq!(kept.len(), 1, "{kept:?}");
    let other = place.directory.path().join("other");
    fs::create_dir(&other).unwrap();
    let serve = |name: &str| {
        let component = guests::write(&other, "echoes", name);
        let server = Serve::new([&component])
            .option("--cache-dir")
            .option(place.cache().to_str().unwrap())
            .environment("SAMARA_LOG", "debug")
            .environment("RAYON_NUM_THREADS", "1")
            .start();
        let reply = server.infer(name, &[Tensor::fp32("x", &[2], &[1.0, 2.0])]);
        assert_eq!(outputs(&reply), [Tensor::fp32("y", &[2], &[1.0, 2.0])]);
        server
    };
    let server = serve("else");
    let log = server.log();
    assert!(mostly_reused(&log), "{log}");
    server.stop();

    // What is not as it was written is not used.
    let mut damaged = fs::read(&kept[0]).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&kept[0], &damaged).unwrap();
    let log = serve("more").log();
    assert!(log.contains("corrupt") && log.contains("reused=0"), "{log}");
    let log = serve("last").log();
    assert!(!log.contains("corrupt") && mostly_reused(&log), "{log}");
}

#[test]
fn an_entry_with_a_broken_record_is_made_again() {
    for content in ["", "{", "{\"sha256\": 1}"] {
        let place = Place::new();
        place.serve().stop();
        let record = place.code().with_extension("json");
        fs::write(&record, content).unwrap();
        let server = place.serve();
        server.logs(&["WARN"]);
        server.stop();
        assert_ne!(fs::read_to_string(&record).unwrap(), content);
    }
}

/// Another component under the same path is another model, and not what is remembered of the first.
#[test]
fn a_component_that_is_replaced_is_noticed() {
    let place = Place::new();
    place.serve().stop();
    fs::write(&place.component, guests::component("traps", "echo")).unwrap();
    let server = Serve::new([&place.component]).option("--cache-dir").option(place.cache().to_str().unwrap()).start();
    let reply = server.infer("echo", &[Tensor::fp32("x", &[1], &[1.0])]);
    assert_eq!(reply.status, 500);
}

/// Whoever could write into it could have any code run.
#[test]
fn a_directory_that_others_can_write_is_not_used() {
    for mode in [0o777, 0o770, 0o702] {
        let place = Place::new();
        fs::create_dir(place.cache()).unwrap();
        fs::set_permissions(place.cache(), Permissions::from_mode(mode)).unwrap();
        let server = place.serve();
        let log = server.log();
        assert!(log.contains("not safe"), "{mode:o}: {log}");
        assert!(log.contains(place.cache().to_str().unwrap()), "{mode:o}: {log}");
        server.stop();
        assert!(files(&place.cache(), "cwasm").is_empty(), "{mode:o}");
    }
}

/// Nor is what was put into such a directory before it was closed.
#[test]
fn a_directory_below_that_others_can_write_is_not_used() {
    let place = Place::new();
    place.serve().stop();
    let below = place.code().parent().unwrap().to_owned();
    fs::set_permissions(&below, Permissions::from_mode(0o777)).unwrap();
    let server = place.serve();
    server.logs(&["not safe"]);
}

#[test]
fn a_directory_that_cannot_be_made_is_no_reason_to_fail() {
    let place = Place::new();
    fs::write(place.cache(), "a file").unwrap();
    let server = place.serve();
    server.logs(&["WARN"]);
}

#[test]
fn without_a_cache_nothing_is_kept() {
    let place = Place::new();
    let server =
        Serve::new([&place.component]).option("--no-cache").environment("SAMARA_CACHE_DIR", place.cache()).start();
    let reply = server.infer("echo", &[Tensor::fp32("x", &[1], &[1.0])]);
    assert_eq!(reply.status, 200);
    assert!(!place.cache().exists());
}

/// What comes after fits in, and is used again. What is not the cache's stays.
#[test]
fn above_the_budget_what_was_loaded_least_recently_goes() {
    let place = Place::new();
    place.serve().stop();
    let left = place.code().with_file_name(format!("{}-{}.cwasm", "0".repeat(64), "0".repeat(16)));
    let other = left.with_file_name("archive.tar");
    for path in [&left, &other] {
        fs::write(path, vec![0; 9 << 20]).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(60 * 60);
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let serve = |name: &str| {
        let component = guests::write(place.directory.path(), "echoes", name);
        let cache = place.cache();
        let options = ["--cache-dir", cache.to_str().unwrap(), "--cache-budget-mib", "8"];
        let serve = options.into_iter().fold(Serve::new([&component]), Serve::option);
        serve.environment("SAMARA_LOG", "debug").start()
    };
    let server = serve("else");
    server.logs(&["the code cache is within its budget again removed=1"]);
    server.stop();
    assert!(!left.exists() && other.exists());
    assert_eq!(files(&place.cache(), "cwasm").len(), 2);
    let server = serve("else");
    assert!(!server.log().contains("functions compiled"), "{}", server.log());
}
