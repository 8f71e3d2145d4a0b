//! Requests to other servers: encoded by ruma, signed here, carried by the transport.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#request-authentication>

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header::CONTENT_TYPE};
use model::signing_key::SigningKey;
use ruma::{
    ServerName,
    api::{
        EndpointError, IncomingResponseExt, OutgoingRequest, OutgoingRequestExt,
        auth_scheme::{AuthScheme, NoAuthentication},
        error::{DeserializationError, Error as MatrixError, ErrorKind, FromHttpResponseError},
        federation::authentication::{ServerSignatures, XMatrixSigningInput},
        path_builder::SinglePath,
    },
};
use serde_json::{Map, Value};
use services::Context;

use crate::{
    destinations::Contacts,
    transport::{Cost, Pieces, Transport, TransportError},
};

/// Bytes of an answer, unless a request says otherwise. The state of a very large room is the
/// largest that there is.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes of an answer that anybody may make us ask for.
const SMALL_ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Why a request to another server did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It would be a request to ourselves.
    #[error("the server is this one")]
    Ourselves,
    #[error("the request cannot be encoded")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server failed lately and is left alone for a while.
    #[error("the server failed lately and is left alone until {until_ms}")]
    BackingOff { until_ms: u64 },
    #[error("the server cannot be reached")]
    Unreachable(#[source] TransportError),
    #[error("the server took too long")]
    TimedOut,
    /// The server says no.
    #[error("the server refused: {0}")]
    Refused(#[source] Box<MatrixError>),
    /// The answer is too large, or not what the specification says.
    #[error("the server's answer is of no use")]
    BadAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl RequestError {
    /// Matrix's error code, if the server answered with one.
    pub fn kind(&self) -> Option<&ErrorKind> {
        match self {
            Self::Refused(error) => error.error_kind(),
            _ => None,
        }
    }

    /// The status with which the server said no.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(error) => Some(error.status_code),
            _ => None,
        }
    }
}

/// Calls other servers in the name of one homeserver. Cheap to clone.
#[derive(Clone)]
pub struct FederationClient {
    context: Context,
    transport: Arc<Transport>,
    contacts: Arc<Contacts>,
}

/// How a request bears with a server that is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// A server that failed lately is not called before its time has come.
    BackOff,
    /// The same, and that it refuses counts as failing, too.
    BackOffIfRefused,
    /// It is called: a user waits for this very server.
    Insist,
}

