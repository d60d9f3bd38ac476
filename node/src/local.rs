//! Servers for programs of this machine alone: what reaches them spends the operator's money or time.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use eyre::{WrapErr, ensure};
use tokio::net::TcpListener;

/// Serves until the process is told to stop. `use_of_others` says what a request of a stranger would do.
pub(crate) async fn serve(router: Router, address: SocketAddr, use_of_others: &str) -> eyre::Result<()> {
    ensure!(
        address.ip().is_loopback(),
        "--listen is {address}: what reaches it {use_of_others}, so it must be an address of this machine, such as \
         127.0.0.1:{}",
        address.port()
    );
    let listener = TcpListener::bind(address).await.wrap_err_with(|| format!("--listen {address}"))?;
    announce(listener.local_addr()?);
    Ok(axum::serve(listener, guarded(router)).with_graceful_shutdown(stopped()).await?)
}

/// Refuses what pages of other sites send from a browser of this machine: a browser names the page's origin with every such
/// request, also where the page has made a name of its own lead here.
pub(crate) fn guarded(router: Router) -> Router {
    router.layer(from_fn(async |request: Request, next: Next| -> Response {
        if request.headers().contains_key(header::ORIGIN) {
            return (StatusCode::FORBIDDEN, "this is for programs of this machine, and not for pages in a browser")
                .into_response();
        }
        next.run(request).await
    }))
}

/// Tells the address to the program that started this one: the port may have been the system's choice. Nobody has to read
/// it.
pub(crate) fn announce(address: SocketAddr) {
    writeln!(io::stdout(), "Listening on http://{address}").ok();
}

/// Waits until the process is told to stop.
pub(crate) async fn stopped() {
    tokio::signal::ctrl_c().await.ok();
}
