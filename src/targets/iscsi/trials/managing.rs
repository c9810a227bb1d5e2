//! Claims about task management.

use std::sync::Arc;

use super::super::pdu::wire::at;
use super::initiator::Initiator;
use super::{EAGER, enter, memory, serve, until};
use crate::trials::doubles::Held;

/// The answer to a function.
async fn managed(initiator: &mut Initiator, function: u8, referenced: u32, ref_cmd_sn: u32) -> u8 {
    let head = initiator.manage(function, referenced, ref_cmd_sn);
    initiator.send(head, &[]).await;
    let answer = initiator.next().await;
    assert_eq!((answer.head.opcode(), answer.head.itt()), (0x22, head.itt()));
    answer.head.0[at::RESPONSE]
}

#[tokio::test]
async fn an_aborted_write_gets_no_answer_and_its_data_is_passed_over() {
    let server = serve(&memory());
    let mut initiator = enter(&server, &[]).await;
    let head = initiator.transfer(true, 0, 2);
    initiator.send(head, &[]).await;
    let r2t = initiator.next().await;
    assert_eq!(managed(&mut initiator, 1, head.itt(), head.cmd_sn()).await, 0);
    let late = Initiator::data_out(head.itt(), r2t.head.ttt(), (0, 0), true);
    initiator.send(late, &[7; 1024]).await;
    assert_eq!(initiator.ping(b"on").await.data, b"on");
    assert_eq!(initiator.read(0, 2).await, [0; 1024]);
}

#[tokio::test]
async fn an_abort_is_answered_when_the_disk_has_let_go() {
    let held = Held::new(memory());
    let server = serve(&(Arc::clone(&held) as disk::AnyDisk));
    let mut initiator = enter(&server, EAGER).await;
    let head = initiator.transfer(true, 0, 1);
    initiator.send(head, &[7; 512]).await;
    until(|| held.waiting() == 1).await;
    let abort = initiator.manage(1, head.itt(), head.cmd_sn());
    initiator.send(abort, &[]).await;
    assert_eq!(initiator.ping(b"first").await.data, b"first", "it is not answered yet");
    held.open();
    let answer = initiator.next().await;
    assert_eq!((answer.head.opcode(), answer.head.0[at::RESPONSE]), (0x22, 0));
    assert_eq!(initiator.ping(b"last").await.data, b"last", "and the write is not");
}

#[tokio::test]
async fn a_command_may_be_aborted_before_it_came() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    let lost = initiator.transfer(true, 0, 1);
    assert_eq!(managed(&mut initiator, 1, lost.itt(), lost.cmd_sn()).await, 0);
    initiator.send(lost, &[7; 512]).await;
    assert_eq!(initiator.read(0, 1).await, [0; 512], "it was passed over");
    assert_eq!(managed(&mut initiator, 1, lost.itt(), lost.cmd_sn()).await, 1, "long gone");
}

#[tokio::test]
async fn a_reset_ends_what_waits_and_functions_that_there_are_not_are_refused() {
    let server = serve(&memory());
    let mut initiator = enter(&server, &[]).await;
    for function in [2, 4, 5, 6] {
        let head = initiator.transfer(true, 0, 2);
        initiator.send(head, &[]).await;
        assert_eq!(initiator.next().await.head.opcode(), 0x31);
        let none = Initiator::no_tag();
        assert_eq!(managed(&mut initiator, function, none, 0).await, 0, "{function}");
        initiator.settle().await;
    }
    assert_eq!(managed(&mut initiator, 8, 1, 1).await, 4);
    assert_eq!(managed(&mut initiator, 77, 1, 1).await, 5);
}

#[tokio::test]
async fn a_cold_reset_ends_all_sessions_of_the_target() {
    let server = serve(&memory());
    let mut other = super::connect(&server);
    other.isid += 0x10000;
    other.log_in(super::OPEN, &[]).await;
    let mut initiator = enter(&server, &[]).await;
    assert_eq!(managed(&mut initiator, 7, Initiator::no_tag(), 0).await, 0);
    assert!(initiator.is_closed().await && other.is_closed().await);
    until(|| server.sessions().is_empty()).await;
    let mut next = enter(&server, &[]).await;
    assert_eq!(next.read(0, 1).await, [0; 512]);
}
