//! Malicious input.

use std::fmt::Write;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::wait_until;

use crate::installation::{Installation, SLUG, Token, newest_manifest};

/// Texts that do not compress, so that they cannot fit into an index by compression.
fn noise(length: usize, letters: &str) -> String {
    let letters: Vec<char> = letters.chars().collect();
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        // This is Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        letters[usize::try_from(state % letters.len() as u64).unwrap()]
    };
    (0..length).map(|_| next()).collect()
}

fn manifest_of(nodes: &str) -> Vec<u8> {
    format!(r#"{{"metadata":{{"dbt_version":"1.12.0"}},"macros":{{}},"nodes":{{{nodes}}}}}"#).into_bytes()
}

async fn nodes(installation: &Installation, token: &Token) -> Vec<Value> {
    let page = installation
        .get(token, "/api/v2/accounts/1/environments/1/nodes/?limit=100")
        .await
        .1;
    page["data"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_but_complete_files_are_stored_and_served_unchanged() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let long = noise(10_000, "abcdefghijklmnopqrstuvwxyz0123456789_");
    let model =
        |id: &str, more: &str| format!(r#""{id}":{{"resource_type":"model","unique_id":"{id}","name":"n"{more}}}"#);
    let deep = format!(r#","meta":{}1{}"#, "[".repeat(110), "]".repeat(110));
    let many = format!(r#","refs":[{}1]"#, "1,".repeat(1_000_000));
    let cases = [
        ("nul", model("model.a.nul", r#","description":"a\u0000b""#)),
        (
            "surrogate",
            model("model.a.surrogate", r#","description":"a\ud800b","x":"\udfff""#),
        ),
        ("nan", model("model.a.nan", r#","meta":{"a":NaN,"b":-Infinity}"#)),
        (
            "twice",
            format!(
                "{},{}",
                model("model.a.twice", r#","name":"first""#),
                model("model.a.twice", r#","name":"second""#)
            ),
        ),
        ("deep", model("model.a.deep", &deep)),
        ("many", model("model.a.many", &many)),
        (
            "long",
            model(&format!("model.a.{long}"), &format!(r#","description":"{long}""#)),
        ),
        ("foreign", model("model.another_project.orders", "")),
        (
            "path",
            model(
                "model.a.../../../etc/passwd",
                r#","original_file_path":"/../../etc/passwd""#,
            ),
        ),
        ("unicode", model("model.a.\u{202e}\u{1F600}é", "")),
    ];
    for (number, (name, nodes_text)) in cases.iter().enumerate() {
        let file = manifest_of(nodes_text);
        let run = format!("hostile-{name}");
        let kept = installation.upload_manifest(&token, &run, file.clone()).await;
        let total = i64::try_from(number).unwrap() + 1;
        let run = installation.run_with_total(&token, "1", total).await["id"].clone();
        let shown = nodes(&installation, &token).await;
        assert_eq!(shown.len(), 1, "{name}: {shown:?}");
        let path = format!("/api/v2/accounts/1/runs/{run}/artifacts/manifest.json");
        let (status, served) = installation.send(Method::GET, &token, &path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            served == file,
            "{name}: {} bytes of {} ({kept})",
            served.len(),
            file.len()
        );
        let unique_id = shown[0]["unique_id"].as_str().unwrap();
        let mut escaped = String::new();
        for byte in unique_id.bytes() {
            write!(escaped, "%{byte:02X}").unwrap();
        }
        if escaped.len() < 8_000 {
            let path = format!("/api/v2/accounts/1/environments/1/nodes/{escaped}/");
            let (status, node) = installation.get(&token, &path).await;
            assert_eq!(status, StatusCode::OK, "{name}: {node}");
        }
    }
    assert_eq!(installation.count("SELECT count(*) FROM dead_letters").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_and_ids_do_not_make_dead_letters() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    // Four-byte characters, as many as are accepted.
    let letters: String = (0x2_0000..0x2_4000).filter_map(char::from_u32).collect();
    let wide = noise(1_000, &letters);
    let long = noise(10_000, "abcdefghijklmnopqrstuvwxyz0123456789_");
    let results = json!({
        "metadata": {"dbt_version": long, "invocation_id": long, "dbt_schema_version": long},
        "args": {"which": "build", "invocation_command": long},
        "results": [{"unique_id": format!("model.a.{long}"), "status": "success", "message": long, "timing": []}],
    });
    let catalog = json!({"metadata": {"invocation_id": long}, "sources": {}, "nodes": {
        format!("model.a.{long}"): {"unique_id": long, "metadata": {"name": long}, "columns": {}}}});
    let resources = manifest_of(&format!(
        r#""{long}":{{"resource_type":"{long}","name":"{long}","package_name":"{long}"}}"#
    ));
    for file in [
        serde_json::to_vec(&results).unwrap(),
        serde_json::to_vec(&catalog).unwrap(),
        resources,
        newest_manifest(),
    ] {
        let form = Form::new()
            .text("environment_slug", SLUG)
            .text("dag_id", wide.clone())
            .text("run_id", wide.clone())
            .text("tag", wide.clone())
            .part("file", Part::bytes(file).file_name("../../../etc/passwd"));
        let (status, answer) = installation.upload(&token, form).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    wait_until("all uploads are applied", async || {
        (installation.count("SELECT count(*) FROM artifacts").await
            + installation.count("SELECT count(*) FROM dead_letters").await
            == 4)
            .then_some(())
    })
    .await;
    assert_eq!(installation.command(&["dead-letters", "list"]), json!([]));
    assert_eq!(
        installation
            .get(&token, "/api/v2/accounts/1/runs/?include_related=run_steps,job")
            .await
            .0,
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_files_are_refused_and_paths_cannot_escape() {
    let installation = Installation::start().await;
    let token = installation.token("1", "read,upload", &[]);
    let deep = format!(r#"{{"nodes":{}"#, "[".repeat(100_000));
    let gzip = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b' '; 64 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    for (file, words) in [
        (deep.into_bytes(), "levels deep"),
        (gzip, "not JSON"),
        (vec![0x28, 0xb5, 0x2f, 0xfd], "not JSON"),
    ] {
        let form = Form::new()
            .text("environment_slug", SLUG)
            .part("file", Part::bytes(file).file_name("file"));
        let (status, answer) = installation.upload(&token, form).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert!(answer.to_string().contains(words), "{answer} lacks {words}");
    }
    // A manifest with more entries than the limit is stored, but becomes a dead letter with its cause.
    let mut many = String::new();
    for number in 0..=1_000_000 {
        write!(many, r#""{number}":{{}},"#).unwrap();
    }
    installation
        .upload_manifest(&token, "many", manifest_of(many.trim_end_matches(',')))
        .await;
    wait_until("the manifest is a dead letter", async || {
        (installation.count("SELECT count(*) FROM dead_letters").await == 1).then_some(())
    })
    .await;
    let letters = installation.command(&["dead-letters", "list"]);
    assert!(
        letters[0]["cause"]
            .as_str()
            .unwrap()
            .contains("more than 1000000 entries"),
        "{letters}"
    );

    installation.upload_manifest(&token, "run", newest_manifest()).await;
    let run = installation.run_with_total(&token, "1", 1).await["id"].clone();
    // These files lie next to the folder that clients may read.
    std::fs::write(installation.system.storage().join("check"), "secret").unwrap();
    for name in [
        "../../../../check",
        "..%2f..%2f..%2fcheck",
        "%2e%2e/%2e%2e/check",
        "....//....//check",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "manifest.json%00.txt",
        "manifest.json/../../check",
        "C:%5Cwindows%5Cwin.ini",
    ] {
        // The request is written as bytes, because an HTTP client would normalize the path.
        let path = format!("/api/v2/accounts/1/runs/{run}/artifacts/{name}");
        let status = raw_get(&installation, &token, &path);
        assert!(status == 404 || status == 400, "{name}: {status}");
    }
}

/// Requests this path unchanged, and returns the status of the answer.
fn raw_get(installation: &Installation, token: &Token, path: &str) -> u16 {
    use std::io::{Read, Write};
    let address = installation.service.url.strip_prefix("http://").unwrap();
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let key = &token.key;
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Token {key}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
