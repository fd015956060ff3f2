//! The front ends of a logger that was made in zeroed memory.

use super::*;

fn write(path: &str, value: &str) -> Vec<u8> {
    let payload = [path, value].join("\0");
    let header = [11, 1, 0, payload.len() as u32].map(u32::to_le_bytes);
    [header.concat(), payload.into_bytes()].concat()
}

#[test]
fn rings_are_asked_for_by_their_references() {
    let xen = FakeXen::new(false);
    assert_eq!(xen.ring_of(0), (HVLOG_RING_OF_NONE, 0));
    for (path, value) in [
        ("device/vbd/7/ring-ref", "8"),
        ("device/vbd/7/event-channel", "15"),
        ("device/vbd/9/ring-ref0", "10"),
    ] {
        xen.xenstore_out(&mut write(path, value));
    }
    assert_eq!(xen.ring_of(8), (HVLOG_RING_OF_FRONTEND, 15));
    assert_eq!(xen.ring_of(10), (HVLOG_RING_OF_REFUSED, 0));
    assert_eq!(xen.ring_of(15), (HVLOG_RING_OF_NONE, 0));

    let mut bytes = write("device/vbd/7/feature-persistent", "1");
    xen.xenstore_out(&mut bytes);
    assert_eq!(bytes, write("device/vbd/7/feature-persistent", "0"));

    // A message breaks off, and the connection is new.
    let mut bytes = write("device/vbd/7/ring-ref", "11");
    xen.xenstore_out(&mut bytes[..30]);
    xen.xenstore_reset();
    xen.xenstore_out(&mut bytes);
    assert_eq!(xen.ring_of(8), (HVLOG_RING_OF_NONE, 0));
    assert_eq!(xen.ring_of(11), (HVLOG_RING_OF_FRONTEND, 15));
}
