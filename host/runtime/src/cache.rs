//! The cache of machine code.
//!
//! Machine code is trusted input: Wasmtime maps and runs it unchecked. So the cache is a directory that nobody but its
//! owner can write, an entry is named after what it was made from (the component's SHA-256, the version and settings of
//! the compiler, the CPU's features), and its content is checked against a SHA-256 taken when it was written. That check
//! is skipped while the file's identity is the one it had when the check last passed. What all code takes together is
//! bounded (`budget`): whenever some is written, that goes which was loaded least recently.
//!
//! ```text
//! DIRECTORY/code/KEY.cwasm   machine code, as Wasmtime serialises it
//! DIRECTORY/code/KEY.functions   the machine code of single functions, see `incremental`; KEY.lock while it is written
//! DIRECTORY/code/KEY.json    what it was made from, and its SHA-256 and identity
//! DIRECTORY/files/ID.json    which key a component file has, by its path and identity
//! ```

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use samara_artifact::Manifest;
use samara_protocol::ModelMetadata;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::identity::Identity;

mod budget;

/// How the names of files begin that are not whole yet.
const PARTIAL: &str = ".samara-partial-";

/// How long is waited for a process that writes the machine code of single functions. It takes a second on slow machines.
const FUNCTIONS_WITHIN: Duration = Duration::from_secs(5);

/// How often that is looked for. Files have no lock that can be waited for so long and no longer.
const FUNCTIONS_AGAIN: Duration = Duration::from_millis(5);

/// A directory of machine code.
#[derive(Clone, Debug)]
pub struct CodeCache {
    directory: PathBuf,
    budget: u64,
}

/// Why a directory cannot be the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be created or looked at.
    #[error("cache directory {}: {reason}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Somebody else could put machine code there.
    #[error(
        "cache directory {} is not safe: {reason}; `chmod 700` it or choose another with SAMARA_CACHE_DIR",
        directory.display()
    )]
    Unsafe {
        /// The directory.
        directory: PathBuf,
        /// Who else could write.
        reason: &'static str,
    },
}

/// Which code: what it was made from, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CodeKey(String);

/// What is known of a cached component without reading the component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// The model that it carries.
    pub metadata: ModelMetadata,
    /// Its manifest, if it has one.
    pub manifest: Option<Manifest>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    sha256: String,
    identity: Identity,
    about: Option<About>,
}

#[derive(Serialize, Deserialize)]
struct FileRecord {
    path: PathBuf,
    identity: Identity,
    key: CodeKey,
}

// === impl CodeKey ===

impl CodeKey {
    /// The key of the code that `engine` makes of this content.
    pub fn of_content(engine: &Engine, content: &[u8]) -> CodeKey {
        CodeKey(format!("{}-{:016x}", hex(&Sha256::digest(content)), compatibility(engine)))
    }

    /// Whether `engine` has made the code, or one that it agrees with.
    fn is_for(&self, engine: &Engine) -> bool {
        self.0.ends_with(&format!("-{:016x}", compatibility(engine)))
    }

    /// The key of all single functions that `engine` has compiled.
    pub(crate) fn of_functions(engine: &Engine) -> CodeKey {
        CodeKey(format!("{:016x}", compatibility(engine)))
    }
}

/// Counts the changes to what is compiled of a component.
const COMPILED: u32 = 1;

/// What two engines have in common that can use each other's code.
fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    COMPILED.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

// === impl CodeCache ===

