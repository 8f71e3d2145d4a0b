//! `POST /register` and what goes with it.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#account-registration-and-management>

use std::sync::Arc;

use axum::Extension;
use ruma::api::client::account::{
    check_registration_token_validity, get_username_availability,
    register::{LoginType, RegistrationKind, v3::Request},
};
use serde_json::{Map, Value, json};
use services::{
    accounts::{NameError, NewAccount, RegisterError, Registered},
    appservices::Appservice,
    sessions::{NewSession, OpenSession, SessionError},
    uia::{Operation, Stage},
};
use web::{ErrorKind, Json, Matrix, MatrixWithBody};

use super::{appservice::CallingAppservice, error::Error, uia};
use crate::{app::App, http::Origin};

/// `POST /_matrix/client/v3/register`
pub(crate) async fn register(
    Extension(app): Extension<App>,
    Extension(origin): Extension<Origin>,
    CallingAppservice(appservice): CallingAppservice,
    MatrixWithBody(request, body): MatrixWithBody<Request>,
) -> Result<Json<Value>, Error> {
    if request.login_type == Some(LoginType::ApplicationService) {
        return register_for_appservice(&app, &appservice?, request).await;
    }
    let flows = flows(&app);
    if flows.is_empty() {
        return Err(web::Error::forbidden("Registration is closed").into());
    }
    if request.kind != RegistrationKind::User {
        let message = "Guests cannot register here";
        let kind = ErrorKind::GuestAccessForbidden;
        return Err(web::Error::new(http::StatusCode::FORBIDDEN, kind, message).into());
    }
    // "The server should check that the name is available before the authentication."
    if let Some(username) = &request.username {
        app.services.accounts.check_available(username).await?;
    }
    let attempt = uia::attempt(&body)?;
    if attempt.as_ref().is_some_and(|attempt| attempt.proof.is_some()) {
        app.limits.registration(origin.address)?;
        if request.password.is_none() {
            return Err(web::Error::missing_param("The password is missing").into());
        }
    }
    // Clients ask for the flows with an empty body and complete it later.
    let endpoint = "POST /register".to_owned();
    let operation = Operation { user: None, endpoint, body: None };
    app.services.uia.check(&operation, &flows, attempt).await?;
    let registered = app.services.accounts.register(new_account(request)).await?;
    Ok(Json(Value::Object(answer(registered))))
}

/// Nobody need prove anything else: the appservice's token is enough. The user gets no password.
async fn register_for_appservice(
    app: &App,
    appservice: &Arc<Appservice>,
    request: Request,
) -> Result<Json<Value>, Error> {
    let new = new_account(request);
    let missing = || web::Error::missing_param("The username is missing");
    let username = new.username.ok_or_else(missing)?;
    let registered = app.services.actors.register(appservice, username, new.session).await?;
    Ok(Json(Value::Object(answer(registered))))
}

fn flows(app: &App) -> Vec<Vec<Stage>> {
    let policy = app.services.accounts.policy();
    let mut flows = Vec::new();
    if policy.open {
        flows.push(vec![Stage::Dummy]);
    }
    if !policy.tokens.is_empty() {
        flows.push(vec![Stage::RegistrationToken]);
    }
    flows
}

fn new_account(request: Request) -> NewAccount {
    let session = NewSession {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refreshable: request.refresh_token,
    };
    NewAccount {
        username: request.username,
        password: request.password,
        session: (!request.inhibit_login).then_some(session),
        ..NewAccount::default()
    }
}

pub(super) fn answer(registered: Registered) -> Map<String, Value> {
    match registered.session {
        Some(session) => session_answer(session),
        None => Map::from_iter([("user_id".to_owned(), json!(registered.user_id))]),
    }
}

/// A session as the client is told of it.
pub(super) fn session_answer(session: OpenSession) -> Map<String, Value> {
    let mut answer = tokens_answer(&session);
    answer.insert("user_id".to_owned(), json!(session.user_id));
    answer.insert("device_id".to_owned(), json!(session.device_id));
    answer.insert("home_server".to_owned(), json!(session.user_id.server_name()));
    answer
}

pub(super) fn tokens_answer(session: &OpenSession) -> Map<String, Value> {
    let mut answer = Map::from_iter([("access_token".to_owned(), json!(session.access_token))]);
    if let Some(refresh_token) = &session.refresh_token {
        answer.insert("refresh_token".to_owned(), json!(refresh_token));
    }
    if let Some(expires_in) = session.expires_in {
        answer.insert("expires_in_ms".to_owned(), json!(expires_in.as_millis() as u64));
    }
    answer
}

/// `GET /_matrix/client/v3/register/available`
pub(crate) async fn get_username_availability(
    Extension(app): Extension<App>,
    Extension(origin): Extension<Origin>,
    Matrix(request): Matrix<get_username_availability::v3::Request>,
) -> Result<Json<Value>, Error> {
    app.limits.login(origin.address)?;
    app.services.accounts.check_available(&request.username).await?;
    Ok(Json(json!({ "available": true })))
}

/// `GET /_matrix/client/v1/register/m.login.registration_token/validity`
pub(crate) async fn check_registration_token_validity(
    Extension(app): Extension<App>,
    Extension(origin): Extension<Origin>,
    Matrix(request): Matrix<check_registration_token_validity::v1::Request>,
) -> Result<Json<Value>, Error> {
    app.limits.login(origin.address)?;
    let valid = app.services.uia.is_registration_token(&request.token);
    Ok(Json(json!({ "valid": valid })))
}

impl From<RegisterError> for Error {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Name(error) => error.into(),
            RegisterError::WeakPassword { .. } => {
                let kind = ErrorKind::WeakPassword;
                web::Error::bad_request(kind, error.to_string()).into()
            }
            RegisterError::LongPassword => web::Error::invalid_param(error.to_string()).into(),
            RegisterError::Password(error) => web::Error::internal(error).into(),
            RegisterError::Session(error) => error.into(),
            RegisterError::Read(error) => error.into(),
            RegisterError::Commit(error) => error.into(),
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        let kind = match error {
            NameError::Invalid => ErrorKind::InvalidUsername,
            NameError::InUse => ErrorKind::UserInUse,
            NameError::Reserved => ErrorKind::Exclusive,
        };
        web::Error::bad_request(kind, error.to_string()).into()
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::InvalidDeviceId => web::Error::invalid_param(error.to_string()).into(),
            SessionError::Refused => web::Error::forbidden(error.to_string()).into(),
            SessionError::Read(error) => error.into(),
            SessionError::Commit(error) => error.into(),
        }
    }
}
