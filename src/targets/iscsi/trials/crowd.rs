//! Claims about many initiators at once, and about hostile ones.

use super::super::doubles::OPEN;
use super::{EAGER, connect, enter, memory, pattern, serve, until};

#[tokio::test]
async fn sixty_four_sessions_work_at_once() {
    let server = serve(&memory());
    let mut all = Vec::new();
    for n in 0..64u64 {
        let mut initiator = connect(&server);
        initiator.isid += n << 16;
        assert_eq!(initiator.log_in(OPEN, EAGER).await.head.half(36), 0);
        initiator.settle().await;
        all.push(initiator);
    }
    assert_eq!(server.sessions().len(), 64);
    let mut work = tokio::task::JoinSet::new();
    for (n, mut initiator) in all.into_iter().enumerate() {
        work.spawn(async move {
            let start = u32::try_from(n * 64).unwrap();
            let data: Vec<u8> =
                pattern(4096).into_iter().map(|byte| byte ^ u8::try_from(n).unwrap()).collect();
            for _ in 0..20 {
                assert_eq!(initiator.write(start, &data).await, 0);
                assert!(initiator.read(start, 8).await == data);
            }
        });
    }
    while let Some(done) = super::soon(work.join_next()).await {
        done.unwrap();
    }
}

#[tokio::test]
async fn idle_strangers_make_room_for_a_login() {
    let server = serve(&memory());
    let strangers: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    until(|| server.totals().turned_away >= 168).await;
    let mut initiator = enter(&server, EAGER).await;
    assert_eq!(initiator.read(0, 1).await, [0; 512]);
    drop(strangers);
}

#[tokio::test]
async fn more_commands_than_fit_are_all_answered() {
    let server = serve(&memory());
    let mut initiator = enter(&server, &[("MaxRecvDataSegmentLength", "262144")]).await;
    // Each reads eight mebibytes: many times what a session may hold.
    let mut tags = Vec::new();
    for _ in 0..20 {
        let head = initiator.transfer(false, 0, 16 << 10);
        initiator.send(head, &[]).await;
        tags.push(head.itt());
    }
    let mut bytes = 0;
    let mut ended = 0;
    while ended < tags.len() {
        let pdu = initiator.next().await;
        assert!(tags.contains(&pdu.head.itt()));
        bytes += pdu.data.len();
        ended += usize::from(pdu.head.flags() & 1);
    }
    assert_eq!(bytes, 20 * (8 << 20));
}
