//! The login over a socket: bytes in and out, the time that answers take, and the judgement of secrets.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::agreement::Agreement;
use super::limits::LOGIN_SEGMENT_LEN_MAX;
use super::login::{Login, Proof, Step};
use super::pdu::wire::{HEADER_LEN, status};
use super::pdu::{Head, padding};

/// Logs an initiator in; gives what it ends with, or nothing where it was refused or has left. The last
/// answer is the caller's. `delay` says how long the answer to a proof waits.
///
/// # Errors
/// What the socket gives.
pub async fn log_in<S, D>(
    stream: &mut S,
    login: &mut Login,
    delay: impl Fn(Proof) -> D,
) -> io::Result<Option<Box<Agreement>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: Future<Output = ()>,
{
    loop {
        let mut head = [0; HEADER_LEN];
        if stream.read_exact(&mut head).await.is_err() {
            return Ok(None);
        }
        let head = Head(head);
        let len = head.data_len();
        if len > LOGIN_SEGMENT_LEN_MAX || head.ahs_len() > 0 {
            stream.write_all(&login.refuse(status::INITIATOR_ERROR)).await?;
            return farewell(stream).await;
        }
        let mut data = vec![0; len + padding(len)];
        stream.read_exact(&mut data).await?;
        let step = login.advance(head, &data[..len]);
        if let Some(proof) = login.take_proof() {
            delay(proof).await;
        }
        match step {
            Step::Answer(answer) => stream.write_all(&answer).await?,
            Step::Refuse(answer) => {
                stream.write_all(&answer).await?;
                return farewell(stream).await;
            }
            Step::Agreed(agreement) => return Ok(Some(agreement)),
        }
    }
}

/// Lets whoever was refused read why.
///
/// # Errors
/// What the socket gives.
pub async fn farewell<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<Option<Box<Agreement>>> {
    stream.shutdown().await?;
    Ok(None)
}
