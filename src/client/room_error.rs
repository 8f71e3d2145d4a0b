//! How errors of writing to rooms look to clients.

use http::StatusCode;
use serde_json::json;
use services::rooms::{
    WriteError, create::CreateError, directory::AliasError, join::JoinError, receive::ReceiveError,
    remote::RemoteError,
};
use web::ErrorKind;

use super::error::Error;

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::UnknownRoom | WriteError::NotJoined => {
                Self(web::Error::forbidden("You are not in the room"))
            }
            WriteError::UnsupportedVersion(error) => {
                Self(web::Error::bad_request(ErrorKind::UnsupportedRoomVersion, error.to_string()))
            }
            WriteError::Forbidden(error) => Self(web::Error::forbidden(error.to_string())),
            WriteError::Refused(why) => Self(web::Error::forbidden(why)),
            WriteError::BadContent(why) => Self(web::Error::bad_json(why)),
            WriteError::CannotAuthorise => {
                Self(web::Error::forbidden("Nobody here may authorise the join"))
            }
            WriteError::StillInRoom => {
                Self(web::Error::bad_request(ErrorKind::Unknown, "You have not left the room"))
            }
            WriteError::Build(model::build::BuildError::TooLarge(error)) => {
                Self(web::Error::too_large(error.to_string()))
            }
            WriteError::Build(error) => Self(web::Error::bad_json(error.to_string())),
            WriteError::Commit(error) => error.into(),
            WriteError::Store(error) => error.into(),
            error @ (WriteError::Contended
            | WriteError::MissingAuthEvent
            | WriteError::Unresolvable(_)
            | WriteError::NeedsRows) => Self(web::Error::internal(error)),
        }
    }
}

impl From<AliasError> for Error {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::Invalid => Self(web::Error::invalid_param("That is no alias")),
            AliasError::PointsElsewhere => {
                let message = "The alias does not point to the room";
                Self(web::Error::bad_request(ErrorKind::BadAlias, message))
            }
            AliasError::Write(error) => error.into(),
        }
    }
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::AliasInUse => {
                Self(web::Error::bad_request(ErrorKind::RoomInUse, "The alias is taken"))
            }
            CreateError::InvalidState(error) => {
                Self(web::Error::bad_request(ErrorKind::InvalidRoomState, error.to_string()))
            }
            CreateError::BadContent(why) => Self(web::Error::bad_json(why)),
            CreateError::Write(error) => error.into(),
        }
    }
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::NoServers => Self(web::Error::not_found("No known server is in the room")),
            JoinError::Remote(error) | JoinError::Receive(ReceiveError::Remote(error)) => {
                error.into()
            }
            JoinError::Receive(error @ (ReceiveError::Incomplete | ReceiveError::Withheld)) => {
                Self(bad_gateway().caused_by(error))
            }
            JoinError::Write(error) | JoinError::Receive(ReceiveError::Write(error)) => {
                error.into()
            }
        }
    }
}

impl From<RemoteError> for Error {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Refused { status, errcode, message, .. } if status < 500 => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                Self(web::Error::new(status, kind(&errcode), message))
            }
            error @ (RemoteError::Refused { .. }
            | RemoteError::Unreachable
            | RemoteError::NoKeys
            | RemoteError::BadAnswer(_)) => Self(bad_gateway().caused_by(error)),
        }
    }
}

fn bad_gateway() -> web::Error {
    let message = "The other server is of no help at the moment";
    web::Error::new(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, message)
}

/// The code as it is, if it is one of Matrix'.
fn kind(errcode: &str) -> ErrorKind {
    serde_json::from_value(json!({ "errcode": errcode })).unwrap_or(ErrorKind::Unknown)
}
