//! Claims about CHAP.

use proptest::prelude::*;

use super::*;

struct Book;

impl ChapBook for Book {
    fn secret(&self, user: &str) -> Option<Secret> {
        matches!(user, "mail" | "0x1234abcd").then(|| Secret::new(b"twelve bytes".to_vec()))
    }

    fn own(&self) -> Option<(String, Secret)> {
        Some(("appliance".to_owned(), Secret::new(b"another secret".to_vec())))
    }

    fn digests(&self) -> Vec<ChapDigest> {
        vec![ChapDigest::Sha3_256, ChapDigest::Md5]
    }
}

fn challenge(digest: ChapDigest) -> Challenge {
    Challenge { digest, id: 7, bytes: [9; CHALLENGE_LEN] }
}

fn answer(challenge: &Challenge, secret: &[u8]) -> Vec<u8> {
    challenge.digest.answer(challenge.id, &Secret::new(secret.to_vec()), &challenge.bytes)
}

const ALL: [ChapDigest; 4] =
    [ChapDigest::Md5, ChapDigest::Sha1, ChapDigest::Sha256, ChapDigest::Sha3_256];

#[test]
fn answers_are_those_of_the_digests() {
    // The digests of one byte 0x01 followed by "abc", from another program.
    let secret = Secret::new(b"ab".to_vec());
    let expected = [
        "0x1083241950b0ae7a1bbc0bac319dacca",
        "0x722a098c1efa81d8cbb20abe398068ed4109c66c",
        "0x1e18834c426d00e57788444cb3ccd62c771b420c095bb0c4e040a8c122c4570d",
        "0x905819d59ce211099512320aa1b50d9cf4402d47eea2aebd808adb17c06808f5",
    ];
    assert_eq!(ALL.map(|digest| hex(&digest.answer(1, &secret, b"c"))), expected);
}

#[test]
fn only_the_right_secret_of_a_known_user_is_right() {
    for digest in ALL {
        let challenge = challenge(digest);
        let right = hex(&answer(&challenge, b"twelve bytes"));
        let wrong = hex(&answer(&challenge, b"twelve bytez"));
        let judge =
            |user, answer: &str| challenge.judge(&Book, &Reply { user, answer, asks: None });
        assert_eq!(judge("mail", &right), Verdict::Right(None));
        assert_eq!(judge("0x1234abcd", &right), Verdict::Right(None), "a literal name");
        assert_eq!(
            judge("mail", &right.to_uppercase().replacen("0X", "0x", 1)),
            Verdict::Right(None)
        );
        for (user, answer) in [
            ("mail", wrong.as_str()),
            ("nobody", &right),
            ("mail", ""),
            ("mail", "0x"),
            ("mail", &right[..right.len() - 2]),
            ("mail", &format!("{right}00")),
        ] {
            assert_eq!(judge(user, answer), Verdict::Wrong, "{user} {answer}");
        }
        let fallback = hex(&answer_with_challenge_as_secret(&challenge));
        assert_eq!(judge("nobody", &fallback), Verdict::Wrong);
    }
}

fn answer_with_challenge_as_secret(challenge: &Challenge) -> Vec<u8> {
    answer(challenge, &challenge.bytes)
}

#[test]
fn the_target_proves_itself_to_whoever_did() {
    let challenge = challenge(ChapDigest::Sha256);
    let right = hex(&answer(&challenge, b"twelve bytes"));
    let reply = Reply { user: "mail", answer: &right, asks: Some(("3", "0bAQID")) };
    let own = ChapDigest::Sha256.answer(3, &Secret::new(b"another secret".to_vec()), &[1, 2, 3]);
    let expected = Some(("appliance".to_owned(), hex(&own)));
    assert_eq!(challenge.judge(&Book, &reply), Verdict::Right(expected));
    let wrong = Reply { answer: "0x00", ..reply };
    assert_eq!(challenge.judge(&Book, &wrong), Verdict::Wrong, "nothing is told to a stranger");
}

#[test]
fn a_challenge_that_comes_back_is_not_answered() {
    let challenge = challenge(ChapDigest::Md5);
    let right = hex(&answer(&challenge, b"twelve bytes"));
    let mirrored = hex(&challenge.bytes);
    let reply = Reply { user: "mail", answer: &right, asks: Some(("7", &mirrored)) };
    assert_eq!(challenge.judge(&Book, &reply), Verdict::Wrong);
    let other = Reply { asks: Some(("8", &mirrored)), ..reply };
    assert_eq!(challenge.judge(&Book, &other), Verdict::Wrong, "whatever its number");
}

#[test]
fn binary_values_are_hexadecimal_or_base64() {
    assert_eq!(binary("0xAbc"), Some(vec![0x0a, 0xbc]));
    assert_eq!(binary("0bTWlkZQ=="), Some(b"Mide".to_vec()));
    assert_eq!(binary("0BTWlkZQ"), Some(b"Mide".to_vec()));
    for text in ["", "0", "12", "0xg0", "0bA", "0bAA===", "0bA*A=", "é"] {
        assert_eq!(binary(text), None, "{text}");
    }
    let long = hex(&[1; BINARY_LEN_MAX + 1]);
    assert_eq!(binary(&long), None);
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", Secret::new(b"twelve bytes".to_vec())), "Secret");
}

proptest! {
    #[test]
    fn what_was_written_as_hexadecimal_is_read_again(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(binary(&hex(&bytes)), Some(bytes));
    }

    #[test]
    fn any_text_is_survived(text in ".{0,100}") {
        let _ = binary(&text);
        let _ = binary(&format!("0b{text}"));
    }
}
