//! Claims about the house's own client, against the house's own door and against servers that lie.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{memory, serve, soon};
use crate::nbd::client::Client;
use crate::nbd::{Address, Security};

#[tokio::test]
async fn what_is_written_is_read_again_and_no_other_export_is_entered() {
    let server = serve(memory());
    let address = "127.0.0.1:0".parse().unwrap();
    let address = server.listen(&address, Security::Plain).await.unwrap();
    let Address::Tcp(address) = address else { panic!("{address}") };
    let address = address.to_string();
    let mut client = Client::open(&address, "mail").await.unwrap();
    assert_eq!((client.len(), client.is_empty()), (super::SECTORS * 512, false));
    client.write(4096, b"as we said on Monday").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(client.read(4099, 7).await.unwrap(), b"we said");
    let past_the_end = client.write(client.len(), b"x").await.unwrap_err();
    assert!(past_the_end.to_string().contains("28"), "{past_the_end}");
    assert_eq!(client.read(4096, 2).await.unwrap(), b"as", "it goes on after a refusal");
    client.leave().await.unwrap();
    let refused = Client::open(&address, "letters").await.unwrap_err();
    assert!(refused.to_string().contains("refused"), "{refused}");
}

/// A server that says this, whatever it is asked.
async fn says(bytes: Vec<u8>) -> std::io::Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        // Until the client goes.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = soon(Client::open(&address, "mail")).await.unwrap_err();
    soon(serving).await.unwrap();
    error
}

#[tokio::test]
async fn a_server_that_lies_is_left_at_once() {
    assert_eq!(says(vec![0; 18]).await.kind(), ErrorKind::InvalidData);
    let greeting = b"NBDMAGICIHAVEOPT\0\x03".to_vec();
    let reply = |option: u32, code: u32, len: u32| {
        let head = [0x0003_e889_0455_65a9u64.to_be_bytes().to_vec(), option.to_be_bytes().to_vec()];
        [greeting.clone(), head.concat(), code.to_be_bytes().into(), len.to_be_bytes().into()]
            .concat()
    };
    for lie in [reply(7, 3, u32::MAX), reply(6, 1, 0), reply(7, 1, 0)] {
        assert_eq!(says(lie).await.kind(), ErrorKind::InvalidData);
    }
}
