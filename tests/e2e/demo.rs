//! The demo is the newcomer's first command: it must tell its story and find it as it should be.

use crate::service::QINGJIANG;
use crate::stage::Stage;
use std::process::Command;

/// Goal: the story is told to its end, the records agree with it, and nothing is left behind.
#[test]
fn the_demo_ends_as_it_should() {
    let stage = Stage::shared("demo");
    let folder = stage.path("tmp");
    std::fs::create_dir(&folder).expect("a folder");
    let output = Command::new(QINGJIANG)
        .arg("demo")
        .env("TMPDIR", &folder)
        .output()
        .expect("the demo");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert_eq!(told.matches("as it should: ").count(), 4, "{told}");
    assert_eq!(
        told.matches("silent-redial-other-phone").count(),
        1,
        "{told}"
    );
    assert!(told.contains("您好,您的电话已接通"), "{told}");
    let left = std::fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(left, 0, "the demo leaves no files behind");
}
