//! Compares the books with what the server holds after a crash.

use crate::{
    company::Company,
    ledger::{Ledger, Once},
    worker::{STATE, Worker},
};
use harness::{
    Account, Lost, View, differences, eventually, patiently, target_is_synapse, text_of,
};
use std::{collections::BTreeMap, time::Duration};

/// How many transaction ids of each worker are tried again after a crash.
const RETRIES: usize = 20;
const SETTLING: Duration = Duration::from_secs(3);

/// Everything about the last round.
pub async fn all(company: &mut Company, ledgers: &[Ledger]) {
    for (worker, ledger) in company.workers.iter().zip(ledgers) {
        registers(worker, ledger, company).await;
        files(worker, ledger).await;
        retry(worker, ledger, company).await;
    }
    for reader in [&company.sink.account, &company.partner.account] {
        delivered(reader, &company.place.room, ledgers).await;
        messages(reader, &company.place.room, ledgers).await;
    }
    notes(&mut company.sink, ledgers).await;
    for worker in company.workers.iter_mut().chain([&mut company.sink]) {
        fold(worker).await;
    }
}

/// What was acknowledged in the first rounds is still there after the last.
pub async fn everything_of_all_rounds(company: &Company) {
    let mut rooms = BTreeMap::<&str, Vec<Ledger>>::new();
    for ledger in &company.archive {
        rooms.entry(&ledger.room).or_default().push(ledger.clone());
        files(&company.sink, ledger).await;
    }
    for (room, ledgers) in rooms {
        messages(&company.sink.account, room, &ledgers).await;
    }
}

async fn registers(worker: &Worker, ledger: &Ledger, company: &Company) {
    let (account, user) = (&worker.account, &worker.account.user_id);
    let value = |content: Option<serde_json::Value>| content.and_then(|c| c["value"].as_u64());
    let state = account.state_content(&company.place.room, STATE, user).await;
    ledger.state.check("state", value(state));

    let path = ["user", user, "account_data", &company.place.account_data()];
    let found = account.get(&path).answer().await.json()["value"].as_u64();
    ledger.account_data.check("account data", found);

    let member =
        company.sink.account.state_content(&company.place.club, "m.room.member", user).await;
    let membership = member.and_then(|content| content["membership"].as_str().map(str::to_owned));
    ledger.membership.check("membership", membership);

    let mut fresh = View::default();
    account.sync(&mut fresh, false).await;
    let key = ("m.read".to_owned(), user.clone(), String::new());
    let receipt =
        fresh.rooms[&company.place.room].receipts.get(&key).map(|(event, _)| event.clone());
    ledger.receipt.check("receipt", receipt);
}

async fn files(worker: &Worker, ledger: &Ledger) {
    for (content, uri) in &ledger.files {
        let answer = worker.account.download(uri).await;
        assert_eq!(answer.status, 200, "{uri}: {}", answer.errcode());
        assert!(answer.bytes == *content, "{uri}: {} bytes", answer.bytes.len());
    }
}

/// Asking again under the same transaction id is answered as the first time.
async fn retry(worker: &Worker, ledger: &Ledger, company: &Company) {
    let sure = |answer: Result<String, Lost>| answer.unwrap_or_else(|Lost(why)| panic!("{why}"));
    for once in ledger.messages.iter().rev().take(RETRIES) {
        let event = sure(worker.ask_to_say(&company.place, once).await);
        let again = sure(worker.ask_to_say(&company.place, once).await);
        assert_eq!(event, again, "{once:?}");
        assert_eq!(once.answer.as_ref().unwrap_or(&event), &event, "{once:?}");
    }
    for once in ledger.notes.iter().rev().take(RETRIES) {
        let noted = worker.ask_to_note(&company.place, once).await;
        noted.unwrap_or_else(|Lost(why)| panic!("{why}"));
    }
}

/// Waits until the reader's server has what was said on the other one.
async fn delivered(reader: &Account, room: &str, ledgers: &[Ledger]) {
    let newest = ledgers.iter().filter_map(|ledger| ledger.messages.last());
    let newest = newest.map(|once| once.mark.as_str()).collect::<Vec<_>>();
    eventually("what was said on the other server", async || {
        let history = reader.history(room).await;
        let has = |mark: &&str| history.iter().any(|event| text_of(event) == *mark);
        newest.iter().all(has).then_some(())
    })
    .await;
}

/// Every message is in the room once, those of unknown fate too, for they were asked for again.
async fn messages(reader: &Account, room: &str, ledgers: &[Ledger]) {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for event in reader.history(room).await {
        let id = event["event_id"].as_str().unwrap_or_default().to_owned();
        found.entry(text_of(&event).to_owned()).or_default().push(id);
    }
    for once in ledgers.iter().flat_map(|ledger| &ledger.messages) {
        let ids = found.get(&once.mark).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(ids.len(), 1, "{once:?} is in the room as {ids:?}");
        assert_eq!(once.answer.as_ref().unwrap_or(&ids[0]), &ids[0], "{once:?}");
    }
}

/// Every to-device message came once.
async fn notes(sink: &mut Worker, ledgers: &[Ledger]) {
    let expected = ledgers.iter().flat_map(|ledger| &ledger.notes).collect::<Vec<&Once>>();
    let count = |view: &View, once: &Once| {
        view.to_device.iter().filter(|event| event["content"]["mark"] == *once.mark).count()
    };
    patiently(SETTLING, async || {
        sink.account.sync(&mut sink.view, false).await;
        expected.iter().all(|once| count(&sink.view, once) > 0).then_some(())
    })
    .await;
    for once in expected {
        let times = count(&sink.view, once);
        // Synapse forgets the transaction ids of to-device messages when it dies.
        let good = times == 1 || (times > 1 && target_is_synapse());
        assert!(good, "{once:?} came {times} times");
    }
}

/// A client goes on from the token that it had before the crash, and believes what is true.
async fn fold(worker: &mut Worker) {
    let mut wrong = Vec::new();
    patiently(SETTLING, async || {
        worker.account.sync(&mut worker.view, false).await;
        let mut fresh = View::default();
        worker.account.sync(&mut fresh, false).await;
        wrong = differences(&worker.view, &fresh, false);
        wrong.is_empty().then_some(())
    })
    .await;
    let user = &worker.account.user_id;
    assert!(wrong.is_empty(), "{user}: folded | fresh:\n{}", wrong.join("\n"));
}
