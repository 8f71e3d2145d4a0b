//! The listening half of a peer: TLS, HTTP, signatures of requests.

use super::{Heard, Room, answers, signing::Key};
use crate::tap::Wire;
use bytes::Bytes;
use harness::{Authority, Http};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use reqwest::Method;
use ruma::{
    ServerName, api::federation::authentication::XMatrix, serde::Base64, signatures::PublicKeyMap,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;

/// Status and body.
pub type Reply = (u16, Value);
type Instead = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A request of another server.
#[derive(Debug)]
pub struct Asked {
    pub method: Method,
    /// Segments below `/_matrix`, decoded.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub body: Value,
}

/// What the listener and the case share.
pub(super) struct Shared {
    pub(super) key: Key,
    pub(super) heard: Heard,
    rooms: Mutex<BTreeMap<String, Room>>,
    instead: Mutex<Vec<(Method, String, Instead)>>,
    keys: tokio::sync::Mutex<PublicKeyMap>,
    http: Http,
    wire: Arc<Wire>,
}

impl Shared {
    pub(super) fn new(name: String, http: Http, wire: Arc<Wire>) -> Self {
        Self {
            key: Key::new(name),
            heard: Heard::default(),
            rooms: Mutex::default(),
            instead: Mutex::default(),
            keys: tokio::sync::Mutex::default(),
            http,
            wire,
        }
    }

    pub(super) fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answer_instead(&self, method: Method, part: &str, answer: Instead) {
        let mut instead = self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        instead.insert(0, (method, part.into(), answer));
    }

    async fn serve(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return (400, json!({})) };
        let request = Request::from_parts(head, body.to_bytes());
        let what = format!("{} {}", request.method(), request.uri().path());
        if !self.wire.reaches_peer(&what) {
            return (200, json!({}));
        }
        self.heard.request(&what);
        if what.contains("/_matrix/federation/")
            && let Err(why) = self.verify(&request).await
        {
            return (401, json!({ "errcode": "M_UNAUTHORIZED", "error": why }));
        }
        let asked = Asked::new(&request);
        let instead = self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        let found = instead
            .iter()
            .find(|(method, part, _)| *method == asked.method && what.contains(part.as_str()));
        match found {
            Some((.., answer)) => answer(&asked),
            None => answers::answer(self, &asked),
        }
    }

    /// Is the request signed by whom it says?
    async fn verify(&self, request: &Request<Bytes>) -> Result<(), String> {
        let text = |e: &dyn std::error::Error| e.to_string();
        let claim = XMatrix::extract_from_http_headers(request.headers()).map_err(|e| text(&e))?;
        let mut keys = self.keys.lock().await;
        if !keys.contains_key(claim.origin.as_str()) {
            let found = self.ask_keys(claim.origin.as_str()).await?;
            keys.insert(claim.origin.to_string(), found);
        }
        let us = <&ServerName>::try_from(self.key.server.as_str()).map_err(|e| text(&e))?;
        claim.verify_http_request(request, us, &keys).map_err(|e| text(&e))
    }

    /// Asks a server for its keys, over TLS, as it is known to the world.
    async fn ask_keys(&self, server: &str) -> Result<BTreeMap<String, Base64>, String> {
        let http = self.http.to(&format!("https://{server}"), server);
        let document = http.call(Method::GET, &["_matrix", "key", "v2", "server"]).attempt().await;
        let document = document.map_err(|lost| lost.0)?.json();
        let keys = document["verify_keys"].as_object().ok_or("no keys")?;
        let keys = keys
            .iter()
            .filter_map(|(id, key)| Some((id.clone(), Base64::parse(key["key"].as_str()?).ok()?)));
        Ok(keys.collect())
    }
}

impl Asked {
    fn new(request: &Request<Bytes>) -> Self {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        // Which host it is does not matter any more.
        let url = reqwest::Url::parse(&format!("https://peer{target}")).expect("a URL");
        let pairs = url.query_pairs();
        let path = url.path_segments().into_iter().flatten().skip(1);
        let decode = |part: &str| {
            let decoded = percent_decode(part);
            String::from_utf8_lossy(&decoded).into_owned()
        };
        Self {
            method: request.method().clone(),
            path: path.map(decode).collect(),
            query: pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect(),
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
        }
    }

    /// The values of a query parameter.
    pub fn query(&self, name: &str) -> Vec<String> {
        let of_name = self.query.iter().filter(|(key, _)| key == name);
        of_name.map(|(_, value)| value.clone()).collect()
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                decoded.push(code);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Listens with the certificate of all test servers.
pub(super) async fn listen(shared: Arc<Shared>, authority: &Authority, port: u16) -> AbortHandle {
    let certificate = CertificateDer::pem_file_iter(authority.certificate_file())
        .expect("the certificate's file")
        .collect::<Result<Vec<_>, _>>()
        .expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(authority.key_file()).expect("a key");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificate, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("0.0.0.0", port)).await.expect("the port is ours");
    tokio::spawn(async move {
        let mut calls = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            calls.spawn(converse(Arc::clone(&shared), acceptor.clone(), stream));
        }
    })
    .abort_handle()
}

async fn converse(shared: Arc<Shared>, acceptor: TlsAcceptor, stream: TcpStream) {
    // Who hangs up or does not speak TLS is no concern of the case.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move {
            let (status, body) = shared.serve(request).await;
            let response = Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(body.to_string())));
            Ok::<_, Infallible>(response.expect("a response"))
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}