impl FederationClient {
    pub fn new(context: Context, transport: Arc<Transport>, contacts: Arc<Contacts>) -> Self {
        Self { context, transport, contacts }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Signs and sends the request. A server that failed lately is not called.
    pub async fn send<R>(
        &self,
        destination: &ServerName,
        request: R,
        time_max: Duration,
    ) -> Result<R::IncomingResponse, RequestError>
    where
        R: OutgoingRequest<
                Authentication = ServerSignatures,
                PathBuilder = SinglePath,
                EndpointError = MatrixError,
            >,
    {
        let request = self.sign(destination, request)?;
        let answer = self.call(destination, request, time_max, Patience::BackOff).await?;
        decode::<R>(&answer)
    }

    /// [`send`](Self::send), even if the server failed lately: for what a user waits for.
    pub async fn insist<R>(
        &self,
        destination: &ServerName,
        request: R,
        time_max: Duration,
    ) -> Result<R::IncomingResponse, RequestError>
    where
        R: OutgoingRequest<
                Authentication = ServerSignatures,
                PathBuilder = SinglePath,
                EndpointError = MatrixError,
            >,
    {
        let request = self.sign(destination, request)?;
        let answer = self.call(destination, request, time_max, Patience::Insist).await?;
        decode::<R>(&answer)
    }

    /// [`send`](Self::send), for what comes again and again whatever the answer: a server that
    /// refuses it is left alone like one that is away.
    pub async fn deliver<R>(
        &self,
        destination: &ServerName,
        request: R,
        time_max: Duration,
    ) -> Result<R::IncomingResponse, RequestError>
    where
        R: OutgoingRequest<
                Authentication = ServerSignatures,
                PathBuilder = SinglePath,
                EndpointError = MatrixError,
            >,
    {
        let request = self.sign(destination, request)?;
        let answer = self.call(destination, request, time_max, Patience::BackOffIfRefused).await?;
        decode::<R>(&answer)
    }

    /// Posts a JSON object and reads one: for answers that are passed on as they came.
    pub async fn post_json(
        &self,
        destination: &ServerName,
        path: &'static str,
        body: &Value,
        time_max: Duration,
    ) -> Result<Map<String, Value>, RequestError> {
        if destination == self.context.server_name {
            return Err(RequestError::Ourselves);
        }
        let encode = |error: http::Error| RequestError::Encode(error.into());
        let json = HeaderValue::from_static("application/json");
        let request = Request::post(path).header(CONTENT_TYPE, json);
        let mut request = request.body(Bytes::from(body.to_string())).map_err(encode)?;
        let key = self.context.signing_key.current();
        ServerSignatures::add_authentication(&mut request, self.signing(&key, destination))
            .map_err(|error| RequestError::Encode(error.into()))?;
        let answer = self.call(destination, request, time_max, Patience::BackOff).await?;
        if !answer.status().is_success() {
            let error = MatrixError::from_http_response(borrowed(&answer));
            return Err(RequestError::Refused(Box::new(error)));
        }
        serde_json::from_slice(answer.body()).map_err(|error| RequestError::BadAnswer(error.into()))
    }

    /// Signs and sends the request; the answer's body comes in pieces, whatever its status. For
    /// media. The time limits the wait for the head and for each piece.
    pub async fn stream<R>(
        &self,
        destination: &ServerName,
        request: R,
        cost: Cost,
    ) -> Result<Response<Pieces>, RequestError>
    where
        R: OutgoingRequest<Authentication = ServerSignatures, PathBuilder = SinglePath>,
    {
        let request = self.sign(destination, request)?;
        self.contacts.may_call(destination)?;
        let _permit = self.contacts.permit(destination).await;
        let started_ms = self.context.clock.now_ms();
        let answer = self.transport.stream(destination, request, cost).await;
        self.judge(destination, started_ms, Patience::BackOff, answer).await
    }

    /// The body of an address that a server redirected us to.
    pub async fn stream_from(
        &self,
        url: &str,
        cost: Cost,
    ) -> Result<Response<Pieces>, RequestError> {
        self.transport.stream_from(url, cost).await.map_err(explain)
    }

    /// Sends a request that needs no signature: for keys. Says nothing about whether the server is
    /// well, because anybody can make us ask for the keys of anybody.
    pub async fn send_unsigned<R>(
        &self,
        destination: &ServerName,
        request: R,
        time_max: Duration,
    ) -> Result<R::IncomingResponse, RequestError>
    where
        R: OutgoingRequest<
                Authentication = NoAuthentication,
                PathBuilder = SinglePath,
                EndpointError = MatrixError,
            >,
    {
        let request = request
            .try_into_http_request::<BytesMut>(BASE, (), ())
            .map_err(|error| RequestError::Encode(error.into()))?;
        let cost = Cost { time_max, bytes_max: SMALL_ANSWER_BYTES_MAX };
        let request = origin_form(request)?;
        let answer = self.transport.send(destination, request, cost).await.map_err(explain)?;
        decode::<R>(&answer)
    }

    fn sign<R>(&self, destination: &ServerName, request: R) -> Result<Request<Bytes>, RequestError>
    where
        R: OutgoingRequest<Authentication = ServerSignatures, PathBuilder = SinglePath>,
    {
        if destination == self.context.server_name {
            return Err(RequestError::Ourselves);
        }
        let key = self.context.signing_key.current();
        let request = request
            .try_into_http_request::<BytesMut>(BASE, self.signing(&key, destination), ())
            .map_err(|error| RequestError::Encode(error.into()))?;
        origin_form(request)
    }

    fn signing<'k>(
        &self,
        key: &'k SigningKey,
        destination: &ServerName,
    ) -> XMatrixSigningInput<'k> {
        let origin = self.context.server_name.clone();
        XMatrixSigningInput::new(origin, destination.to_owned(), key.key_pair())
    }

    async fn call(
        &self,
        destination: &ServerName,
        request: Request<Bytes>,
        time_max: Duration,
        patience: Patience,
    ) -> Result<Response<Bytes>, RequestError> {
        if patience != Patience::Insist {
            self.contacts.may_call(destination)?;
        }
        let cost = Cost { time_max, bytes_max: ANSWER_BYTES_MAX };
        let _permit = self.contacts.permit(destination).await;
        let started_ms = self.context.clock.now_ms();
        let answer = self.transport.send(destination, request, cost).await;
        self.judge(destination, started_ms, patience, answer).await
    }

    /// Remembers whether the server is well.
    async fn judge<T>(
        &self,
        destination: &ServerName,
        started_ms: u64,
        patience: Patience,
        answer: Result<Response<T>, TransportError>,
    ) -> Result<Response<T>, RequestError> {
        let well = match &answer {
            Ok(answer) if patience == Patience::BackOffIfRefused => {
                answer.status().is_success() || is_about_content(answer.status())
            }
            Ok(answer) => !answer.status().is_server_error(),
            Err(error) => !error.is_unreachable(),
        };
        if well {
            self.contacts.answered(destination).await;
        } else {
            self.contacts.failed(destination, started_ms).await;
        }
        answer.map_err(explain)
    }
}