impl CodeCache {
    /// Opens the cache in `directory`, creating what is missing. Whenever code is written and all of it takes more than `budget`
    /// bytes then, that goes which was loaded least recently.
    pub fn open(directory: &Path, budget: u64) -> Result<CodeCache, CacheError> {
        let cache = CodeCache { directory: directory.to_owned(), budget };
        for part in [cache.directory.clone(), cache.directory.join("code"), cache.directory.join("files")] {
            let failed = |reason| CacheError::Directory { directory: part.clone(), reason };
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&part).map_err(failed)?;
            check_owner(&part)?;
        }
        Ok(cache)
    }

    /// Where the cache is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The key of the code that `engine` makes of the file at `path`, where it is known and the file has this identity still.
    pub(crate) fn key_of_file(&self, engine: &Engine, path: &Path, identity: &Identity) -> Option<CodeKey> {
        let path = fs::canonicalize(path).ok()?;
        let record: FileRecord = read_json(&self.file_record(&path))?;
        (record.path == path && record.identity == *identity && record.key.is_for(engine)).then_some(record.key)
    }

    /// What model the code with this key is, if it is here and whole.
    pub(crate) fn about(&self, key: &CodeKey) -> Option<About> {
        self.verified(key, &self.code(key))?
    }

    /// Notes the key of the file at `path`, as long as it has this identity.
    pub(crate) fn remember_file(&self, path: &Path, identity: Identity, key: &CodeKey) {
        if !identity.is_settled() {
            return;
        }
        let noted = fs::canonicalize(path).and_then(|path| {
            let record = FileRecord { path: path.clone(), identity, key: key.clone() };
            write_atomically(&self.file_record(&path), &serde_json::to_vec(&record)?)
        });
        if let Err(error) = noted {
            tracing::debug!(%error, path = %path.display(), "the file's hash is not noted");
        }
    }

    /// The component whose code has this key, and what model it is, if it is here and whole.
    pub fn component(&self, engine: &Engine, key: &CodeKey) -> Option<(Component, Option<About>)> {
        let code = self.code(key);
        let about = self.verified(key, &code)?;
        // SAFETY: as `verified` says.
        let component = usable(&code, unsafe { Component::deserialize_file(engine, &code) })?;
        Some((component, about))
    }

    /// The core module whose code has this key, if it is here and whole.
    pub fn module(&self, engine: &Engine, key: &CodeKey) -> Option<Module> {
        let code = self.code(key);
        self.verified(key, &code)?;
        // SAFETY: as `verified` says.
        usable(&code, unsafe { Module::deserialize_file(engine, &code) })
    }

    /// Keeps `code`, which Wasmtime has serialised. A failure is logged: it costs time and nothing else.
    pub fn put(&self, key: &CodeKey, code: &[u8], about: Option<&About>) {
        self.put_at(key, &self.code(key), code, about);
    }

    fn put_at(&self, key: &CodeKey, path: &Path, code: &[u8], about: Option<&About>) {
        let kept = write_atomically(path, code).and_then(|()| {
            let entry =
                Entry { sha256: hex(&Sha256::digest(code)), identity: Identity::of(path)?, about: about.cloned() };
            write_atomically(&self.record(key), &serde_json::to_vec(&entry)?)
        });
        if let Err(error) = kept {
            tracing::warn!(%error, entry = %path.display(), "machine code is not cached");
        }
        match budget::enforce(&self.directory.join("code"), self.budget, path) {
            Ok(0) => {}
            Ok(_) => self.forget_files(),
            Err(error) => {
                tracing::warn!(%error, directory = %self.directory.display(), "not all is removed that the code cache has no room for");
            }
        }
    }

    /// Removes what is noted of files whose code is not here any more.
    fn forget_files(&self) {
        let Ok(records) = fs::read_dir(self.directory.join("files")) else { return };
        for record in records.flatten().map(|entry| entry.path()) {
            let known: Option<FileRecord> = read_json(&record);
            if known.is_some_and(|known| !self.code(&known.key).exists()) {
                // If this fails, a file of some bytes stays.
                let _ = fs::remove_file(record);
            }
        }
    }

    /// What [`CodeCache::put_functions`] has kept under this key, if it is here and whole. Who is writing it is waited for, which
    /// takes a part of what compiling all functions does, but not for ever.
    pub(crate) fn functions(&self, key: &CodeKey) -> Option<Vec<u8>> {
        let path = self.functions_file(key);
        if !path.exists() {
            return None;
        }
        let lock = self.functions_lock(key).ok()?;
        let begin = Instant::now();
        while let Err(error) = lock.try_lock_shared() {
            let fs::TryLockError::WouldBlock = error else { return None };
            if begin.elapsed() >= FUNCTIONS_WITHIN {
                tracing::debug!("another process has been writing the machine code of single functions for long");
                return None;
            }
            thread::sleep(FUNCTIONS_AGAIN);
        }
        self.verified(key, &path)?;
        fs::read(path).ok()
    }

    /// Keeps the machine code of single functions, unless another process reads or writes it: the loss is some time.
    pub(crate) fn put_functions(&self, key: &CodeKey, functions: &[u8]) {
        match self.functions_lock(key) {
            Ok(lock) if lock.try_lock().is_ok() => self.put_at(key, &self.functions_file(key), functions, None),
            Ok(_) => tracing::debug!("another process uses the machine code of single functions"),
            Err(error) => tracing::warn!(%error, "the machine code of single functions is not cached"),
        }
    }

    /// What is noted beside the file of code with this key, once its content is known to be what [`CodeCache::put`] wrote.
    ///
    /// That makes it safe to deserialise: nobody but the owner can write into the directory (`open` checked that), the
    /// content is what Wasmtime had serialised, by its SHA-256 or by an identity under which that was checked, and
    /// entries are replaced by renaming, never changed in place, so that a mapping of one stays what it is.
    fn verified(&self, key: &CodeKey, code: &Path) -> Option<Option<About>> {
        let record = self.record(key);
        let identity = Identity::of(code).ok()?;
        let Some(mut entry) = read_json::<Entry>(&record) else {
            tracing::warn!(entry = %code.display(), "the code cache has an entry without a record: compiling again");
            return None;
        };
        if entry.identity != identity {
            if sha256_of_file(code).ok()? != entry.sha256 {
                tracing::warn!(entry = %code.display(), "the code cache has a corrupt entry: compiling again");
                return None;
            }
            entry.identity = identity;
            // If this fails, the content is hashed again the next time.
            let _ = serde_json::to_vec(&entry).map(|json| write_atomically(&record, &json));
        }
        budget::touch(&record);
        Some(entry.about)
    }

    fn code(&self, key: &CodeKey) -> PathBuf {
        self.directory.join("code").join(format!("{}.cwasm", key.0))
    }

    fn functions_file(&self, key: &CodeKey) -> PathBuf {
        self.directory.join("code").join(format!("{}.functions", key.0))
    }

    /// Locked by whoever reads or writes the functions, as that is two files.
    pub(crate) fn functions_lock(&self, key: &CodeKey) -> io::Result<fs::File> {
        let path = self.directory.join("code").join(format!("{}.lock", key.0));
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)
    }

    fn record(&self, key: &CodeKey) -> PathBuf {
        self.directory.join("code").join(format!("{}.json", key.0))
    }

    fn file_record(&self, canonical: &Path) -> PathBuf {
        let id = hex(&Sha256::digest(canonical.as_os_str().as_encoded_bytes()));
        self.directory.join("files").join(format!("{id}.json"))
    }
}

/// Checks that nobody but the user who runs the process can write into `directory`.
#[cfg(unix)]
fn check_owner(directory: &Path) -> Result<(), CacheError> {
    use std::os::unix::fs::MetadataExt;
    let metadata =
        fs::metadata(directory).map_err(|reason| CacheError::Directory { directory: directory.to_owned(), reason })?;
    let reason = if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "others may write into it"
    } else {
        return Ok(());
    };
    Err(CacheError::Unsafe { directory: directory.to_owned(), reason })
}

#[cfg(not(unix))]
fn check_owner(_directory: &Path) -> Result<(), CacheError> {
    Ok(())
}

/// Says why code is not used after all.
fn usable<T>(code: &Path, result: wasmtime::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| {
            tracing::warn!(%error, entry = %code.display(), "the code cache has an unusable entry: compiling again");
        })
        .ok()
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a file so that it is there whole or not at all.
fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(directory)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut HashWriter(&mut hasher))?;
    Ok(hex(&hasher.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
