//! S35.

use super::{Attempt, Challenge, Operation, Proof, Refusal, SESSION_LIFETIME, Stage, UiaError};
use crate::{
    accounts::RegistrationPolicy,
    testing::{PASSWORD, World},
};

const PASSWORD_FLOW: [&[Stage]; 1] = [&[Stage::Password]];

fn deletion(user: &str, device: &str) -> Operation {
    let endpoint = format!("DELETE /devices/{device}");
    Operation { user: Some(user.to_owned()), endpoint, body: Some([0; 32]) }
}

fn password(user: Option<&str>, password: &str) -> Option<Proof> {
    let (user, password) = (user.map(ToOwned::to_owned), password.to_owned());
    Some(Proof::Password { user, password })
}

impl World {
    async fn check(
        &self,
        operation: &Operation,
        flows: &[&[Stage]],
        session: Option<&str>,
        proof: Option<Proof>,
    ) -> Result<(), UiaError> {
        let flows: Vec<Vec<Stage>> = flows.iter().map(|flow| flow.to_vec()).collect();
        let session = session.map(ToOwned::to_owned);
        self.services.uia.check(operation, &flows, Some(Attempt { session, proof })).await
    }

    async fn challenge(&self, operation: &Operation) -> Challenge {
        challenge(self.check(operation, &PASSWORD_FLOW, None, None).await)
    }
}

fn challenge(answer: Result<(), UiaError>) -> Challenge {
    match answer {
        Err(UiaError::Challenged(challenge)) => *challenge,
        answer => panic!("not challenged: {answer:?}"),
    }
}

#[tokio::test]
async fn the_callers_password_completes_the_session_once() {
    let world = World::new();
    world.register("alice").await;
    let operation = deletion("alice", "D1");
    let session = world.challenge(&operation).await.session;
    let check = async |proof| world.check(&operation, &PASSWORD_FLOW, Some(&session), proof).await;
    let refused = challenge(check(password(None, "wrong")).await);
    assert_eq!(refused.refusal, Some(Refusal::WrongPassword));
    assert_eq!(refused.session, session);
    check(password(Some("alice"), PASSWORD)).await.unwrap();
    let used = challenge(check(None).await);
    assert_ne!(used.session, session, "a completed session is gone");
    assert_eq!(used.completed, []);
}

#[tokio::test]
async fn a_proof_without_a_session_counts() {
    let world = World::new();
    world.register("alice").await;
    let proof = password(Some("@alice:acme.example"), PASSWORD);
    world.check(&deletion("alice", "D1"), &PASSWORD_FLOW, None, proof).await.unwrap();
}

#[tokio::test]
async fn a_session_is_for_one_user_one_operation_and_one_body() {
    let world = World::new();
    world.register("alice").await;
    world.register("mallory").await;
    let operation = deletion("alice", "D1");
    let others = [
        deletion("mallory", "D1"),
        deletion("alice", "D2"),
        Operation { body: Some([1; 32]), ..operation.clone() },
    ];
    let session = world.challenge(&operation).await.session;
    for other in others {
        let proof = password(None, PASSWORD);
        let answer = world.check(&other, &PASSWORD_FLOW, Some(&session), proof).await;
        assert!(matches!(answer, Err(UiaError::OtherOperation)), "{other:?}");
    }
}

#[tokio::test]
async fn the_password_of_another_user_proves_nothing() {
    let world = World::new();
    world.register("alice").await;
    world.register("mallory").await;
    let named = ["mallory", "@mallory:acme.example", "@alice:elsewhere.example", ""];
    for named in named {
        let proof = password(Some(named), PASSWORD);
        let answer = world.check(&deletion("alice", "D1"), &PASSWORD_FLOW, None, proof).await;
        assert!(matches!(answer, Err(UiaError::OtherUser)), "{named}");
    }
}

#[tokio::test]
async fn a_stage_that_is_not_offered_does_not_count() {
    let world = World::new();
    world.register("alice").await;
    for proof in [Proof::Dummy, Proof::RegistrationToken(String::new()), Proof::Other] {
        let operation = deletion("alice", "D1");
        let answer = world.check(&operation, &PASSWORD_FLOW, None, Some(proof)).await;
        assert_eq!(challenge(answer).refusal, Some(Refusal::NotOffered));
    }
}

#[tokio::test]
async fn every_stage_of_a_flow_is_needed() {
    let tokens = vec!["welcome".to_owned(), "guest".to_owned()];
    let world = World::with(RegistrationPolicy { tokens, ..RegistrationPolicy::default() });
    let operation = Operation { user: None, endpoint: "POST /register".to_owned(), body: None };
    let flows: [&[Stage]; 1] = [&[Stage::RegistrationToken, Stage::Dummy]];
    let check = |session, proof| world.check(&operation, &flows, session, Some(proof));

    let half = challenge(check(None, Proof::Dummy).await);
    assert_eq!(half.completed, [Stage::Dummy]);
    let session = Some(half.session.as_str());
    for wrong in ["", "Welcome", "welcome "] {
        let answer = challenge(check(session, Proof::RegistrationToken(wrong.to_owned())).await);
        assert_eq!(answer.refusal, Some(Refusal::WrongToken), "{wrong:?}");
    }
    check(session, Proof::RegistrationToken("guest".to_owned())).await.unwrap();
}

#[tokio::test]
async fn an_old_session_is_forgotten() {
    let world = World::new();
    world.register("alice").await;
    let operation = deletion("alice", "D1");
    let session = world.challenge(&operation).await.session;
    world.clock.advance(SESSION_LIFETIME);
    let answer = world.check(&operation, &PASSWORD_FLOW, Some(&session), None).await;
    assert_ne!(challenge(answer).session, session);
}
