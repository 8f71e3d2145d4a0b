//! A wire that the test can cut: a TCP proxy in front of one server's federation port.
//!
//! The server's name holds the wire's port, so all its peers come this way.

use crate::port::Port;
use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

/// What becomes of those who call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    Open,
    Cut,
    Silent,
    Gone,
}

/// A wire; it is cut for good when dropped.
#[derive(Debug)]
pub struct Link {
    port: Port,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mode: AtomicU8,
    target: SocketAddr,
    connections: Mutex<Vec<TcpStream>>,
}

impl Link {
    /// Lays a wire to a port of this machine.
    pub fn to(target: u16) -> Self {
        let port = Port::lease();
        let listener = TcpListener::bind(("0.0.0.0", port.number())).expect("the port is ours");
        let shared = Arc::new(Shared {
            mode: AtomicU8::new(Mode::Open as u8),
            target: SocketAddr::from(([127, 0, 0, 1], target)),
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Self { port, shared }
    }

    /// Where to call.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Ends all calls, and hangs up on new ones.
    pub fn cut(&self) {
        self.shared.enter(Mode::Cut);
    }

    /// Ends all calls, and lets new ones wait without an answer.
    pub fn silence(&self) {
        self.shared.enter(Mode::Silent);
    }

    /// Lets calls through again.
    pub fn mend(&self) {
        self.shared.enter(Mode::Open);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.enter(Mode::Gone);
        // The thread sits in accept(): one last call makes it look at the mode.
        let _ = TcpStream::connect(("127.0.0.1", self.port()));
    }
}

impl Shared {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::SeqCst) == mode as u8
    }

    fn enter(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
        self.hang_up();
    }

    fn hang_up(&self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in connections.drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for caller in listener.incoming().map_while(Result::ok) {
            if self.is(Mode::Gone) {
                return;
            }
            if self.is(Mode::Silent) {
                self.remember(&caller);
            } else if self.is(Mode::Open) {
                // The server may be down: the caller is hung up on, as it would be without us.
                let _ = self.connect(caller);
            }
        }
    }

    fn connect(self: &Arc<Self>, caller: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.target)?;
        for stream in [&caller, &server] {
            stream.set_nodelay(true)?;
            self.remember(stream);
        }
        let (from_caller, to_server) = (caller.try_clone()?, server.try_clone()?);
        thread::spawn(move || pump(from_caller, to_server));
        thread::spawn(move || pump(server, caller));
        // A cut between the look at the mode and here must not leave this call alive.
        if !self.is(Mode::Open) {
            self.hang_up();
        }
        Ok(())
    }

    fn remember(&self, stream: &TcpStream) {
        if let Ok(stream) = stream.try_clone() {
            self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    // How a call ends is its parties' business.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
