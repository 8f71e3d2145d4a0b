//! Slow readers, on a clock that runs by itself.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep},
};

use super::{STALL_TIME_MAX, WriteDeadline};

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_is_given_up() {
    let (ours, _theirs) = duplex(10);
    let mut ours = WriteDeadline::new(ours);
    let before = Instant::now();
    let error = ours.write_all(&[0; 100]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(before.elapsed().as_secs(), STALL_TIME_MAX.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_served() {
    let (ours, mut theirs) = duplex(10);
    let reader = tokio::spawn(async move {
        let mut piece = [0; 10];
        for _ in 0..10 {
            sleep(STALL_TIME_MAX / 2).await;
            theirs.read_exact(&mut piece).await.unwrap();
        }
    });
    WriteDeadline::new(ours).write_all(&[0; 100]).await.unwrap();
    reader.await.unwrap();
}
