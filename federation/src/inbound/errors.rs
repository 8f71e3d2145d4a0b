//! How the errors of the use cases look to other servers.

use http::StatusCode;
use ruma::api::error::{ErrorKind, IncompatibleRoomVersionErrorData};
use services::rooms::{WriteError, join::JoinError, receive::ReceiveError, remote::RemoteError};
use web::Error;

pub(crate) fn write(error: WriteError) -> Error {
    match error {
        WriteError::UnknownRoom => Error::not_found("This server is not in the room"),
        WriteError::Forbidden(_) | WriteError::NotJoined | WriteError::StillInRoom => {
            Error::forbidden(error.to_string())
        }
        WriteError::Refused(why) => Error::forbidden(why),
        WriteError::BadContent(why) => Error::bad_json(why),
        WriteError::CannotAuthorise => Error::bad_request(
            ErrorKind::UnableToGrantJoin,
            "No user of this server may let others in",
        ),
        WriteError::UnsupportedVersion(_) => {
            Error::bad_request(ErrorKind::UnsupportedRoomVersion, "Unsupported room version")
        }
        WriteError::MissingAuthEvent | WriteError::Build(_) => {
            Error::invalid_param(error.to_string())
        }
        WriteError::Contended => {
            Error::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, error.to_string())
        }
        WriteError::NeedsRows
        | WriteError::Unresolvable(_)
        | WriteError::Commit(_)
        | WriteError::Store(_) => Error::internal(error),
    }
}

pub(crate) fn receive(error: ReceiveError) -> Error {
    match error {
        ReceiveError::Write(error) => write(error),
        ReceiveError::Remote(error) => remote(&error),
        ReceiveError::Incomplete | ReceiveError::Withheld => {
            Error::forbidden("The event's past is not known here")
        }
    }
}

pub(crate) fn join(error: JoinError) -> Error {
    match error {
        JoinError::NoServers => Error::not_found("This server is not in the room"),
        JoinError::Remote(error) => remote(&error),
        JoinError::Receive(error) => receive(error),
        JoinError::Write(error) => write(error),
    }
}

/// What a third server did wrong is not passed on.
pub(crate) fn remote(error: &RemoteError) -> Error {
    match error {
        RemoteError::BadAnswer(what) => Error::forbidden(*what),
        RemoteError::Unreachable | RemoteError::NoKeys | RemoteError::Refused { .. } => {
            Error::new(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, "Another server did not help")
        }
    }
}

/// The other server cannot take part in a room of this version.
pub(crate) fn incompatible(version: ruma::RoomVersionId) -> Error {
    let data = IncompatibleRoomVersionErrorData::new(version);
    Error::bad_request(
        ErrorKind::IncompatibleRoomVersion(data),
        "Your homeserver does not support the features required to join this room",
    )
}
