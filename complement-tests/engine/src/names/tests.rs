//! Questions as a resolver asks them.

use std::{net::Ipv4Addr, str::FromStr};

use hickory_resolver::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

use super::answer;

const HS1: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 2);

fn ask(name: &str, kind: RecordType) -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    let find = |name: &str| (name == "hs1").then_some(HS1);
    let answer = answer(&question.to_vec().unwrap(), find).unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    assert_eq!(answer.queries, question.queries);
    answer
}

#[test]
fn a_homeserver_has_its_address_in_any_case() {
    for name in ["hs1.", "HS1."] {
        let answer = ask(name, RecordType::A);
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert!(matches!(&answer.answers[0].data, RData::A(address) if address.0 == HS1));
    }
}

#[test]
fn a_homeserver_has_no_other_records() {
    let answer = ask("hs1.", RecordType::AAAA);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.answers.is_empty());
}

#[test]
fn a_service_and_another_name_do_not_exist() {
    for (name, kind) in [("_matrix-fed._tcp.hs1.", RecordType::SRV), ("hs2.", RecordType::A)] {
        assert_eq!(ask(name, kind).metadata.response_code, ResponseCode::NXDomain);
    }
}

#[test]
fn what_is_no_question_gets_no_answer() {
    assert!(answer(b"hello", |_| None).is_none());
}
