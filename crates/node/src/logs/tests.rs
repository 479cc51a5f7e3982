//! Output goes in, what users asked to see comes out.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;

use bytes::Bytes;
use coracle_runtime::{Output, StdStream};

use super::*;

fn logs(bounds: Bounds) -> Logs {
    Logs::new(bounds, Clock::simulated(jiff::Timestamp::from_second(1_800_000_000).unwrap()))
}

fn write(output: &Arc<dyn Output>, text: &str) {
    output.write(StdStream::Stdout, Bytes::copy_from_slice(text.as_bytes()));
}

async fn all(mut reader: Reader) -> String {
    let mut text = Vec::new();
    while let Some((piece, next)) = reader.next().await {
        text.extend_from_slice(&piece.unwrap());
        reader = next;
    }
    String::from_utf8(text).unwrap()
}

async fn seen(log: &Arc<ContainerLog>, options: ReadOptions) -> String {
    all(Reader::live(log, options).await).await
}

fn on_disk(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("0.log")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn records_are_in_the_cri_format() {
    let dir = tempfile::tempdir().unwrap();
    let log = logs(Bounds::default()).open(dir.path().to_owned(), 0);
    let output = log.output();
    write(&output, "one\ntw");
    output.write(StdStream::Stderr, Bytes::from_static(b"oops\n"));
    write(&output, "o\n\nrest");
    log.close().await;
    assert_eq!(
        on_disk(dir.path()),
        "2027-01-15T08:00:00.000000000Z stdout F one\n\
         2027-01-15T08:00:00.000000000Z stderr F oops\n\
         2027-01-15T08:00:00.000000000Z stdout F two\n\
         2027-01-15T08:00:00.000000000Z stdout F \n\
         2027-01-15T08:00:00.000000000Z stdout P rest\n"
    );
    assert_eq!(seen(&log, ReadOptions::default()).await, "one\noops\ntwo\n\nrest");
}

#[tokio::test]
async fn a_long_line_is_written_in_pieces_and_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = logs(Bounds::default()).open(dir.path().to_owned(), 0);
    let line = "x".repeat(40 * 1024);
    write(&log.output(), &format!("{line}\nnext\n"));
    log.close().await;
    let tags: Vec<String> = on_disk(dir.path()).lines().map(|record| record[38..39].to_owned()).collect();
    assert_eq!(tags, ["P", "P", "F", "F"]);
    assert_eq!(seen(&log, ReadOptions::default()).await, format!("{line}\nnext\n"));
    let tail = seen(&log, ReadOptions { tail: Some(2), timestamps: true, ..ReadOptions::default() }).await;
    assert_eq!(tail.len(), line.len() + 31 + 1 + 31 + 5);
}

#[tokio::test(start_paused = true)]
async fn readers_choose_what_they_see() {
    let dir = tempfile::tempdir().unwrap();
    let log = logs(Bounds::default()).open(dir.path().to_owned(), 0);
    let output = log.output();
    write(&output, "one\n");
    tokio::time::advance(Duration::from_secs(10)).await;
    write(&output, "two\nthree\n");
    log.close().await;
    let since = Some(jiff::Timestamp::from_second(1_800_000_005).unwrap());
    let none = ReadOptions::default;
    assert_eq!(seen(&log, ReadOptions { tail: Some(1), ..none() }).await, "three\n");
    assert_eq!(seen(&log, ReadOptions { tail: Some(0), ..none() }).await, "");
    assert_eq!(seen(&log, ReadOptions { tail: Some(9), ..none() }).await, "one\ntwo\nthree\n");
    assert_eq!(seen(&log, ReadOptions { since, ..none() }).await, "two\nthree\n");
    assert_eq!(seen(&log, ReadOptions { limit_bytes: Some(5), ..none() }).await, "one\nt");
    let stamped = seen(&log, ReadOptions { tail: Some(1), timestamps: true, ..none() }).await;
    assert_eq!(stamped, "2027-01-15T08:00:10.000000000Z three\n");
    let ended = Reader::ended(dir.path().to_owned(), 0, ReadOptions { tail: Some(2), ..none() }).await;
    assert_eq!(all(ended).await, "two\nthree\n");
}

