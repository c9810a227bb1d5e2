//! Claims about the numbers of commands.

use super::super::limits::COMMANDS_MAX;
use super::super::pdu::wire::at;
use super::{EAGER, enter, memory, pattern, serve};

#[tokio::test]
async fn commands_outside_the_window_are_passed_over() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    for wrong in [initiator.cmd_sn - 1, initiator.cmd_sn + COMMANDS_MAX] {
        let right = initiator.cmd_sn;
        let head = initiator.transfer(true, 0, 1).with_word(at::CMD_SN, wrong);
        initiator.send(head, &[9; 512]).await;
        initiator.cmd_sn = right;
        assert_eq!(initiator.ping(b"still").await.data, b"still");
    }
    assert_eq!(initiator.read(0, 1).await, [0; 512]);
}

#[tokio::test]
async fn commands_that_come_early_wait_for_their_turn() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    let (first, second) = (initiator.transfer(true, 0, 1), initiator.transfer(false, 0, 1));
    initiator.send(second, &[]).await;
    assert_eq!(initiator.ping(b"").await.head.opcode(), 0x20, "nothing else is said");
    initiator.send(first, &pattern(512)).await;
    let end = initiator.next().await;
    assert_eq!((end.head.opcode(), end.head.itt()), (0x21, first.itt()));
    let data = initiator.finish_read(second.itt()).await;
    assert_eq!(data, pattern(512), "the read saw the write");
}

#[tokio::test]
async fn answers_are_numbered_one_by_one() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    let first = initiator.ping(b"").await.head;
    for n in 1..20 {
        let pong = initiator.ping(b"").await.head;
        assert_eq!(pong.word(at::CMD_SN), first.word(at::CMD_SN) + n);
        assert_eq!(pong.word(at::EXP_STAT_SN), initiator.cmd_sn, "pings took no number");
        assert_eq!(pong.word(at::CDB), initiator.cmd_sn + COMMANDS_MAX - 1);
    }
}

#[tokio::test]
async fn a_tag_in_use_is_refused() {
    let server = serve(&memory());
    let mut initiator = enter(&server, &[]).await;
    let head = initiator.transfer(true, 0, 2);
    initiator.send(head, &[]).await;
    assert_eq!(initiator.next().await.head.opcode(), 0x31);
    let again = initiator.transfer(true, 0, 2).with_itt(head.itt());
    initiator.send(again, &[]).await;
    let reject = initiator.next().await;
    assert_eq!((reject.head.opcode(), reject.head.0[at::RESPONSE]), (0x3f, 7));
    assert_eq!(initiator.ping(b"on").await.data, b"on");
}

#[tokio::test]
async fn pings_and_unknown_things_are_answered_as_they_should() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    assert_eq!(initiator.ping(&pattern(5001)).await.data, pattern(5001));
    assert_eq!(initiator.ping(&pattern(100_000)).await.data, pattern(8192), "cut to what it takes");
    for (opcode, reason) in [(0x10, 3), (0x1c, 5), (0x03, 4)] {
        let mut initiator = enter(&server, EAGER).await;
        let head = initiator.immediate(opcode, 0x80);
        initiator.send(head, &[]).await;
        let reject = initiator.next().await;
        assert_eq!((reject.head.opcode(), reject.head.0[at::RESPONSE]), (0x3f, reason));
        assert!(initiator.is_closed().await);
    }
}
