//! A repeated request, answered from the rendered answers: through the whole service over a persistent connection, and in the router alone.
//!
//! `benches/compare` measures the cost of a hit against other caches.

#![expect(clippy::unwrap_used, reason = "a bench that can't go on has failed")]

mod support;

use axum::body::Body;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use pitaya::clock::Clock;
use pitaya::server::Limits;
use pitaya::simulator::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

const QUERIES: [(&str, &str); 3] = [
    ("2 kB", "dates=2026-01-01"),
    ("20 kB", "dates=2026-01-01..2026-01-10"),
    ("200 kB", "dates=2026-01-01..2026-04-10"),
];

fn target(dates: &str) -> String {
    format!("/v1/traffic?sites=750&{dates}&metric=entrances&bucket=hour")
}

/// Sends `request` and reads the answer, which is as long as the first one.
async fn ask(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) {
    stream.write_all(request).await.unwrap();
    stream.read_exact(answer).await.unwrap();
}

/// Length of the answer to `request`, including the head.
async fn length_of(stream: &mut TcpStream, request: &[u8]) -> usize {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    loop {
        stream.read_buf(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let field = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let whole = head.len() + 4 + field.unwrap().parse::<usize>().unwrap();
            if answer.len() == whole {
                return whole;
            }
        }
    }
}

fn hits(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (app, vendor) = runtime.block_on(support::app(Settings::default(), Clock::system(), &[]));
    let router = app.router();
    let address = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(app.serve(listener, None, std::future::pending(), Limits::default()));
        address
    });
    let mut stream = runtime.block_on(TcpStream::connect(address)).unwrap();
    for (size, dates) in QUERIES {
        let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", target(dates));
        let request = request.as_bytes();
        // The first answer is a miss; the second is as long as all later ones.
        runtime.block_on(length_of(&mut stream, request));
        let length = runtime.block_on(length_of(&mut stream, request));
        let mut answer = vec![0; length];
        let mut group = criterion.benchmark_group("hit");
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(format!("{size} over a connection"), |bencher| {
            bencher.iter(|| runtime.block_on(ask(&mut stream, request, &mut answer)));
        });
        group.bench_function(format!("{size} in the router"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let request = Request::get(target(dates)).header(HOST, "localhost");
                    let request = request.body(Body::empty()).unwrap();
                    let response = router.clone().oneshot(request).await.unwrap();
                    assert_eq!(response.status(), StatusCode::OK);
                    response.into_body().collect().await.unwrap().to_bytes()
                })
            });
        });
        group.finish();
    }
    assert_eq!(
        vendor.report_count(),
        QUERIES.len() as u64,
        "all the rest were hits"
    );
}

criterion_group!(benches, hits);
criterion_main!(benches);
