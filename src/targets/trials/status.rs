//! Claims about what is told of extents.

use super::client::*;
use super::{SECTORS, connect, memory, serve};

/// The descriptors of each chunk, by the number of its context.
fn told(form: Form, outcome: &Outcome) -> Vec<(u64, Vec<(u64, u64)>)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    let (kind, head, one) = if form == Form::Extended { (6, 8, 16) } else { (5, 4, 8) };
    let chunk = |(told, payload): &(u16, Vec<u8>)| {
        assert_eq!(*told, kind);
        let pairs = payload[head..].chunks(one);
        let pairs = pairs.map(|pair| (number(&pair[..one / 2]), number(&pair[one / 2..])));
        (number(&payload[..4]), pairs.collect())
    };
    outcome.chunks.iter().map(chunk).collect()
}

const ALL: [&str; 2] = ["base:allocation", "tidemark:since:m"];

#[tokio::test]
async fn allocation_and_contexts_are_told_byte_by_byte() {
    for form in [Form::Structured, Form::Extended] {
        let server = serve(memory());
        let mut client = connect(&server).await;
        client.agree(form).await;
        assert_eq!(client.last(OPT_SET_META, &meta("mail", &ALL)).await, ACK);
        client.go("mail").await;
        client.write(8192, &[1; 4096]).await;
        let outcome = client.ask((STATUS, 0, 100, 16_000), b"").await;
        let expected = [
            (1, vec![(8092, 3), (4096, 0), (3812, 3)]),
            (2, vec![(3996, 0), (4096, 1), (4096, 0), (3812, 1)]),
        ];
        assert_eq!(told(form, &outcome), expected);
        let outcome = client.ask((STATUS, REQ_ONE, 8200, 100), b"").await;
        assert_eq!(told(form, &outcome), [(1, vec![(100, 0)]), (2, vec![(100, 0)])]);
        assert_eq!(client.errno((STATUS, 0, 0, 0)).await, EINVAL);
    }
}

#[tokio::test]
async fn a_payload_chooses_among_the_contexts() {
    let server = serve(memory());
    let mut client = connect(&server).await;
    client.agree(Form::Extended).await;
    assert_eq!(client.last(OPT_SET_META, &meta("mail", &ALL)).await, ACK);
    client.go("mail").await;
    let mut ask = async |len: u64, ids: &[u32]| {
        let ids = ids.iter().flat_map(|id| id.to_be_bytes());
        let payload: Vec<u8> = len.to_be_bytes().into_iter().chain(ids).collect();
        client.ask((STATUS, 0, 4096, payload.len() as u64), &payload).await
    };
    let outcome = ask(8192, &[2]).await;
    assert_eq!(told(Form::Extended, &outcome), [(2, vec![(4096, 1), (4096, 0)])]);
    assert_eq!(told(Form::Extended, &ask(8192, &[2, 1]).await).len(), 2);
    for (len, ids) in [(8192, &[3][..]), (8192, &[1, 1]), (8192, &[]), (0, &[1])] {
        assert_eq!(ask(len, ids).await.errno, EINVAL, "{len} {ids:?}");
    }
    assert_eq!(ask(SECTORS * 512, &[1]).await.errno, EINVAL, "past the end");
    assert_eq!(ask(SECTORS * 512 - 4096, &[1]).await.errno, 0);
}
