//! Claims about listeners, and about who may negotiate for how long.

use std::time::Duration;

use base::clock::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::client::*;
use super::{connect, memory, serve, soon, until};
use crate::door::limits::{NEGOTIATION_TIME_MAX, NEGOTIATIONS_PER_ADDRESS_MAX};
use crate::nbd::{Address, Security, Server};

async fn listen(server: &Server) -> std::net::SocketAddr {
    let address = "127.0.0.1:0".parse().unwrap();
    match server.listen(&address, Security::Plain).await.unwrap() {
        Address::Tcp(address) => address,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_free_port_is_found_and_left_again() {
    let server = serve(memory());
    let address = listen(&server).await;
    assert_ne!(address.port(), 0);
    let mut client = Client::greet(TcpStream::connect(address).await.unwrap(), 3).await.unwrap();
    client.go("mail").await;
    client.write(0, b"abc").await;
    assert!(server.unlisten(&Address::Tcp(address)));
    assert!(!server.unlisten(&Address::Tcp(address)));
    assert!(server.addresses().is_empty());
    assert_eq!(client.read(0, 3).await, b"abc", "its sessions go on");
    soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_unix_socket_replaces_a_dead_one_but_not_a_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::Unix(folder.path().join("nbd.sock"));
    let Address::Unix(path) = &address else { panic!() };
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let (first, second) = (serve(memory()), serve(memory()));
    first.listen(&address, Security::Plain).await.unwrap();
    let refused = second.listen(&address, Security::Plain).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    let stream = UnixStream::connect(path).await.unwrap();
    Client::greet(stream, 3).await.unwrap().go("mail").await;
    first.shutdown(Duration::from_secs(5)).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn idle_connections_give_way_to_a_client_from_the_same_address() {
    let server = serve(memory());
    let address = listen(&server).await;
    let mut idle = Vec::new();
    for n in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.read_exact(&mut [0; 18]).await.unwrap();
        idle.push(stream);
        let most = NEGOTIATIONS_PER_ADDRESS_MAX.min(n + 1) as u64;
        assert_eq!(server.totals().negotiating, most);
    }
    let mut client = Client::greet(TcpStream::connect(address).await.unwrap(), 3).await.unwrap();
    soon(client.go("mail")).await;
    for stream in &mut idle[..13] {
        assert_eq!(soon(stream.read(&mut [0; 1])).await.unwrap_or(0), 0, "the oldest are closed");
    }
    let mut local = connect(&server).await;
    soon(local.go("mail")).await;
    client.read(0, 512).await;
}

#[tokio::test]
async fn a_negotiation_has_its_time_and_no_more() {
    let clock = SystemClock::default();
    let server = serve(memory());
    let mut session = connect(&server).await;
    session.go("mail").await;
    let (mut silent, mut slow) = (connect(&server).await, connect(&server).await);
    // Whoever keeps talking gets no more time for it.
    let talk = async { while slow.option(OPT_INFO, &info("mail")).await.is_ok() {} };
    let ((), was_closed) = soon(async { tokio::join!(talk, silent.is_closed()) }).await;
    let taken = clock.monotonic();
    assert!(was_closed && taken >= NEGOTIATION_TIME_MAX, "{taken:?}");
    until(|| server.totals().turned_away == 2).await;
    session.read(0, 512).await;
}

#[tokio::test]
async fn a_server_that_ends_says_so_to_negotiating_clients() {
    let server = serve(memory());
    let mut client = connect(&server).await;
    assert_eq!(client.last(OPT_LIST, b"").await, ACK);
    soon(server.shutdown(Duration::from_secs(5))).await;
    match client.option(OPT_INFO, &info("mail")).await {
        Ok(replies) => assert_eq!(replies[0].0, 0x8000_0007),
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::InvalidData),
    }
    assert!(soon(client.is_closed()).await);
}

#[tokio::test]
async fn a_request_may_come_in_one_go_with_the_negotiation() {
    let server = serve(memory());
    let mut client = connect(&server).await;
    let (cookie, request) = client.encode((WRITE, 0, 0, 3), b"abc");
    let bytes = [option(OPT_EXPORT_NAME, b"mail"), request].concat();
    client.stream.write_all(&bytes).await.unwrap();
    let mut facts = [0; 10];
    client.stream.read_exact(&mut facts).await.unwrap();
    assert_eq!(soon(client.finish(cookie)).await.unwrap().errno, 0);
    assert_eq!(client.read(0, 3).await, b"abc");
    until(|| server.sessions().len() == 1).await;
}
