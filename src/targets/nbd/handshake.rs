//! Carries a negotiation out over a stream: receives, lets the machine decide, sends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::agreement::Agreement;
use super::limits::OPTION_DATA_LEN_MAX;
use super::negotiation::{Availability, Negotiation, Step};
use super::wire::OPTION_LEN;

/// How a negotiation ended, or paused.
#[derive(Debug)]
pub enum Ended {
    /// The connection is to be closed.
    Closed,
    /// TLS begins. There is nothing left that was received in plain.
    StartTls,
    /// There is an agreement, and these bytes were received behind it.
    Agreed(Box<Agreement>, Vec<u8>),
}

/// Bytes that are received ahead of understanding them.
const RECEIVE_LEN: usize = OPTION_DATA_LEN_MAX + OPTION_LEN;

/// Goes on with a negotiation until it ends or TLS begins. `availability` is asked at each option.
///
/// # Errors
/// What the stream gives.
pub async fn negotiate<S>(
    stream: &mut S,
    negotiation: &mut Negotiation,
    availability: impl Fn() -> Availability,
) -> io::Result<Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = Vec::with_capacity(RECEIVE_LEN);
    let mut out = Vec::new();
    loop {
        let (done, step) = negotiation.advance(&input, availability(), &mut out);
        input.drain(..done);
        if !out.is_empty() {
            stream.write_all(&out).await?;
            stream.flush().await?;
            out = Vec::new();
        }
        match step {
            Step::Continue => {}
            Step::Close => return Ok(Ended::Closed),
            // What came in plain behind the option must not pass for something said within TLS.
            Step::StartTls if !input.is_empty() => return Ok(Ended::Closed),
            Step::StartTls => return Ok(Ended::StartTls),
            Step::Transmit(agreement) => return Ok(Ended::Agreed(agreement, input)),
            Step::Hungry => {
                let left = (RECEIVE_LEN - input.len()) as u64;
                if (&mut *stream).take(left).read_buf(&mut input).await? == 0 {
                    return Ok(Ended::Closed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use disk::MemDisk;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::export::{Export, ExportError, ExportSummary, Exports, NoContexts};
    use crate::nbd::negotiation::TlsPolicy;

    struct Any;

    impl Exports for Any {
        fn list(&self) -> Vec<ExportSummary> {
            Vec::new()
        }

        fn open(&self, name: &str) -> Result<Export, ExportError> {
            Ok(Export {
                name: name.to_owned(),
                description: String::new(),
                disk: Arc::new(MemDisk::new(8)),
                is_read_only: false,
                contexts: Arc::new(NoContexts),
                guard: None,
            })
        }

        fn default_name(&self) -> Option<String> {
            None
        }
    }

    /// What a negotiation comes to where the client sends all of this at once.
    async fn ended(sent: &[u8]) -> Ended {
        let (mut client, mut server) = duplex(1 << 16);
        client.write_all(sent).await.unwrap();
        let mut negotiation = Negotiation::new(Arc::new(Any), TlsPolicy::Offered);
        negotiate(&mut server, &mut negotiation, || Availability::Open).await.unwrap()
    }

    const START_TLS: &[u8] = b"\0\0\0\x03IHAVEOPT\0\0\0\x05\0\0\0\0";

    #[tokio::test]
    async fn nothing_that_came_in_plain_behind_starttls_is_kept() {
        assert!(matches!(ended(START_TLS).await, Ended::StartTls));
        assert!(matches!(ended(&[START_TLS, b"I"].concat()).await, Ended::Closed));
    }

    #[tokio::test]
    async fn what_came_behind_an_agreement_is_handed_over() {
        let sent = b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\x01vrequests";
        let Ended::Agreed(agreement, received) = ended(sent).await else { panic!() };
        assert_eq!((agreement.export.name.as_str(), &received[..]), ("v", &b"requests"[..]));
    }
}
