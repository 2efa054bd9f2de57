//! Clients that stall, send one byte at a time, or disconnect.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::System;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::installation::{Installation, SLUG, Token, newest_manifest, prepare};

/// Begins an upload and sends half of its file.
fn half_an_upload(installation: &Installation, token: &Token) -> TcpStream {
    let address = installation.service.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/internal/manifests HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 10000000\r\n\r\n",
        token.key
    );
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"environment_slug\"\r\n\r\n{SLUG}\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\r\n{{\"nodes\": {{"
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(form.as_bytes()).unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stall_dribble_or_vanish_do_not_block_others() {
    let mut system = System::start().await;
    system.variables.push(("MAX_UPLOADS".to_owned(), "8".to_owned()));
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "read,upload", &[]);
    // More uploads than are read at a time.
    let mut stalled: Vec<TcpStream> = (0..24).map(|_| half_an_upload(&installation, &token)).collect();
    for _ in 0..8 {
        drop(half_an_upload(&installation, &token));
    }
    let mut dribbling = stalled.split_off(12);
    let dribble = std::thread::spawn(move || {
        // Sends a few bytes per second for as long as the server accepts them.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(8) {
            for connection in &mut dribbling {
                let _ = connection.write_all(b" ");
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    for number in 0..6 {
        let begun = Instant::now();
        let run = format!("run-{number}");
        installation.upload_manifest(&token, &run, newest_manifest()).await;
        // The client of dbt-coves waits this long.
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "upload {number}: {:?}",
            begun.elapsed()
        );
        assert_eq!(installation.get(&token, "/api/v2/accounts/1/runs/").await.0, 200);
    }
    installation.run_with_total(&token, "1", 6).await;
    dribble.join().unwrap();
}

/// Sends five bytes per second until there is an answer, and returns the beginning of the answer.
fn dribble(mut connection: TcpStream) -> String {
    connection.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 12];
    while connection.read_exact(&mut answer).is_err() {
        if connection.write_all(b" ").is_err() {
            return "disconnected".to_owned();
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Slow uploads are ended, so that they cannot use up all connections.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_dribble_from_the_first_byte_are_ended() {
    let mut system = System::start().await;
    system.variables.push(("MAX_UPLOADS".to_owned(), "2".to_owned()));
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "upload", &[]);
    let mut dribbling = JoinSet::new();
    for _ in 0..10 {
        let connection = half_an_upload(&installation, &token);
        dribbling.spawn_blocking(move || dribble(connection));
    }
    let mut given_up = async || {
        let next = timeout(Duration::from_secs(20), dribbling.join_next()).await;
        let answer = next.expect("the upload is ended").unwrap().unwrap();
        assert_eq!(answer, "HTTP/1.1 408");
    };
    for _ in 0..8 {
        given_up().await;
    }
    // Two uploads are read, and lose their turns as soon as another one needs a turn.
    let begun = Instant::now();
    installation.upload_manifest(&token, "run", newest_manifest()).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    given_up().await;
}

/// Returns a zip file with the newest manifest.
fn zipped() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("manifest.json", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(&newest_manifest()).unwrap();
    zip.finish().unwrap().into_inner()
}

/// Returns the path to which a zip file may be sent.
async fn zip_path(installation: &Installation, token: &Token) -> String {
    let begin = "/api/private/accounts/1/environments/1/ingests/";
    let (status, answer) = installation.send(reqwest::Method::POST, token, begin).await;
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let url = answer["data"]["upload_url"].as_str().unwrap();
    format!("/api/{}", url.split_once("/api/").unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn zips_that_stall_lose_their_turns() {
    let mut system = System::start().await;
    system.variables.push(("MAX_UPLOADS".to_owned(), "2".to_owned()));
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "upload", &[]);
    let mut dribbling = JoinSet::new();
    for _ in 0..6 {
        let path = zip_path(&installation, &token).await;
        let address = installation.service.url.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        let head = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(&vec![0; 100_000]).unwrap();
        dribbling.spawn_blocking(move || dribble(connection));
    }
    // Two uploads are received for as long as no other waits.
    for _ in 0..4 {
        let next = timeout(Duration::from_secs(20), dribbling.join_next()).await;
        assert_eq!(next.expect("the upload is ended").unwrap().unwrap(), "HTTP/1.1 408");
    }
    let begun = Instant::now();
    let url = format!("{}{}", installation.service.url, zip_path(&installation, &token).await);
    let answer = installation.client.put(url).body(zipped()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completely_received_zip_waits_for_its_turn_without_a_limit() {
    let mut system = System::start().await;
    system.variables.push(("MAX_UPLOADS".to_owned(), "1".to_owned()));
    let installation = Installation::of(prepare(system), "serve").await;
    let token = installation.token("1", "upload", &[]);
    let url = format!("{}{}", installation.service.url, zip_path(&installation, &token).await);
    let mut long = half_an_upload(&installation, &token);
    let piece = vec![b' '; 64 << 10];
    for _ in 0..4 {
        long.write_all(&piece).unwrap();
    }
    // The first upload continues, fast enough to keep its turn, for longer than incomplete uploads may wait.
    let (begun, sending_time) = (Instant::now(), Duration::from_secs(13));
    let sending = std::thread::spawn(move || {
        while begun.elapsed() < sending_time {
            long.write_all(&piece).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let answer = installation.client.put(url).body(zipped()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(begun.elapsed() >= sending_time, "the zip did not have to wait");
    sending.join().unwrap();
}
