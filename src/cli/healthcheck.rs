//! `pitaya healthcheck`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use pitaya::config::{Config, Environment};
use tokio::net::TcpStream;

use super::command::{CommandError, ConfigFile};

/// Time limit for the answer; a slower service counts as unhealthy.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Prints in one line whether the running service is ready. Exits with 0 if it is, and with 1 if it is not or cannot be reached, since
/// Docker assigns no meaning to other statuses.
pub(super) fn run(file: &ConfigFile) -> ExitCode {
    match check(file) {
        Ok(address) => {
            println!("ready at {address}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &ConfigFile) -> Result<SocketAddr, CommandError> {
    let environment = Environment::of_process();
    let address = Config::health_address(file.config.as_deref(), &environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, ask(address)).await });
    let problem = match answer {
        Ok(Ok(StatusCode::OK)) => return Ok(address),
        Ok(Ok(status)) => format!("answered {}", status.as_u16()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    Err(CommandError::Failed(
        format!("not ready at http://{address}/readyz: {problem}").into(),
    ))
}

/// Status of `/readyz` at `address`. A bare HTTP/1 call: the vendor's client would first load certificates, and might use a proxy.
async fn ask(address: SocketAddr) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz")
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let driven = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    driven.abort();
    Ok(answer.status())
}