#[tokio::test]
async fn pieces_of_one_stream_are_no_lines_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = logs(Bounds { file_bytes: 20_000, ..Bounds::default() }).open(dir.path().to_owned(), 0);
    let output = log.output();
    write(&output, "begun\n");
    write(&output, &"x".repeat(20_000));
    log.flush().await;
    output.write(StdStream::Stderr, Bytes::from_static(b"oops\n"));
    log.flush().await;
    let tail = |n| ReadOptions { tail: Some(n), ..ReadOptions::default() };
    assert_eq!(seen(&log, tail(0)).await, "");
    assert_eq!(seen(&log, tail(1)).await, "oops\n");
    write(&output, "y\nrest");
    log.close().await;
    assert_eq!(seen(&log, tail(1)).await, "rest");
    assert_eq!(seen(&log, tail(3)).await, format!("{}oops\n{}y\nrest", "x".repeat(16_384), "x".repeat(3616)));
    assert_eq!(seen(&log, tail(4)).await, format!("begun\n{}oops\n{}y\nrest", "x".repeat(16_384), "x".repeat(3616)));
    let stderr = ReadOptions { stream: Some(StdStream::Stderr), ..ReadOptions::default() };
    assert_eq!(seen(&log, stderr).await, "oops\n");
}

#[tokio::test]
async fn rotation_keeps_the_newest_files_and_readers_see_them_as_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = logs(Bounds { file_bytes: 100, files_max: 3 }).open(dir.path().to_owned(), 0);
    let output = log.output();
    for n in 0..20 {
        write(&output, &format!("line {n}\n"));
        log.flush().await;
    }
    log.close().await;
    assert_eq!(files::parts(dir.path(), 0).len(), 2);
    let text = seen(&log, ReadOptions::default()).await;
    assert!(text.ends_with("line 18\nline 19\n"));
    let n_lines = text.lines().count();
    assert!((4..=9).contains(&n_lines), "{n_lines} lines are kept");
    let tail = seen(&log, ReadOptions { tail: Some(4), ..ReadOptions::default() }).await;
    assert_eq!(tail, "line 16\nline 17\nline 18\nline 19\n");
    let ended = Reader::ended(dir.path().to_owned(), 0, ReadOptions::default()).await;
    assert_eq!(all(ended).await, text);
}

#[tokio::test]
async fn who_follows_sees_every_line_across_rotation_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let logs = logs(Bounds { file_bytes: 300, files_max: 1000 });
    let token = CancellationToken::new();
    let log = logs.open(dir.path().to_owned(), 0);
    let output = log.output();
    write(&output, "line 0\n");
    let reader = Reader::live(&log, ReadOptions { follow: true, ..ReadOptions::default() }).await;
    let write = async {
        for n in 1..500 {
            write(&output, &format!("line {n}\n"));
            if n % 7 == 0 {
                log.flush().await;
            }
        }
        log.close().await;
        token.cancel();
    };
    let (text, (), ()) = tokio::join!(all(reader), write, logs.run(token.clone()));
    let expected: String = (0..500).map(|n| format!("line {n}\n")).collect();
    assert_eq!(text, expected);
}

#[tokio::test]
async fn who_writes_faster_than_the_disk_is_held_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = logs(Bounds::default()).open(dir.path().to_owned(), 0);
    let output = log.output();
    let mut ready = pin!(poll_fn(|cx| output.poll_ready(StdStream::Stdout, cx)));
    let text = "y".repeat(600_000);
    write(&output, &text);
    assert!(futures::poll!(&mut ready).is_ready());
    write(&output, &text);
    assert!(futures::poll!(&mut ready).is_pending());
    tokio::join!(ready, log.close());
    assert_eq!(seen(&log, ReadOptions::default()).await.len(), 2 * text.len());
}

#[tokio::test]
async fn output_of_those_who_do_not_wait_is_dropped_beyond_a_bound_and_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = logs(Bounds::default()).open(dir.path().to_owned(), 0);
    let output = log.output();
    write(&output, "kept\n");
    for _ in 0..50 {
        write(&output, &"y".repeat(100_000));
    }
    log.close().await;
    let text = seen(&log, ReadOptions::default()).await;
    assert!(text.starts_with("kept\n"));
    assert!(text.contains("[900000 bytes of output were dropped: they came faster than the disk]\n"), "{}", text.len());
}

#[tokio::test]
async fn the_task_writes_what_gathers_and_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let logs = logs(Bounds::default());
    let log = logs.open(dir.path().to_owned(), 0);
    write(&log.output(), "one\n");
    let token = CancellationToken::new();
    token.cancel();
    logs.run(token).await;
    assert!(on_disk(dir.path()).ends_with("stdout F one\n"));
    assert_eq!(tail_of(&log, 80, 2048).await, "one\n");
}

#[tokio::test]
async fn old_instances_logs_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["0.log", "0.log.1", "1.log", "2.log"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    remove_before(dir.path(), 2);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