/// Whether the server says that it does not like the content, not that it does not like us.
pub(crate) fn is_about_content(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
    )
}

/// What ruma wants a URL to start with; only the path of it is used.
const BASE: &str = "https://server.invalid";

/// The request as it stands on the wire: its URI is what the signature covers.
fn origin_form(request: Request<BytesMut>) -> Result<Request<Bytes>, RequestError> {
    let mut request = request.map(BytesMut::freeze);
    let path = request.uri().path_and_query().cloned();
    let path = path.ok_or_else(|| RequestError::Encode("the URI has no path".into()))?;
    *request.uri_mut() = Uri::from(path);
    Ok(request)
}

fn decode<R>(answer: &Response<Bytes>) -> Result<R::IncomingResponse, RequestError>
where
    R: OutgoingRequest<EndpointError = MatrixError>,
{
    let response = borrowed(answer);
    if !answer.status().is_success() {
        let error = MatrixError::from_http_response(response);
        return Err(RequestError::Refused(Box::new(error)));
    }
    R::IncomingResponse::try_from_http_response(response).map_err(|error| match error {
        FromHttpResponseError::Server(error) => RequestError::Refused(Box::new(error)),
        FromHttpResponseError::Deserialization(error) => bad_answer(error),
        error => RequestError::BadAnswer(error.into()),
    })
}

/// The answer as ruma reads it.
fn borrowed(answer: &Response<Bytes>) -> Response<&[u8]> {
    let mut response = Response::new(&answer.body()[..]);
    *response.status_mut() = answer.status();
    *response.headers_mut() = HeaderMap::clone(answer.headers());
    response
}

fn bad_answer(error: DeserializationError) -> RequestError {
    RequestError::BadAnswer(error.into())
}

fn explain(error: TransportError) -> RequestError {
    use web::outbound::OutboundError;
    match error {
        TransportError::TimedOut | TransportError::Outbound(OutboundError::Timeout) => {
            RequestError::TimedOut
        }
        error if error.is_unreachable() => RequestError::Unreachable(error),
        error => RequestError::BadAnswer(error.into()),
    }
}
