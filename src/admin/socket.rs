//! The socket of a running process: HTTP with one endpoint, for whoever may open the file.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{Json, Router, extract::State, routing::post};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{Answer, Command, execute};
use crate::app::Homeservers;

const PATH: &str = "/command";
/// What the system's structure for a socket's address can hold, with room for `.new`.
const PATH_BYTES_MAX: usize = 100;

/// A socket that only we can open, and that is ready.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds the socket. A file that is in its way belongs to a process that has died: whoever
    /// calls this holds the lock on the store.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        let new = path.with_added_extension("new");
        remove(&new)?;
        let (address, _folder) = address(&new)?;
        let listener = UnixListener::bind(&address)?;
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        fs::rename(&new, path)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers commands until `drain`.
    pub(crate) async fn serve(self, homeservers: Arc<Homeservers>, drain: CancellationToken) {
        let router = Router::new().route(PATH, post(answer)).with_state(homeservers);
        let serving = axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { drain.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "the admin socket is closed");
        }
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, "the admin socket's file stays behind");
        }
    }
}

/// Sends a command to the process that serves this socket; `None` if there is no such process.
pub(crate) async fn send(path: &Path, command: &Command) -> io::Result<Option<Answer>> {
    let (address, _folder) = match address(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        address => address?,
    };
    let socket = match UnixStream::connect(&address).await {
        Ok(socket) => socket,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
            _ => return Err(error),
        },
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = Request::post(PATH)
        .header("host", "kontor")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(command)?)))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Some(serde_json::from_slice(&body)?))
}

async fn answer(
    State(homeservers): State<Arc<Homeservers>>,
    Json(command): Json<Command>,
) -> Json<Answer> {
    Json(execute(&homeservers, command).await)
}

/// A path to the same file that is short enough for a socket; it holds as long as the folder.
fn address(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path.to_owned(), None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let folder = File::open(parent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((short, Some(folder)))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
