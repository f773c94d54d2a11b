//! As much of HTTP as a test needs: one GET a connection, and the lines of `/metrics`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Status and body; `None` if nobody answers.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// A page of `/metrics`.
pub struct Metrics(pub String);

impl Metrics {
    /// Sum of the samples of `name` that carry each of `labels`.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.0
            .lines()
            .filter_map(|line| sample(line, name, labels))
            .sum()
    }
}

fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let (series, value) = line.rsplit_once(' ')?;
    let of_series = series.strip_prefix(name)?;
    let has = |(key, value): &(&str, &str)| of_series.contains(&format!("{key}=\"{value}\""));
    let named = of_series.is_empty() || of_series.starts_with('{');
    (named && labels.iter().all(has)).then(|| value.parse().ok())?
}

#[test]
fn samples_are_summed_by_name_and_label() {
    let page = Metrics(
        "# HELP x y\nx_total{a=\"1\",b=\"2\"} 3\nx_total{a=\"1\",b=\"4\"} 4\nx_total_more 9\n"
            .to_owned(),
    );
    assert_eq!(page.sum("x_total", &[]), 7.0);
    assert_eq!(page.sum("x_total", &[("b", "4")]), 4.0);
}
