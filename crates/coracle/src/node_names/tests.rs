use super::{all, first, from_host};

#[test]
fn the_first_name_is_kept_when_the_host_gets_another() {
    let dir = tempfile::tempdir().unwrap();
    let name = first(dir.path()).unwrap();
    assert_eq!(first(dir.path()).unwrap(), name);
    std::fs::write(dir.path().join("node-name"), "elsewhere").unwrap();
    assert_eq!(first(dir.path()).unwrap(), "elsewhere");
}

#[test]
fn more_nodes_add_names_and_change_none() {
    assert_eq!(all("host", 1), ["host"]);
    assert_eq!(all("host", 3), ["host", "host-2", "host-3"]);
}

#[test]
fn a_host_s_name_becomes_a_valid_one() {
    assert_eq!(from_host("My_Laptop.local"), "my-laptop-local");
    assert_eq!(from_host("-é-"), "coracle");
    assert_eq!(from_host(&format!("{}.x", "a".repeat(49))), "a".repeat(49));
}
