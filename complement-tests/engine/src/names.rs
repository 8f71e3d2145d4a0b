//! The DNS of a network: it knows the network's homeservers and the host, and says at once that
//! there is nothing else.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType, rdata::A},
};
use tokio::{net::UdpSocket, task::JoinHandle};

#[cfg(test)]
mod tests;

/// Homeservers stop and start again elsewhere, so no answer may be kept.
const TIME_TO_LIVE_S: u32 = 0;
/// Where the system's resolver asks; it takes no other port.
pub(crate) const SYSTEM_PORT: u16 = 53;
const QUESTION_BYTES_MAX: usize = 4_096;

/// The responder of one network; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl NameServer {
    /// Answers at some port of `ip`, by asking `find` for the address of a name in lower case.
    pub(crate) async fn start(
        ip: Ipv4Addr,
        find: impl Fn(&str) -> Option<Ipv4Addr> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        // The port that systems ask, if we may have it.
        let socket = match UdpSocket::bind((ip, SYSTEM_PORT)).await {
            Ok(socket) => socket,
            Err(_) => UdpSocket::bind((ip, 0)).await?,
        };
        let address = socket.local_addr()?;
        let task = tokio::spawn(async move {
            let mut question = vec![0; QUESTION_BYTES_MAX];
            loop {
                let Ok((length, asker)) = socket.recv_from(&mut question).await else { continue };
                if let Some(answer) = answer(&question[..length], &find) {
                    // Who does not hear the answer asks again.
                    let _ = socket.send_to(&answer, asker).await;
                }
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(question: &[u8], find: impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = true;
    let name = query.name().to_utf8().trim_end_matches('.').to_lowercase();
    match find(&name) {
        Some(address) if query.query_type() == RecordType::A => {
            let data = RData::A(A(address));
            answer.add_answer(Record::from_rdata(query.name().clone(), TIME_TO_LIVE_S, data));
        }
        // The name exists, without such a record.
        Some(_) => {}
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.add_query(query);
    answer.to_vec().ok()
}
