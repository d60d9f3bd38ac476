//! A wire between a program and a server, which a test can cut.

use std::sync::Arc;

use tokio::{
    io,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A listener that forwards every connection to a server, byte by byte. Dropping it closes them all.
#[derive(Debug)]
pub struct Wire {
    address: String,
    is_cut: Arc<watch::Sender<bool>>,
    _acceptor: JoinSet<()>,
}

impl Wire {
    /// Listens on a free port of this machine, in front of a server at `upstream` (host and port).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(upstream: String) -> eyre::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let is_cut = Arc::new(watch::Sender::new(false));
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, upstream, Arc::clone(&is_cut)));
        Ok(Self { address, is_cut, _acceptor: acceptor })
    }

    /// Returns host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Cuts the wire: nothing arrives any more in either direction, and nobody is told. New connections fare the same.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Mends the wire. Connections from before are closed.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn accept(listener: TcpListener, upstream: String, is_cut: Arc<watch::Sender<bool>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(forward(client, upstream.clone(), is_cut.subscribe()));
    }
}

/// Forwards a connection until it ends or the wire is cut; then holds it open in silence until the wire is mended.
async fn forward(mut client: TcpStream, upstream: String, is_cut: watch::Receiver<bool>) {
    let forwarding = async {
        let mut server = TcpStream::connect(&upstream).await?;
        io::copy_bidirectional(&mut client, &mut server).await
    };
    let was_cut = tokio::select! {
        biased;
        () = until(is_cut.clone(), true) => true,
        _ = forwarding => false,
    };
    if was_cut {
        until(is_cut, false).await;
    }
}

/// Waits until the wire is cut or mended, or the test has ended.
async fn until(mut is_cut: watch::Receiver<bool>, wanted: bool) {
    drop(is_cut.wait_for(|is_cut| *is_cut == wanted).await);
}
