//! What an instance adds to its memory is in huge pages, once it is known to be much.

use samara_tests::guests;
use samara_tests::process::huge_page_bytes;
use samara_tests::server::Serve;
use samara_tests::tensor::{Tensor, outputs};
use tempfile::tempdir;

fn bytes_after_requests(fixture: &str) -> Option<u64> {
    let directory = tempdir().unwrap();
    let server = Serve::new([guests::write(directory.path(), fixture, "m")]).start();
    for _ in 0..20 {
        outputs(&server.infer("m", &[Tensor::fp32("x", &[1], &[1.0])]));
    }
    huge_page_bytes(server.process())
}

#[test]
fn an_instance_that_grows_by_much_has_huge_pages() {
    // It adds four megabytes.
    match bytes_after_requests("remembers") {
        None => eprintln!("not checked: the system has no huge pages to give"),
        Some(bytes) => assert!(bytes >= 2 << 20, "{bytes}"),
    }
}

#[test]
fn an_instance_that_does_not_grow_has_none() {
    assert_eq!(bytes_after_requests("echoes").unwrap_or(0), 0);
}
