//! Where admin calls are taken: an address and port, or a Unix socket.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::ServeError;

/// Where admin calls are taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AdminListen {
    /// An address and port.
    Tcp(SocketAddr),
    /// A Unix socket, by its file: `unix:/run/samara/admin.sock`.
    Unix(PathBuf),
}

/// Why a text is no [`AdminListen`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address and port, or unix: and the path of a socket, found {0:?}")]
pub struct InvalidAdminListen(String);

/// What admin calls come in by. Its socket's file is removed when this is dropped.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The file of a socket that is ours, by its inode.
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

// === impl AdminListen ===

impl AdminListen {
    /// Whether only processes of this machine can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            AdminListen::Tcp(address) => address.ip().is_loopback(),
            AdminListen::Unix(_) => true,
        }
    }
}

impl FromStr for AdminListen {
    type Err = InvalidAdminListen;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => Err(InvalidAdminListen(text.to_owned())),
            Some(path) => Ok(AdminListen::Unix(path.into())),
            None => text.parse().map(AdminListen::Tcp).map_err(|_| InvalidAdminListen(text.to_owned())),
        }
    }
}

impl TryFrom<String> for AdminListen {
    type Error = InvalidAdminListen;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminListen::Tcp(address) => address.fmt(f),
            AdminListen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Listens. A socket is there with its mode, 0600, or not at all; one that nobody listens on any more is replaced.
    pub async fn bind(listen: &AdminListen) -> Result<Listener, ServeError> {
        let refused = |reason| ServeError::BindAdmin { listen: listen.clone(), reason };
        match listen {
            AdminListen::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp).map_err(refused),
            AdminListen::Unix(path) => {
                let (listener, file) = bind_socket(path).map_err(refused)?;
                Ok(Listener::Unix(UnixListener::from_std(listener).map_err(refused)?, file))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<AdminListen> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(AdminListen::Tcp),
            Listener::Unix(_, file) => Ok(AdminListen::Unix(file.path.clone())),
        }
    }

    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => Ok(Stream::Tcp(listener.accept().await?.0)),
            Listener::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

fn bind_socket(path: &Path) -> io::Result<(net::UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something is there that is no socket"));
        }
        Ok(_) if net::UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"));
        }
        _ => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody can connect before its mode is set, as its name is not known; it takes the place of the old one at once.
    let socket =
        tempfile::Builder::new().prefix(".samara-").make_in(directory, |path| net::UnixListener::bind(path))?;
    fs::set_permissions(socket.path(), Permissions::from_mode(0o600))?;
    let listener = socket.persist(path).map_err(|error| error.error)?;
    listener.set_nonblocking(true)?;
    let inode = fs::symlink_metadata(path)?.ino();
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen_comes_back() {
        for (text, local) in
            [("127.0.0.1:9000", true), ("[::1]:9000", true), ("0.0.0.0:9000", false), ("unix:/run/a.sock", true)]
        {
            let listen: AdminListen = text.parse().unwrap();
            assert_eq!((listen.to_string(), listen.is_local()), (text.to_owned(), local));
        }
        for text in ["", "unix:", "/run/a.sock", "127.0.0.1", "localhost:9000"] {
            assert!(text.parse::<AdminListen>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_socket_is_its_owners_and_replaces_only_what_is_dead() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let (listener, file) = bind_socket(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind_socket(&path).err().unwrap().kind(), io::ErrorKind::AddrInUse);
        // As after kill -9.
        drop(listener);
        let (_second, second_file) = bind_socket(&path).unwrap();
        drop(file);
        assert!(path.exists(), "it is the second one's");
        drop(second_file);
        assert!(!path.exists());
        fs::write(&path, "not a socket").unwrap();
        assert_eq!(bind_socket(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "what is made on the way does not stay");
    }
}
