use super::{NONCE_LIFETIME, ProvenRequest, SharedSecretError};
use crate::{
    accounts::{NewAccount, RegistrationPolicy},
    testing::World,
};

fn world() -> World {
    let shared_secret = "shared".to_owned();
    World::with(RegistrationPolicy { shared_secret, ..RegistrationPolicy::default() })
}

fn request(nonce: &str, proof: &str) -> ProvenRequest {
    ProvenRequest {
        nonce: nonce.to_owned(),
        username: "pepper_roni".to_owned(),
        password: "pizza-pizza".to_owned(),
        admin: true,
        user_type: None,
        proof: proof.to_owned(),
    }
}

fn prove(request: &ProvenRequest, secret: &str) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    let role = if request.admin { "admin" } else { "notadmin" };
    let parts = [&*request.nonce, &request.username, &request.password, role].join("\0");
    mac.update(parts.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn register(world: &World, request: ProvenRequest) -> Result<(), SharedSecretError> {
    let account = NewAccount::default();
    world.services.shared_secret.register(request, account).await.map(|_| ())
}

#[tokio::test]
async fn whoever_knows_the_secret_makes_an_administrator() {
    let world = world();
    let mut request = request(&world.services.shared_secret.nonce().unwrap(), "");
    request.proof = prove(&request, "shared");
    register(&world, request.clone()).await.unwrap();
    assert!(world.services.accounts.find("pepper_roni").await.unwrap().unwrap().admin);
    let again = register(&world, request).await;
    assert!(matches!(again, Err(SharedSecretError::UnknownNonce)));
}

#[tokio::test]
async fn a_wrong_proof_makes_nothing() {
    let world = world();
    let secrets = ["", "Shared"];
    for secret in secrets {
        let mut request = request(&world.services.shared_secret.nonce().unwrap(), "");
        request.proof = prove(&request, secret);
        let answer = register(&world, request).await;
        assert!(matches!(answer, Err(SharedSecretError::WrongProof)));
    }
    for proof in ["", "0", "zz", "ünïcode"] {
        let request = request(&world.services.shared_secret.nonce().unwrap(), proof);
        let answer = register(&world, request).await;
        assert!(matches!(answer, Err(SharedSecretError::WrongProof)), "{proof}");
    }
    assert!(world.services.accounts.find("pepper_roni").await.unwrap().is_none());
}

#[tokio::test]
async fn the_proof_covers_who_becomes_an_administrator() {
    let world = world();
    let mut request = request(&world.services.shared_secret.nonce().unwrap(), "");
    request.admin = false;
    request.proof = prove(&request, "shared");
    request.admin = true;
    assert!(matches!(register(&world, request).await, Err(SharedSecretError::WrongProof)));
}

#[tokio::test]
async fn a_nonce_does_not_wait_forever() {
    let world = world();
    let mut request = request(&world.services.shared_secret.nonce().unwrap(), "");
    request.proof = prove(&request, "shared");
    world.clock.advance(NONCE_LIFETIME);
    assert!(matches!(register(&world, request).await, Err(SharedSecretError::UnknownNonce)));
}

/// S30: an empty secret is none, not one that everybody knows.
#[tokio::test]
async fn without_a_secret_there_is_no_such_registration() {
    let world = World::new();
    assert!(matches!(world.services.shared_secret.nonce(), Err(SharedSecretError::Disabled)));
    let mut request = request("nonce", "");
    request.proof = prove(&request, "");
    assert!(matches!(register(&world, request).await, Err(SharedSecretError::Disabled)));
}
