use super::*;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["data", "config", "secret"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("secret/key"), "not yours").unwrap();
        Self { dir }
    }

    fn mounts(&self) -> Vec<Mount> {
        let mount = |name: &str, guest: &str, read_only| Mount {
            host: self.dir.path().join(name),
            guest: guest.to_owned(),
            read_only,
        };
        vec![mount("data", "/var/data", false), mount("config", "/etc/config/", true)]
    }

    /// Exit code, standard output and standard error.
    fn run(&self, line: &str, input: &[u8]) -> (i32, Vec<u8>, String) {
        let command: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let builtin = Builtin::of(&command).expect("it is built in");
        let code = builtin.execute(&command[1..], self.mounts(), input, &mut output, &mut errors);
        (code, output, String::from_utf8(errors).unwrap())
    }

    fn file(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }
}

fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o640);
        header.set_mtime(1_000_000);
        let bytes = name.as_bytes();
        // By hand, as the library refuses names that lead upwards.
        header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
        if *kind == tar::EntryType::Symlink {
            header.set_size(0);
            header.set_link_name_literal(content).unwrap();
            header.set_cksum();
            builder.append(&header, std::io::empty()).unwrap();
        } else {
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

#[test]
fn files_go_out_and_come_back_as_they_were() {
    let world = World::new();
    std::fs::create_dir(world.file("data/sub")).unwrap();
    std::fs::write(world.file("data/sub/a"), "hello").unwrap();
    std::fs::write(world.file("data/sub/b"), vec![7; 100_000]).unwrap();
    let (code, archived, errors) = world.run("tar cf - /var/data/sub", b"");
    assert_eq!((code, errors.as_str()), (0, "tar: Removing leading `/' from member names\n"));
    let (_, names, _) = world.run("tar tf -", &archived);
    assert_eq!(String::from_utf8(names).unwrap(), "var/data/sub/\nvar/data/sub/a\nvar/data/sub/b\n");
    let (code, _, errors) = world.run("tar xmf - -C /var/data/copy", &archived);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(std::fs::read(world.file("data/copy/var/data/sub/b")).unwrap(), vec![7; 100_000]);
}

#[test]
fn directories_are_told_from_files() {
    let world = World::new();
    std::fs::write(world.file("data/a"), "").unwrap();
    for (path, code) in [("/var/data", 0), ("/var", 0), ("/", 0), ("/var/data/a", 1), ("/tmp", 1), ("/var/data/no", 1)]
    {
        assert_eq!(world.run(&format!("test -d {path}"), b"").0, code, "{path}");
    }
}

#[test]
fn nothing_leads_out_of_a_volume() {
    let world = World::new();
    std::os::unix::fs::symlink("../secret", world.file("data/out")).unwrap();
    std::os::unix::fs::symlink(world.file("secret"), world.file("data/far")).unwrap();
    for path in ["/var/data/out/key", "/var/data/far/key", "/var/data/../../../secret/key"] {
        let (code, archived, errors) = world.run(&format!("tar cf - {path}"), b"");
        assert_eq!(code, 2, "{path}: {errors}");
        assert!(!String::from_utf8_lossy(&archived).contains("not yours"), "{path}");
    }
    let regular = tar::EntryType::Regular;
    for name in ["out/key", "far/key", "../secret/key", "../../etc/config/x"] {
        let (code, _, errors) = world.run("tar xf - -C /var/data", &archive(&[(name, regular, "mine now")]));
        assert_eq!(code, 2, "{name}: {errors}");
    }
    let planted = [("l", tar::EntryType::Symlink, "../secret"), ("l/key", regular, "mine now")];
    assert_eq!(world.run("tar xf - -C /var/data", &archive(&planted)).0, 2);
    assert_eq!(std::fs::read_to_string(world.file("secret/key")).unwrap(), "not yours");
}

#[test]
fn a_link_is_replaced_and_not_written_through() {
    let world = World::new();
    std::os::unix::fs::symlink("real", world.file("data/link")).unwrap();
    std::fs::write(world.file("data/real"), "old").unwrap();
    let archived = archive(&[("link", tar::EntryType::Regular, "new")]);
    assert_eq!(world.run("tar xf - -C /var/data", &archived).0, 0);
    assert_eq!(std::fs::read_to_string(world.file("data/real")).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(world.file("data/link")).unwrap(), "new");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let world = World::new();
    let archived = archive(&[("a", tar::EntryType::Regular, "x")]);
    for (line, why) in [
        ("tar xf - -C /tmp", "tar: /tmp: Cannot open: No such file or directory (this container's files are in "),
        ("tar xf - -C /etc/config", "tar: a: Cannot open: Read-only file system\n"),
        ("tar xf - -C /", "tar: a: Cannot open: No such file or directory (this container's files are in "),
        ("tar cf - /tmp/a", "Cannot stat: No such file or directory (this container's files are in /var/data"),
        ("tar cf -", "tar: Cowardly refusing to create an empty archive\n"),
    ] {
        let (code, _, errors) = world.run(line, &archived);
        assert_eq!(code, 2, "{line}");
        assert!(errors.contains(why), "{line}: {errors}");
    }
    let (code, _, errors) = world.run("tar xf - -C /var/data", &archived[..600]);
    assert_eq!(code, 2, "{errors}");
}

#[test]
fn other_commands_are_the_containers_own() {
    let is_ours = |line: &str| Builtin::of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_some();
    assert!(is_ours("tar xf -") && is_ours("test -d /a"));
    assert!(!is_ours("test") && !is_ours("test -d") && !is_ours("ls"));
}
