//! User-interactive authentication on the wire.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#user-interactive-api-in-the-rest-api>

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use services::uia::{Attempt, Challenge, Operation, Proof, Refusal, Stage, UiaError};
use sha2::{Digest, Sha256};

use super::{caller::Caller, error::Error};
use crate::app::App;

/// The caller proves by his password that it is he who asks for this. `endpoint` names what is
/// done and to what.
pub(super) async fn prove_password(
    app: &App,
    caller: &Caller,
    endpoint: String,
    body: &Bytes,
) -> Result<(), Error> {
    let operation = Operation {
        user: Some(caller.localpart().to_owned()),
        endpoint,
        body: Some(digest_without_auth(body)?),
    };
    let attempt = attempt(body)?;
    Ok(app.services.uia.check(&operation, &[vec![Stage::Password]], attempt).await?)
}

/// The same, but an appservice has proved by its token that it may: its users have no passwords.
pub(super) async fn prove_password_or_appservice(
    app: &App,
    caller: &Caller,
    endpoint: String,
    body: &Bytes,
) -> Result<(), Error> {
    if caller.appservice.is_some() {
        return Ok(());
    }
    prove_password(app, caller, endpoint, body).await
}

/// What the request's body has as its `auth`.
pub(super) fn attempt(body: &Bytes) -> Result<Option<Attempt>, Error> {
    #[derive(Deserialize)]
    struct Body {
        auth: Option<Auth>,
    }
    let Body { auth } = web::json::decode(body)?;
    Ok(auth.map(|auth| Attempt { session: auth.session.clone(), proof: proof(auth) }))
}

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "type")]
    stage: Option<String>,
    session: Option<String>,
    token: Option<String>,
    password: Option<String>,
    identifier: Option<Identifier>,
    /// Where older clients have the user.
    user: Option<String>,
}

#[derive(Deserialize)]
struct Identifier {
    user: Option<String>,
}

fn proof(auth: Auth) -> Option<Proof> {
    Some(match auth.stage?.as_str() {
        "m.login.dummy" => Proof::Dummy,
        "m.login.registration_token" => Proof::RegistrationToken(auth.token.unwrap_or_default()),
        "m.login.password" => Proof::Password {
            user: auth.identifier.and_then(|identifier| identifier.user).or(auth.user),
            password: auth.password.unwrap_or_default(),
        },
        _ => Proof::Other,
    })
}

/// SHA-256 of the body's members but `auth`, in the order of their names.
fn digest_without_auth(body: &Bytes) -> Result<[u8; 32], Error> {
    let mut body: Map<String, Value> = web::json::decode(body)?;
    body.remove("auth");
    Ok(Sha256::digest(Value::Object(body).to_string()).into())
}

fn challenge(challenge: &Challenge) -> web::Error {
    let names = |stages: &[Stage]| stages.iter().map(|stage| name(*stage)).collect::<Vec<_>>();
    let flows = challenge.flows.iter().map(|flow| json!({ "stages": names(flow) }));
    let mut body = Map::new();
    body.insert("session".to_owned(), challenge.session.as_str().into());
    body.insert("flows".to_owned(), flows.collect());
    body.insert("params".to_owned(), json!({}));
    body.insert("completed".to_owned(), names(&challenge.completed).into());
    let refusal = challenge.refusal.map(|refusal| match refusal {
        Refusal::WrongPassword => ("M_FORBIDDEN", "Wrong password"),
        Refusal::WrongToken => ("M_UNAUTHORIZED", "Unknown registration token"),
        Refusal::NotOffered => ("M_UNRECOGNIZED", "This stage is not in any flow"),
    });
    if let Some((code, message)) = refusal {
        body.insert("errcode".to_owned(), code.into());
        body.insert("error".to_owned(), message.into());
    }
    web::Error::challenge(body)
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Dummy => "m.login.dummy",
        Stage::RegistrationToken => "m.login.registration_token",
        Stage::Password => "m.login.password",
    }
}

/// What an endpoint is called in a session: the method and the path's variable part.
pub(super) fn endpoint(what: &str, of: impl AsRef<str>) -> String {
    format!("{what} {}", of.as_ref())
}

impl From<UiaError> for Error {
    fn from(error: UiaError) -> Self {
        match error {
            UiaError::Challenged(challenged) => challenge(&challenged).into(),
            UiaError::OtherOperation => {
                web::Error::forbidden("This session was begun for another request").into()
            }
            UiaError::OtherUser => {
                web::Error::forbidden("Only the user himself can allow this").into()
            }
            UiaError::Password(error) => web::Error::internal(error).into(),
            UiaError::Store(error) => error.into(),
        }
    }
}
